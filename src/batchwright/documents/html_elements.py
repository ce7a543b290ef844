"""What an HTML element does to text that is read aloud without its tags: a table of names, packed for native loops.

    hidden        <script>, <style>, <title>: raw text that nobody reads, up to its own closing tag
    block, break  <div>, <li>, <br>: a line of its own; two <br> leave a blank line
    paragraph     <p>, <h1>, <table>: a blank line before and after
    row, cell     <tr>: a line of its own; <td>, <th>: a tab after the cell before, whatever blocks stand in them, but
                  for one of several lines
    preformatted  <pre>: white space stays
    furniture     <nav>, <footer>, <aside>, and what has a role of WAI-ARIA's for it (navigation, search, contentinfo,
                  complementary): hidden with everything inside, where that is asked for
    inline        <b>, <font>, <a>: nothing

Guarantee: a name that is not in the table does nothing. Price: one hash and about one probe per tag.
"""

import numpy as np
from numpy.typing import NDArray

from batchwright.foundation.compiled import hot_loop

INLINE, BLOCK, BREAK, PARAGRAPH, CELL, PREFORMATTED, HIDDEN, FURNITURE, ROW = range(1, 10)

ELEMENTS: dict[int, str] = {
    INLINE: "a abbr acronym area b base basefont bdo big blink center cite code col colgroup del dfn em embed font i"
    " img input ins kbd label link map mark marquee meta param q s samp small source span strike strong sub sup tbody"
    " tfoot thead tt u var wbr",
    BLOCK: "address article body caption dd details dialog div dt fieldset figcaption figure form frame frameset head"
    " header hgroup html legend li main optgroup option section summary",
    BREAK: "br hr",
    PARAGRAPH: "blockquote dir dl h1 h2 h3 h4 h5 h6 menu ol p table ul",
    CELL: "td th",
    PREFORMATTED: "listing pre xmp",
    HIDDEN: "applet audio button canvas iframe math noembed noframes noscript object script select style svg template"
    " textarea title video",
    FURNITURE: "aside footer nav",
    ROW: "tr",
}
SLOTS = 1024
_OFFSET, _PRIME = 0xCBF29CE484222325, 0x100000001B3  # FNV-1a, 64 bits
_A, _Z, _LOWER = 65, 90, 32


@hot_loop
def hash_name(text: NDArray[np.uint8], first: int, stop: int) -> np.uint64:
    """FNV-1a of text[first:stop] in lower case."""
    value = np.uint64(_OFFSET)
    for place in range(first, stop):
        byte = np.uint64(text[place])
        if _A <= byte <= _Z:
            byte += np.uint64(_LOWER)
        value = (value ^ byte) * np.uint64(_PRIME)
    return value


@hot_loop
def kind_of(names: NDArray[np.uint64], kinds: NDArray[np.uint8], name: np.uint64) -> int:
    """What the element of this name hash does; 0: it is not known."""
    slot = np.int64((name ^ (name >> np.uint64(32))) & np.uint64(SLOTS - 1))
    while names[slot] != 0 and names[slot] != name:
        slot = (slot + 1) & (SLOTS - 1)
    return int(kinds[slot])


def element_table() -> tuple[NDArray[np.uint64], NDArray[np.uint8]]:
    """(SLOTS,) name hashes and (SLOTS,) kinds, as `kind_of` probes them."""
    names, kinds = np.zeros(SLOTS, np.uint64), np.zeros(SLOTS, np.uint8)
    for kind, listed in ELEMENTS.items():
        for element in listed.split():
            name = hash_name(np.frombuffer(element.encode(), np.uint8), 0, len(element))
            slot = (int(name) ^ int(name) >> 32) & (SLOTS - 1)
            while names[slot]:
                slot = (slot + 1) & (SLOTS - 1)
            names[slot], kinds[slot] = name, kind
    return names, kinds
