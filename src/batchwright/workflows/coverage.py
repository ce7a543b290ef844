"""The waste ledger of a recipe or of stores, as one plain table: what `measure coverage` answers. No torch."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from batchwright.measuring.coverage import Coverage, CoverageSource, measure_coverage, text_sources
from batchwright.recipe import Recipe
from batchwright.sequences.stored_tokens import StoredTokens
from batchwright.tokens.store import TokenStore
from batchwright.workflows.data import PACKINGS, packing_named

Json = dict[str, Any]
Heard = Callable[[int, int], None]


def cover_recipe(
    recipe: Recipe,
    *,
    length: int | None,
    packing: str | None,
    seed: int | None,
    budget: int | None,
    split: str,
    compare: bool,
    heard: Heard,
) -> Json:
    """What a recipe's rows will hold; whatever is given replaces the recipe's own."""
    return cover_stores(
        [Path(recipe.data.store)],
        length=recipe.training.sequence_length if length is None else length,
        packing=recipe.data.packing if packing is None else packing,
        seed=recipe.data.seed if seed is None else seed,
        budget=recipe.training.tokens if budget is None else budget,
        split=split,
        compare=compare,
        heard=heard,
    )


def cover_stores(
    stores: Sequence[Path],
    *,
    length: int,
    packing: str,
    seed: int,
    budget: int | None,
    split: str,
    compare: bool,
    heard: Heard,
) -> Json:
    """Every store is a source; they share the budget in proportion to their slots."""
    chosen = packing_named(packing)
    opened = [TokenStore.open(path) for path in stores]
    found = measure_coverage(
        [
            CoverageSource(name=str(path), stored=StoredTokens.of(store, split))
            for path, store in zip(stores, opened, strict=True)
        ],
        [chosen, *(other for other in PACKINGS.values() if compare and other != chosen)],
        sequence_length=length,
        seed=seed,
        budget_tokens=budget,
        heard=heard,
    )
    return {
        "split": split,
        "sequence_length": length,
        "seed": seed,
        "budget_tokens": budget,
        "packings": [_described(coverage) for coverage in found],
        "text_sources": [
            {"store": str(path), **asdict(source)}
            for path, store in zip(stores, opened, strict=True)
            for source in text_sources(store, split)
        ],
    }


def _described(coverage: Coverage) -> Json:
    return {
        "packing": coverage.packing.to_dict(),
        "total": coverage.total.to_dict(),
        "marginal_drop": coverage.marginal_drop,
        "sources": [
            {
                "name": source.name,
                "epochs": source.epochs,
                "ledger": source.ledger.to_dict(),
                "stretches": [asdict(stretch) for stretch in source.stretches],
            }
            for source in coverage.sources
        ],
    }
