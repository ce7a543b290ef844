"""From signatures to clusters of near-duplicates, in pieces that fit into memory.

    signatures ─▶ band rows (key of the band's places, document) ─ sorted ─▶ groups of equal keys ─ compared ─▶ edges
    edges ─ union by the earliest document ─▶ root of every document

A group's documents are compared with its first, and those unlike all before become further leaders, eight at most: the
work is linear in the group, however large (boilerplate). Equal keys stand for equal places up to chance, 2⁻⁶⁴ a pair;
the comparison of whole signatures catches that, too.

Guarantee: edges and roots depend on the signatures and the documents' order alone, not on how rows were cut into ranges
of keys. Price: 12 bytes per band row; a comparison 0.05 µs; 8 bytes per document in memory for the roots.
"""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from batchwright.documents.near_duplicates import NearDuplicates
from batchwright.documents.signatures import NOTHING
from batchwright.foundation.compiled import hot_loop

BAND_ROW = np.dtype([("key", "<u8"), ("document", "<u4")])
EDGE = np.dtype([("first", "<i8"), ("second", "<i8")])
LEADERS = 8
COMPARED_ROWS = 2**18  # signatures of so many rows at once: 112 MiB

Gather = Callable[[NDArray[np.int64]], NDArray[np.uint32]]
"""Ascending document numbers → their signatures."""


def band_rows(signatures: NDArray[np.uint32], first: int, settings: NearDuplicates) -> NDArray[np.void]:
    """The rows of documents `first`, `first` + 1 …, those without words left out; in the documents' order."""
    with_words = np.flatnonzero(signatures[:, 0] != NOTHING)
    rows = np.empty((len(with_words), settings.bands), BAND_ROW)
    rows["document"] = (first + with_words)[:, None]
    rows["key"] = _band_keys(signatures[with_words], settings.bands, settings.rows)
    return rows.reshape(-1)


@hot_loop
def _band_keys(signatures: NDArray[np.uint32], bands: int, rows: int) -> NDArray[np.uint64]:
    keys = np.empty((len(signatures), bands), np.uint64)
    for document in range(len(signatures)):
        for band in range(bands):
            key = np.uint64(band + 1) * np.uint64(0xC2B2AE3D27D4EB4F)
            for row in range(rows):
                key = (key ^ np.uint64(signatures[document, band * rows + row])) * np.uint64(0x9E3779B97F4A7C15)
                key ^= key >> np.uint64(32)
            keys[document, band] = key * np.uint64(0xD6E8FEB86659FD93)
    return keys


def edges_of(
    keys: NDArray[np.uint64],
    documents: NDArray[np.int64],
    gather: Gather,
    settings: NearDuplicates,
    compared_rows: int = COMPARED_ROWS,
) -> NDArray[np.void]:
    """Every edge between documents that share a key, once, ascending. `documents` ascends for equal keys."""
    order = np.argsort(keys, kind="stable")
    keys, documents = keys[order], documents[order]
    same = keys[1:] == keys[:-1]
    shared = np.zeros(len(keys), np.bool_)
    shared[1:] |= same
    shared[:-1] |= same
    keys, documents = keys[shared], documents[shared]
    found = list(_compared(keys, documents, gather, settings, compared_rows))
    return _distinct(np.concatenate(found)) if found else np.empty(0, EDGE)


def _compared(
    keys: NDArray[np.uint64], documents: NDArray[np.int64], gather: Gather, settings: NearDuplicates, batch: int
) -> Iterator[NDArray[np.void]]:
    leaders = np.zeros((LEADERS, settings.permutations), np.uint32)
    names, state = np.zeros(LEADERS, np.int64), np.zeros(2, np.uint64)  # state: the group's key, its leaders
    for first in range(0, len(keys), batch):
        of_batch = documents[first : first + batch]
        distinct, places = np.unique(of_batch, return_inverse=True)
        signatures = gather(distinct)
        out = np.empty((len(of_batch) * LEADERS, 2), np.int64)
        group = keys[first : first + batch]
        count = _follow(group, of_batch, places, signatures, settings.agreeing_places, leaders, names, state, out)
        yield _distinct(out[:count].copy().view(EDGE).reshape(-1))


def _distinct(edges: NDArray[np.void]) -> NDArray[np.void]:
    """Each edge once, ascending."""
    ordered = edges[np.lexsort((edges["second"], edges["first"]))]
    fresh = np.ones(len(ordered), np.bool_)
    for end in ("first", "second"):
        fresh[1:] &= ordered[end][1:] == ordered[end][:-1]
    fresh[1:] = ~fresh[1:]
    return ordered[fresh]


@hot_loop
def _follow(
    keys: NDArray[np.uint64],
    documents: NDArray[np.int64],
    places: NDArray[np.int64],
    signatures: NDArray[np.uint32],
    agreeing: int,
    leaders: NDArray[np.uint32],
    names: NDArray[np.int64],
    state: NDArray[np.uint64],
    out: NDArray[np.int64],
) -> int:
    """Compare every row's document with its group's leaders; (leader, document) into `out`; how many."""
    count = 0
    for row in range(len(keys)):
        if keys[row] != state[0]:
            state[0], state[1] = keys[row], np.uint64(0)
        signature = signatures[places[row]]
        alike = False
        for leader in range(np.int64(state[1])):
            equal = 0
            for place in range(len(signature)):
                equal += signature[place] == leaders[leader, place]
            if equal >= agreeing:
                alike = True
                out[count, 0], out[count, 1] = names[leader], documents[row]
                count += 1
        if not alike and np.int64(state[1]) < len(names):
            leaders[np.int64(state[1])] = signature
            names[np.int64(state[1])] = documents[row]
            state[1] += np.uint64(1)
    return count


def roots_of(documents: int, edges: Iterable[NDArray[np.void]]) -> NDArray[np.int64]:
    """(documents,) int64: the earliest document of each one's cluster, itself where it is alone."""
    parents = np.arange(documents, dtype=np.int64)
    for some in edges:
        _join(parents, np.ascontiguousarray(some["first"]), np.ascontiguousarray(some["second"]))
    _settle(parents)
    return parents


@hot_loop
def _join(parents: NDArray[np.int64], firsts: NDArray[np.int64], seconds: NDArray[np.int64]) -> None:
    for edge in range(len(firsts)):
        a, b = firsts[edge], seconds[edge]
        while parents[a] != a:
            parents[a] = parents[parents[a]]
            a = parents[a]
        while parents[b] != b:
            parents[b] = parents[parents[b]]
            b = parents[b]
        if a < b:
            parents[b] = a
        else:
            parents[a] = b


@hot_loop
def _settle(parents: NDArray[np.int64]) -> None:
    for document in range(len(parents)):  # a parent is never later than its child, so it is settled already
        parents[document] = parents[parents[document]]
