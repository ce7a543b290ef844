"""A recipe at several batch sizes and the same number of tokens: what `measure sweep` and the demo run.

Price: (batch sizes × seeds × 2 − seeds) trainings of `tokens` each, as many beside each other as there are cores.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from batchwright.engines.local import LocalExecutor, available_cores
from batchwright.foundation.errors import InputError
from batchwright.measuring.batch_sweep import BatchSweep, RunOutcome, run_sweep
from batchwright.measuring.verdict import verdict_of
from batchwright.recipe import Recipe
from batchwright.workflows.train import open_data

WARMUP_SHARE = 0.05

Json = dict[str, Any]


def sweep(
    recipe: Recipe,
    output: Path,
    *,
    batch_sizes: Sequence[int],
    seeds: Sequence[int],
    tokens: int,
    rule: str = "sqrt",
    workers: int | None = None,
    heard: Callable[[int, int, str], None],
) -> Json:
    """Runs what is missing under `output`; `heard(done, all, run)` as each one ends."""
    data = open_data(recipe)
    if data.validation is None:
        raise InputError(
            "a sweep compares validation losses, and this store has no validation split",
            where=str(data.store.directory),
            remedy="prepare it with --validation 0.02",
        )
    wanted = BatchSweep(
        model=recipe.model,
        training=replace(
            recipe.training, tokens=tokens, warmup_tokens=int(tokens * WARMUP_SHARE), evaluate_every_tokens=None
        ),
        batch_sizes=tuple(batch_sizes),
        seeds=tuple(seeds),
        rule=rule,
    )

    def ended(run: RunOutcome, done: int, total: int) -> None:
        heard(done, total, f"B = {run.global_batch_size}, seed {run.seed}")

    heard(0, len(wanted.runs()), "")
    outcomes = run_sweep(
        wanted,
        plan=data.plan,
        validation=data.validation,
        output=output,
        executor=LocalExecutor(workers or min(available_cores(), len(wanted.runs()))),
        on_outcome=ended,
    )
    verdict = verdict_of(outcomes, reference_batch_size=recipe.training.global_batch_size)
    return {
        "tokens": tokens,
        "sequence_length": recipe.training.sequence_length,
        "seeds": list(seeds),
        "rule": rule,
        "reference_batch_size": recipe.training.global_batch_size,
        "runs": [asdict(outcome) for outcome in outcomes],
        "verdict": asdict(verdict),
    }
