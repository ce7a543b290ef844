"""A recipe at several batch sizes and the same number of tokens: what `measure sweep` and the demo run.

Price: (batch sizes × seeds × 2 − seeds) trainings of `tokens` each, as many beside each other as there are cores.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import orjson

from batchwright.engines.local import LocalExecutor, available_cores
from batchwright.foundation.errors import InputError
from batchwright.measuring.batch_sweep import BatchSweep, RunOutcome, run_sweep
from batchwright.measuring.verdict import verdict_of
from batchwright.recipe import Recipe
from batchwright.training.trainer import LOG_NAME
from batchwright.workflows.train import open_data

WARMUP_SHARE = 0.05
LOOK_SECONDS = 1.0  # between two looks at the logs of the runs under way: a log of 1 MB is read in 5 ms

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
    """Runs what is missing under `output`; `heard(tokens seen, tokens of all runs, runs ended)` every second or so."""
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

    runs, ended = len(wanted.runs()), 0

    def ends(run: RunOutcome, done: int, total: int) -> None:
        nonlocal ended
        ended = done

    def tell(under_way: int) -> None:
        heard(min(ended * tokens + under_way, runs * tokens), runs * tokens, f"{ended} / {runs}")

    tell(0)
    with _watched(output, tell):
        outcomes = run_sweep(
            wanted,
            plan=data.plan,
            validation=data.validation,
            output=output,
            executor=LocalExecutor(workers or min(available_cores(), runs)),
            on_outcome=ends,
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


@contextmanager
def _watched(output: Path, tell: Callable[[int], None]) -> Iterator[None]:
    """Tells again and again how many tokens the runs under way have seen: one run at a small batch takes minutes."""
    began, over = time.time(), threading.Event()

    def look() -> None:
        while not over.wait(LOOK_SECONDS):
            tell(sum(_tokens_seen(log, began) for log in output.glob(f"*.run/{LOG_NAME}")))

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


def _tokens_seen(log: Path, began: float) -> int:
    """By the last step in the log of a run; 0 for what an interrupted sweep left, and for a log that is just gone."""
    try:
        if log.stat().st_mtime < began:
            return 0
        *lines, _unfinished = log.read_bytes().split(b"\n")
    except OSError:
        return 0
    records = (orjson.loads(line) for line in reversed(lines))
    return next((record["tokens"] for record in records if record["kind"] == "step"), 0)
