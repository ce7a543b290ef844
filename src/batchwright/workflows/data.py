"""From a recipe's words to rows: what a packing's name means, and the index of a split."""

from batchwright.foundation.errors import InputError, nearest
from batchwright.sequences.index import SequenceIndex
from batchwright.sequences.index_build import Progress, build_index
from batchwright.sequences.packing import POLICIES, Packing
from batchwright.tokens.store import TokenStore

PACKINGS: dict[str, Packing] = {name: policy() for name, policy in POLICIES.items()}


def packing_named(name: str) -> Packing:
    if name not in PACKINGS:
        hint = nearest(name, PACKINGS)
        raise InputError(
            f"there is no packing {name!r}",
            remedy=f"{f'did you mean {hint!r}? ' if hint else ''}known: {', '.join(PACKINGS)}",
        )
    return PACKINGS[name]


def open_index(
    store: TokenStore,
    *,
    sequence_length: int,
    split: str = "train",
    packing: str = "best-fit",
    seed: int = 0,
    progress: Progress | None = None,
) -> SequenceIndex:
    """The sequence index of a split, built when it is not there yet."""
    if store.split(split).document_count == 0:
        raise InputError(
            f"the {split} split of this store is empty",
            where=str(store.directory),
            remedy="prepare it with --validation 0.02" if split == "validation" else "prepare it from more text",
        )
    return build_index(
        store,
        sequence_length=sequence_length,
        split=split,
        packing=packing_named(packing),
        seed=seed,
        progress=progress,
    )
