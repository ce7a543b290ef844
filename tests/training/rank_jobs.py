"""What the ranks of a test do: called in forked processes by `rank_nursery`, each with its `Ranks`; returns JSON."""

import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from batchwright.batches.certificate import combined
from batchwright.batches.geometry import BatchGeometry
from batchwright.foundation.errors import BatchwrightError
from batchwright.measuring.noise_monitor import NoiseMonitor
from batchwright.model.config import ModelConfig
from batchwright.model.description import FunctionModel
from batchwright.model.transformer import Transformer
from batchwright.sequences.plan import Plan
from batchwright.training.checkpoint import read_progress, restore
from batchwright.training.checkpoint_write import Checkpoints, CheckpointWriter
from batchwright.training.config import TrainingConfig
from batchwright.training.hyper_parameters import HyperParameters
from batchwright.training.objective import Objective
from batchwright.training.optimizer import build_optimizer, optimizer_tensors
from batchwright.training.parallel import Replicas, parallel_of
from batchwright.training.ranks import Ranks
from batchwright.training.slices import whole
from batchwright.training.step import StepRecord, accumulate_gradient, train_step
from batchwright.training.trainer import Trainer
from tests.training.counting_store import VOCABULARY, counting_indexes
from tests.training.fake_steps import FakeMicroBatch, FakeStep, step_of, whole_batch

SHAPE = ModelConfig(vocabulary_size=37, sequence_length=12, width=16, layers=2, heads=2, feed_forward_width=24)
MODEL = ModelConfig(vocabulary_size=VOCABULARY, sequence_length=16, width=16, layers=2, heads=2, feed_forward_width=24)
# 7 rows a step: no number of ranks here divides them.
TRAINING = TrainingConfig(
    global_batch_size=7,
    micro_batch_size=2,
    sequence_length=16,
    tokens=12 * 7 * 16,
    learning_rate=1e-2,
    warmup_tokens=200,
    evaluate_every_tokens=4 * 7 * 16,
    checkpoint_every_tokens=3 * 7 * 16,
    threads=1,
)


def part_of(ranks: Ranks, rows: int, micro_batch: int, seed: int) -> FakeStep:
    """This rank's micro-batches of a ragged batch, as the loader cuts it; missing rows are masked."""
    batch = whole_batch(seed, rows, 12, 37)
    batch.loss_mask[rows // 2] = False  # a row without any target
    whole_step = step_of(batch)
    geometry = BatchGeometry(
        global_batch_size=rows, micro_batch_size=micro_batch, sequence_length=12, world_size=ranks.size
    )
    parts: list[FakeMicroBatch] = []
    for number in range(geometry.accumulation):
        first, stop = geometry.rows_of_micro_batch(ranks.rank, number)
        taken = slice(first, stop) if first < stop else slice(0, 1)
        parts.append(
            FakeMicroBatch(
                inputs=batch.inputs[taken],
                targets=batch.targets[taken],
                loss_mask=batch.loss_mask[taken] & (first < stop),
                position_ids=batch.position_ids[taken],
            )
        )
    return replace(whole_step, micro_batches=tuple(parts))


def gradient(
    ranks: Ranks, *, form: str, dtype: str, rows: int, micro_batch: int, seed: int, twin: str = "", watch: bool = False
) -> dict[str, Any]:
    """(loss per target, the flat gradient) of a batch, as the ranks together make it."""
    objective = Objective(Transformer(SHAPE, seed=5, dtype=getattr(torch, dtype)))
    parallel = Mean(objective, ranks) if twin == "ddp-mean" else parallel_of(objective, form, ranks)  # type: ignore[arg-type]
    step = part_of(ranks, rows, micro_batch, seed)
    if twin == "own-targets":  # the accumulation bug: every rank divides by its own number of targets
        step = replace(step, targets=max(1, sum(int(b.loss_mask.sum()) for b in step.micro_batches)))
    watcher = Watcher()
    loss_sum, _ = accumulate_gradient(objective, step, parallel=parallel, observers=[watcher] if watch else [])
    scale = 1 / ranks.size if twin == "own-targets" else 1.0
    flat = torch.cat([whole(p.grad).flatten() * scale for p in objective.parameters() if p.grad is not None])
    return {
        "loss": ranks.sums([loss_sum])[0] / step.targets,
        "gradient": flat.double().tolist(),
        "seen": watcher.squares,
    }


class Mean(Replicas):
    """The broken twin: DDP as it comes."""

    def __init__(self, objective: Objective, ranks: Ranks) -> None:
        self.objective, self.ranks = objective, ranks
        self._watched = None
        self._module = torch.nn.parallel.DistributedDataParallel(objective)

    def _check_summed(self) -> None:
        """It does not add up itself, so it cannot tell."""


class Watcher:
    def __init__(self) -> None:
        self.squares: list[float] = []

    def wants(self, step: int) -> bool:
        return True

    def on_micro_batch(self, gradients: Any, targets: int, step_targets: int) -> None:
        self.squares.append(sum(float(g.double().square().sum()) for g in gradients.values()))

    def on_step(self, record: StepRecord) -> None:
        return None


def train(
    ranks: Ranks,
    *,
    store: str,
    run: str,
    form: str = "ddp",
    until_step: int | None = None,
    changes: dict[str, Any] | None = None,
    model: dict[str, Any] | None = None,
    kind: str | None = None,
    of_rank: dict[str, dict[str, Any]] | None = None,
    seed_of_plan: int = 0,
) -> dict[str, Any]:
    """A run of TRAINING. `of_rank` changes the recipe of some ranks only; `kind` names a model of by_function."""
    own = (of_rank or {}).get(str(ranks.rank), {})
    training = replace(TRAINING, parallel=form, **{**(changes or {}), **own.get("training", {})})  # type: ignore[arg-type]
    indexes = counting_indexes(Path(store), documents=own.get("documents", 40))
    trainer = Trainer(
        model_config=replace(MODEL, **{**(model or {}), **own.get("model", {})}) if kind is None else by_function(kind),
        training_config=training,
        plan=Plan.of(indexes[0], seed=own.get("seed_of_plan", seed_of_plan)),
        run_directory=Path(run),
        validation=indexes[1],
        ranks=ranks,
    )
    if "ask_at" in own or "die_at" in own:
        monitor = SignalAt(own.get("ask_at"), own.get("die_at"))
        monitor.watch(trainer)
    result = trainer.run(until_step=until_step)
    return {"reason": result.reason, "step": result.step, "resumed_from": result.resumed_from}


def by_function(kind: str) -> FunctionModel:
    return FunctionModel(
        function="tests.model.by_function:build",
        vocabulary_size=VOCABULARY,
        sequence_length=16,
        arguments={"kind": kind},
    )


class SignalAt:
    """Has this rank be asked to end, or killed, after it made a step."""

    def __init__(self, ask_at: int | None, die_at: int | None) -> None:
        self._at = {ask_at: signal.SIGTERM, die_at: signal.SIGKILL}

    def watch(self, trainer: Trainer) -> None:
        step = trainer._step  # what happens on every rank; records are heard on the first one alone

        def watched(run: Any, batches: Any) -> None:
            step(run, batches)
            if run.step in self._at:
                os.kill(os.getpid(), self._at[run.step])

        trainer._step = watched  # type: ignore[method-assign]


def save_again(ranks: Ranks, *, store: str, run: str, form: str) -> int:
    """Restore the newest checkpoint in this form, and write it anew beside the others."""
    newest = Checkpoints(Path(run) / "checkpoints").newest()
    assert newest is not None
    progress = read_progress(newest, ranks)
    model = Transformer(MODEL, seed=9)
    parallel_of(Objective(model), form, ranks)  # type: ignore[arg-type]
    optimizer = build_optimizer(model, TRAINING)
    restore(newest, model, optimizer)
    weights = {name: parameter.detach() for name, parameter in model.named_parameters()}
    writer = CheckpointWriter(Checkpoints(Path(run) / "again"), ranks)
    writer.write(progress, weights, optimizer_tensors(model, optimizer))
    writer.finish()
    return progress.step


def noise(ranks: Ranks) -> list[float]:
    """(noise scale in tokens, steps) of a few steps at frozen weights."""
    objective = Objective(Transformer(SHAPE, seed=5, dtype=torch.float64))
    parallel, monitor = parallel_of(objective, "ddp", ranks), NoiseMonitor(ranks=ranks)
    optimizer = build_optimizer(objective.model, replace(TRAINING, sequence_length=12))
    for number in range(1, 7):
        train_step(
            objective,
            optimizer,
            part_of(ranks, 8, 2, number),
            step=number,
            tokens_before=0,
            hyper_parameters=HyperParameters(learning_rate=0.0),
            parallel=parallel,
            observers=[monitor],
        )
    return [monitor.estimate().tokens, monitor.steps]


def messages(ranks: Ranks) -> dict[str, Any]:
    """The words of `Ranks`, one after another."""
    certificate = 2**64 - 1 - ranks.rank
    high, low = ranks.sums((certificate >> 32, certificate & 0xFFFFFFFF))

    def fails_on_the_last() -> None:
        if ranks.rank == ranks.size - 1:
            raise BatchwrightError("no room here", where="disk")

    failure = ""
    try:
        ranks.together(fails_on_the_last)
    except BatchwrightError as error:
        failure = str(error)
    return {
        "gathered": ranks.gather({"rank": ranks.rank, "text": "ü" * ranks.rank}),
        "certificate": combined([int(high) << 32, int(low)]),
        "any": ranks.any(ranks.rank == 1),
        "none": ranks.any(False),
        "failure": failure,
    }
