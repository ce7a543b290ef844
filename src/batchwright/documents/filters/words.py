"""The words of a document, found once and shared by the filters: the four together read a text about once.

They are a value in a document's `words`; a step that returns a changed text drops it with the text that it described. A
step that knows how many words its text has (`C4`) may leave just that number.
"""

import numpy as np
from numpy.typing import NDArray

from batchwright.documents.document import Document
from batchwright.documents.filters.english_words import Words, decode, english_words


def words_of(document: Document) -> Words:
    """The document's words, looked up or found."""
    if not isinstance(document.words, Words):
        document.words = english_words(document.utf8)
    return document.words


def word_count(document: Document) -> int:
    """How many words the document has."""
    return document.words if isinstance(document.words, int) else len(words_of(document).starts)


def codes_of_document(document: Document) -> NDArray[np.uint32]:
    """The document's characters."""
    if isinstance(document.words, int):
        return decode(np.frombuffer(document.utf8, np.uint8))
    return words_of(document).codes
