"""The waste ledger, before anything is trained: what each packing makes of the stored documents.

Guarantee: it packs the very windows that the index packs, so its figures are the index's figures (a test holds them
together), and every ledger closes: stored = targets + masked + dropped, slots = targets + masked + padding. Price: the
documents' ends are read and, where there are any, the loss masks, not the tokens; nothing is written; ~0.1 CPU-s per
million documents and packing. No torch.

A token budget counts slots, as training steps do: a source's epochs are its share of the budget over its slots.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce
from operator import add

import numpy as np
from numpy.typing import NDArray

from batchwright.foundation.errors import InputError
from batchwright.sequences.document_table import DocumentTable
from batchwright.sequences.ledger import Bookkeeper, Ledger
from batchwright.sequences.loss_masks import LossMasks
from batchwright.sequences.packing import Packing, check_sequence_length
from batchwright.sequences.stored_tokens import StoredTokens
from batchwright.sequences.windows import Window, packed_windows
from batchwright.tokens.store import TokenStore

STRETCHES = 32
_PARTS_OF_A_WINDOW = 32

Heard = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True, eq=False)
class CoverageSource:
    """One source of rows: a stored split, and its share of a budget's slots (None: in proportion to its slots)."""

    name: str
    stored: StoredTokens
    weight: Fraction | None = None


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """A part of the stream of documents in the order in which they are packed, ending when `documents` are laid."""

    documents: int
    stored: int
    dropped: int


@dataclass(frozen=True, kw_only=True)
class SourceCoverage:
    """What a packing makes of one source. `epochs` are those of the budget, None without one."""

    name: str
    ledger: Ledger
    stretches: tuple[Stretch, ...]
    epochs: float | None


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """What a packing makes of all sources."""

    packing: Packing
    sources: tuple[SourceCoverage, ...]

    @property
    def total(self) -> Ledger:
        return reduce(add, (source.ledger for source in self.sources))

    @property
    def marginal_drop(self) -> float:
        """Share of the tokens dropped where the stream has come to: the second half of each source's documents."""
        late = [s for source in self.sources for s in source.stretches[len(source.stretches) // 2 :]]
        stored = sum(stretch.stored for stretch in late)
        return sum(stretch.dropped for stretch in late) / stored if stored else 0.0


@dataclass(frozen=True, kw_only=True)
class TextSourceTokens:
    """What a store holds of one of the text sources it was prepared from."""

    name: str
    documents: int
    tokens: int


def measure_coverage(
    sources: Sequence[CoverageSource],
    packings: Sequence[Packing],
    *,
    sequence_length: int,
    seed: int = 0,
    budget_tokens: int | None = None,
    heard: Heard = lambda done, all_: None,
) -> list[Coverage]:
    """Pack every source with every packing. `heard(documents packed, documents)` counts over all of them."""
    check_sequence_length(sequence_length)
    if budget_tokens is not None and budget_tokens < 1:
        raise InputError(f"a budget of {budget_tokens:,} tokens", remedy="a whole number from 1")
    tables = [DocumentTable.of(source.stored) for source in sources]
    for table in tables:
        table.verify()
    masks = [LossMasks.of(source.stored) for source in sources]
    for each in masks:
        if each is not None:
            each.verify()
    everything = len(packings) * sum(table.document_count for table in tables)
    found: list[Coverage] = []
    done = 0
    for packing in packings:
        books: list[tuple[Ledger, tuple[Stretch, ...]]] = []
        for source, table, flags in zip(sources, tables, masks, strict=True):
            before = done
            books.append(
                _books(table, flags, packing, sequence_length, seed, lambda laid, b=before: heard(b + laid, everything))
            )
            books[-1][0].check_against(source.stored, flags)
            done += table.document_count
        epochs = _epochs(sources, [ledger for ledger, _ in books], budget_tokens)
        found.append(
            Coverage(
                packing=packing,
                sources=tuple(
                    SourceCoverage(name=source.name, ledger=ledger, stretches=stretches, epochs=times)
                    for source, (ledger, stretches), times in zip(sources, books, epochs, strict=True)
                ),
            )
        )
    return found


def text_sources(store: TokenStore, split: str) -> Iterator[TextSourceTokens]:
    """Tokens of a split by the text source they came from; with more than one, read from the provenance (40 bytes per
    document)."""
    names = [str(source["name"]) for source in store.manifest.sources]
    documents, tokens = np.zeros(len(names), np.int64), np.zeros(len(names), np.int64)
    view = store.split(split)
    if len(names) == 1:
        yield TextSourceTokens(name=names[0], documents=view.document_count, tokens=view.token_count)
        return
    for number, shard in enumerate(view.shards):
        first, stop = (int(place) for place in view.document_starts[number : number + 2])
        shard.provenance.check(0, shard.provenance.count)
        of = shard.provenance.array["source"].astype(np.int64)
        documents += np.bincount(of, minlength=len(names))
        np.add.at(tokens, of, view.lengths(first, stop))
    for name, held, counted in zip(names, documents.tolist(), tokens.tolist(), strict=True):
        yield TextSourceTokens(name=name, documents=held, tokens=counted)


def _books(
    table: DocumentTable,
    masks: LossMasks | None,
    packing: Packing,
    sequence_length: int,
    seed: int,
    laid: Callable[[int], None],
) -> tuple[Ledger, tuple[Stretch, ...]]:
    """One source with one packing. `laid` hears how many documents are laid so far."""
    keeper, stretches, documents = Bookkeeper(packing, sequence_length), list[NDArray[np.int64]](), 0
    for window in packed_windows(table, packing, sequence_length, seed):
        targets = None if masks is None else masks.targets_in(window.piece_starts, window.packed.length)
        keeper.enter(window.lengths, window.packed, targets)
        stretches.append(_stretches_of(window, packing))
        documents += window.laid_count
        laid(documents)
    return keeper.ledger(), _thinned(np.concatenate(stretches))


def _stretches_of(window: Window, packing: Packing) -> NDArray[np.int64]:
    """(N, 3): documents, tokens stored and tokens dropped, one part of the window after another. Only where pieces
    stand in the order of the stream has a window parts."""
    packed, lengths = window.packed, window.lengths
    if packing.streams and packing.drops is not None:
        parts = np.array_split(np.arange(packed.document.shape[0]), _PARTS_OF_A_WINDOW)
        stored = [int(lengths[packed.document[part]].sum()) for part in parts]
        kept = [int(packed.length[part].sum(dtype=np.int64)) for part in parts]
        return np.array([(len(part), n, n - k) for part, n, k in zip(parts, stored, kept, strict=True)], np.int64)
    stored = int(lengths.sum()) - int(lengths[packed.waiting].sum())
    return np.array([(window.laid_count, stored, stored - int(packed.length.sum(dtype=np.int64)))], np.int64)


def _epochs(
    sources: Sequence[CoverageSource], ledgers: Sequence[Ledger], budget_tokens: int | None
) -> list[float | None]:
    if budget_tokens is None:
        return [None for _ in sources]
    weights = [
        Fraction(ledger.slots) if source.weight is None else source.weight
        for source, ledger in zip(sources, ledgers, strict=True)
    ]
    if len({source.weight is None for source in sources}) > 1 or min(weights) <= 0:
        raise InputError(f"the weights {[str(source.weight) for source in sources]} cannot share a budget")
    total = sum(weights)
    return [float(budget_tokens * w / total / ledger.slots) for w, ledger in zip(weights, ledgers, strict=True)]


def _thinned(stretches: NDArray[np.int64]) -> tuple[Stretch, ...]:
    """At most `STRETCHES` stretches, each with what was stored and dropped within it."""
    sums = [part.sum(axis=0) for part in np.array_split(stretches, min(STRETCHES, stretches.shape[0]))]
    ends = np.cumsum([documents for documents, _, _ in sums]).tolist()
    return tuple(
        Stretch(documents=end, stored=int(stored), dropped=int(dropped))
        for end, (_, stored, dropped) in zip(ends, sums, strict=True)
    )
