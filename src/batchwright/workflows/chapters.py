"""The demo's chapters: text, one batch, training, what the batch size does, a sample. They compose and compute nothing.

Every number told was measured on this text on this machine. Price of all of them: minutes on two cores and under 2 GB,
most of it the training (2 M tokens) and the comparison of batch sizes (10 runs of 0.4 M). torch is imported by the
chapters that need it, when they run: finding everything done needs none.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from batchwright.engines.local import available_cores
from batchwright.tokens.build import Progress
from batchwright.training.config import TrainingConfig
from batchwright.workflows.demo import Chapter, Demo, Heard
from batchwright.workflows.look import liveliest_step, look_at_batch
from batchwright.workflows.prepare import prepare, summary
from batchwright.workflows.section import Figure, Section
from batchwright.workflows.strings import Say
from batchwright.workflows.telling.batch_size import tell_memory, tell_noise, tell_throughput
from batchwright.workflows.telling.demo_report import tell_sample
from batchwright.workflows.telling.one_batch import batch_section, tell_geometry
from batchwright.workflows.telling.sweep import tell_sweep
from batchwright.workflows.telling.text_to_tokens import tell_text_to_tokens
from batchwright.workflows.telling.training_run import tell_training

Json = dict[str, Any]

NUMBERS = {
    "text": "1.",
    "batch": "2.",
    "training": "3.",
    "throughput": "4a.",
    "memory": "4b.",
    "noise": "4c.",
    "sweep": "4d.",
    "sample": "5.",
}
"""The chapters in the order in which they are told."""

MOST_THREADS = 4  # a model this small gives more threads nothing to do


def chapters_of(demo: Demo) -> list[Chapter]:
    """In the order in which they are told; each may read the results of those before it."""
    recipe, chosen = demo.recipe, demo.settings
    text = {
        "text": demo.text_key,
        "vocabulary": recipe.model.vocabulary_size,
        "validation": chosen.validation_fraction,
    }
    run = {**text, "model": recipe.model.to_dict(), "training": recipe.training.same_run(), "order": recipe.data.seed}
    speed = [run, chosen.micro_batch_sizes, chosen.speed_seconds]
    shapes = [run, chosen.memory_rows, chosen.memory_lengths, chosen.memory_widths]
    compared = [run, chosen.sweep_batch_sizes, chosen.sweep_reference, chosen.sweep_learning_rate]
    plain = [
        ("text", text, text_to_tokens, tell_text_to_tokens),
        ("throughput", speed, throughput, tell_throughput),
        ("memory", shapes, memory, tell_memory),
        ("noise", run, noise, tell_noise),
        ("sample", run, sample, tell_sample),
    ]
    by_name = {
        name: Chapter(name=name, depends=depends, run=partial(made, demo), tell=_whatever_the_width(told))
        for name, depends, made, told in plain
    }
    by_name["batch"] = Chapter(
        name="batch",
        depends=[text, chosen.picture_rows, chosen.picture_steps],
        run=partial(one_batch, demo),
        tell=partial(tell_batch, demo),
    )
    by_name["training"] = Chapter(
        name="training", depends=run, run=partial(training, demo), tell=partial(tell_run, demo)
    )
    by_name["sweep"] = Chapter(
        name="sweep",
        depends=[*compared, chosen.sweep_seeds, chosen.sweep_tokens],
        run=partial(sweep, demo),
        tell=partial(tell_comparison, demo.recipe.training),
    )
    return [replace(by_name[name], tell=_numbered(number, by_name[name].tell)) for name, number in NUMBERS.items()]


def text_to_tokens(demo: Demo, heard: Heard) -> Json:
    began = time.monotonic()
    learned: list[float] = []  # when the first progress of the store came, the vocabulary was there

    def progress(step: Progress) -> None:
        learned.append(time.monotonic())
        heard(step.done, step.total, note=step.phase)

    heard(0, None, note="vocabulary")
    store = prepare(
        [demo.source],
        demo.store,
        tokenizer=f"train:{demo.recipe.model.vocabulary_size}",
        workers=1,
        validation_fraction=demo.settings.validation_fraction,
        errors="skip",  # the library's own tests hold files that are no UTF-8 on purpose: dropped, and counted
        progress=progress,
    )
    described = summary(store)
    size = sum(file.size for file in demo.files)
    return {
        "text": {"kind": demo.kind, "place": demo.place, "files": len(demo.files), "bytes": size},
        "store": described,
        "tally": described["tally"],
        "vocabulary_seconds": learned[0] - began,
        "place": str(demo.store),
    }


def one_batch(demo: Demo, heard: Heard) -> Json:
    step, ledger = liveliest_step(
        demo.store,
        rows=demo.settings.picture_rows,
        sequence_length=demo.recipe.training.sequence_length,
        steps=demo.settings.picture_steps,
        seed=demo.recipe.data.seed,
    )
    return {"step": step, "ledger": ledger}


def tell_batch(demo: Demo, result: Json, say: Say, width: int) -> Section:
    length, model = demo.recipe.training.sequence_length, demo.recipe.shape
    view, _ = look_at_batch(
        demo.store,
        rows=demo.settings.picture_rows,
        sequence_length=length,
        step=result["step"],
        seed=demo.recipe.data.seed,
    )
    return batch_section(
        view,
        result["ledger"],
        width=width,
        model_width=model.width,
        vocabulary_size=model.vocabulary_size,
        searched=demo.settings.picture_steps,
        say=say,
    )


def training(demo: Demo, heard: Heard) -> Json:
    """The run, and the noise of its gradients, which is measured while it lasts."""
    from batchwright.measuring.noise_monitor import NoiseMonitor
    from batchwright.training.step import StepRecord
    from batchwright.workflows.observe import describe_noise, on_threads
    from batchwright.workflows.train import geometry_of, records_of, train

    monitor = NoiseMonitor()

    def on_record(record: object) -> None:
        if isinstance(record, StepRecord):
            heard(record.tokens, demo.recipe.training.tokens, note=f"loss {record.loss:.2f}")

    with on_threads(threads()):
        result = train(demo.recipe, demo.run, observers=[monitor], on_record=on_record)
    if result.reason == "interrupted":
        raise KeyboardInterrupt  # its checkpoint is written: the next call goes on from there
    steps, evaluations = records_of(demo.run)
    model = demo.recipe.shape
    return {
        "steps": steps,
        "evaluations": evaluations,
        "parameters": model.parameter_count(),
        "vocabulary_size": model.vocabulary_size,
        "shape": f"D = {model.width}, L = {model.layers}, H = {model.heads}, F = {model.feed_forward_width}",
        "training_seconds": sum(step["seconds"] for step in steps),
        "noise": describe_noise(monitor, batch_tokens=geometry_of(demo.recipe).tokens_per_step, drifting=True),
    }


def tell_run(demo: Demo, result: Json, say: Say, width: int) -> Section:
    from batchwright.batches.geometry import BatchGeometry

    training = demo.recipe.training
    geometry = BatchGeometry(
        global_batch_size=training.global_batch_size,
        micro_batch_size=training.micro_batch_size,
        sequence_length=training.sequence_length,
    )
    return tell_training(result, tell_geometry(geometry, say), say)


def throughput(demo: Demo, heard: Heard) -> Json:
    from batchwright.workflows.observe import observe_speed, on_threads

    sizes = demo.settings.micro_batch_sizes
    heard(0, None, note=", ".join(map(str, sizes)))
    with on_threads(threads()):
        return observe_speed(
            demo.recipe.model,
            demo.recipe.training,
            micro_batch_sizes=sizes,
            seconds=demo.settings.speed_seconds,
        )


def memory(demo: Demo, heard: Heard) -> Json:
    from batchwright.workflows.observe import observe_memory, on_threads

    with on_threads(threads()):
        return observe_memory(
            demo.recipe.shape,
            demo.recipe.training,
            rows=demo.settings.memory_rows,
            lengths=demo.settings.memory_lengths,
            widths=demo.settings.memory_widths,
            progress=heard,
        )


def noise(demo: Demo, heard: Heard) -> Json:
    return demo.stages.read("training")["noise"]


def sweep(demo: Demo, heard: Heard) -> Json:
    from batchwright.workflows.plots import plot_sweep
    from batchwright.workflows.sweep import sweep as run_sweep

    chosen = demo.settings
    training = replace(
        demo.recipe.training,
        global_batch_size=chosen.sweep_reference,
        learning_rate=chosen.sweep_learning_rate,
    )
    result = run_sweep(
        replace(demo.recipe, training=training),
        demo.sweep,
        batch_sizes=chosen.sweep_batch_sizes,
        seeds=chosen.sweep_seeds,
        tokens=chosen.sweep_tokens,
        heard=heard,
    )
    plot_sweep(result["runs"], demo.out / "loss.png")
    return result


def tell_comparison(run: TrainingConfig, result: Json, say: Say, width: int) -> Section:
    section = tell_sweep(result, say)
    return Section(
        title=section.title,
        blocks=(
            *section.blocks,
            *_budgets(run, result, say),
            Figure(file_name="loss.png", caption=say("sweep.figure")),
        ),
    )


def _budgets(run: TrainingConfig, result: Json, say: Say) -> list[str]:
    """Why the run before took another batch than the one that won here, if it did."""
    best = result["verdict"]["best"]["global_batch_size"]
    if run.tokens <= result["tokens"] or run.global_batch_size <= best:
        return []
    return [
        say(
            "sweep.budget",
            tokens=f"{result['tokens']:,}",
            batch=run.global_batch_size,
            run_tokens=f"{run.tokens:,}",
        )
    ]


def sample(demo: Demo, heard: Heard) -> Json:
    from batchwright.workflows.sample import sample_text

    return sample_text(demo.run, demo.store, demo.recipe.model, heard=heard)


def threads() -> int:
    return min(MOST_THREADS, available_cores())


def _numbered(number: str, tell: Callable[[Json, Say, int], Section]) -> Callable[[Json, Say, int], Section]:
    """The verbs tell the same sections without a number."""

    def told(result: Json, say: Say, width: int) -> Section:
        section = tell(result, say, width)
        return replace(section, title=f"{number} {section.title}")

    return told


def _whatever_the_width(tell: Any) -> Any:
    return lambda result, say, width: tell(result, say)
