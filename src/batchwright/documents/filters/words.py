"""The words of a document, found once and shared by the filters: the four together read a text about once.

They are a value in a document's `words`, with the language whose rules found them; a step that returns a changed text
drops it with the text that it described. A step that knows how many words its text has (`C4Quality`) leaves the number.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from batchwright.documents.document import Document
from batchwright.documents.filters.english_words import Words, decode, english_words
from batchwright.documents.filters.languages import is_unspaced


@dataclass(frozen=True, slots=True)
class Found:
    """The words that the rules of a language find."""

    language: str
    words: Words


@dataclass(frozen=True, slots=True)
class Counted:
    """How many words the rules of a language would find."""

    language: str
    count: int


def words_of(document: Document, language: str = "en") -> Words:
    """The document's words, looked up or found."""
    known = document.words
    if isinstance(known, Found) and known.language == language:
        return known.words
    words = english_words(document.utf8, unspaced=is_unspaced(language))
    document.words = Found(language, words)
    return words


def word_count(document: Document, language: str = "en") -> int:
    """How many words the document has."""
    known = document.words
    if isinstance(known, Counted) and known.language == language:
        return known.count
    return len(words_of(document, language).starts)


def codes_of_document(document: Document) -> NDArray[np.uint32]:
    """The document's characters."""
    if isinstance(document.words, Found):
        return document.words.words.codes
    return decode(np.frombuffer(document.utf8, np.uint8))
