"""A document: one text and where it stood.

The payload is UTF-8 *bytes*, not `str`: hashing, tokenizing (gigatoken takes `list[bytes]`), counting and writing all
want bytes, a text file and an Arrow column already are bytes, and a JSON string becomes bytes by one copy when it is
ASCII. So text is encoded at most once on its way to token ids and decoded only by the step that needs characters.

Price: 0.18 µs and ~100 bytes per document beside its text. That is why this is a plain slots class and not a frozen
one (0.72 µs: each field would go through `object.__setattr__`). A step never assigns to a field; it returns the same
document, or a new one from `with_text`, and the pipeline counts edits by that identity.
"""

from dataclasses import dataclass, field
from enum import IntFlag
from typing import Self


class DocumentFlag(IntFlag):
    """What was done to a document, kept in its provenance; 16 bits on disk."""

    REPAIRED = 1  # bytes or characters that are not text were replaced by U+FFFD
    EDITED = 2  # cleaning changed the text: newlines or Unicode normal form
    INFILLED = 4  # stored as prefix, suffix and middle
    SUFFIX_FIRST = 8  # and of that the suffix first


@dataclass(slots=True)
class Document:
    """One text with its place: the `offset`-th byte (text, JSONL) or row (parquet) of input file number `file`.

    offset: of a text file 0; of JSONL the byte at which the line begins, in the *decompressed* stream; of parquet the
    row number in the file. With `file` it orders all documents and names each one.
    """

    utf8: bytes
    file: int
    offset: int
    source: int
    flags: int = 0  # of DocumentFlag
    decoded: str | None = field(default=None, repr=False, compare=False)
    words: object | None = field(default=None, repr=False, compare=False)  # what `filters.words` found in this text
    copy: int = 0  # of a repeated document: 0 for itself, 1, 2 … for its copies, which are made after cleaning

    @property
    def text(self) -> str:
        """The text as characters: decoded when first asked for, then kept."""
        if self.decoded is None:
            self.decoded = self.utf8.decode()
        return self.decoded

    def with_text(self, text: str, flag: int = DocumentFlag.EDITED) -> Self:
        """The same document with another text."""
        return type(self)(text.encode(), self.file, self.offset, self.source, self.flags | flag, text)

    def with_utf8(self, utf8: bytes, flag: int = DocumentFlag.EDITED) -> Self:
        """The same document with another text, given as the bytes that the caller already has."""
        return type(self)(utf8, self.file, self.offset, self.source, self.flags | flag)
