"""HTML → text, for documents that are HTML; everything else is left as it is.

A document is HTML when it says so, `<!doctype html>`, `<html>`, `<head>` or `<body>` at its beginning (comments and an
XML declaration may stand before), or when it is a fragment: at least MIN_TAGS tags of known elements, which make at
least MIN_TAG_SHARE of its bytes, some of them closing ones. So `x < y`, templates of C++, a page about HTML, code that
writes some HTML and Markdown with a logo stay (figures per corpus: docs/filters.md).

Guarantee: the text depends on the document alone, not on a library's version: no parser but `html_scan` and the
character references of Python's `html.unescape`. Price: a document without "<" one scan at memory speed; else 200 to
300 MB/s to see that it is no HTML, or to convert it.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from html import unescape
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from batchwright.documents.document import Document
from batchwright.documents.html_elements import element_table
from batchwright.documents.html_scan import visible_text
from batchwright.documents.pipeline import Dropped

MIN_TAGS = 8
MIN_TAG_SHARE = 0.15
MAX_TAGS_PER_CLOSING = 10  # generic types and `#include <map>` look like tags that nobody closes
_SAYS_SO = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]*>\s*)?(?:<!--(?:[^-]|-(?!->)){0,4000}-->\s*){0,8}<(?:!doctype\s+html|html|head|body)[\s>]",
    re.IGNORECASE,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class HtmlToText:
    """What a reader of the page sees, a line per block."""

    name: ClassVar[str] = "html"
    furniture: bool = True  # keep what stands in <nav>, <footer>, <aside> and elements of such a role

    def __call__(self, document: Document) -> Document | Dropped:
        if b"<" not in document.utf8 or not is_html(document.utf8):
            return document
        text = html_to_text(document.utf8, furniture=self.furniture)
        return document.with_text(text) if text else Dropped("html_without_text", f"{len(document.utf8)} bytes of tags")


def is_html(utf8: bytes) -> bool:
    """Whether a document is HTML, a page or a fragment."""
    if _SAYS_SO.match(utf8):
        return True
    if utf8.count(b">") < MIN_TAGS:
        return False
    _, tags, tag_bytes = visible_text(np.frombuffer(utf8, np.uint8), *_elements(), True)
    return (
        tags >= MIN_TAGS and utf8.count(b"</") * MAX_TAGS_PER_CLOSING >= tags and tag_bytes >= MIN_TAG_SHARE * len(utf8)
    )


def html_to_text(utf8: bytes, *, furniture: bool = True) -> str:
    """The text of a page, whether or not it looks like one."""
    text, _, _ = visible_text(np.frombuffer(utf8, np.uint8), *_elements(), furniture)
    # A cut inside a character cannot come from the scan; what a caller decoded from a mail may hold anything.
    decoded = text.tobytes().decode()
    decoded = unescape(decoded) if "&" in decoded else decoded
    return (decoded.replace("¶\n", "\n") if "¶" in decoded else decoded).strip()  # ¶: the link to a heading itself


@lru_cache(maxsize=1)
def _elements() -> tuple[NDArray[np.uint64], NDArray[np.uint8]]:
    return element_table()
