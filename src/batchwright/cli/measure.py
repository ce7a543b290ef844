"""`batchwright measure corpus|coverage|noise|throughput|memory|sweep`: observes by running, and says how sure it is.

Of these `noise` runs on the ranks of torchrun, too; what measures one process refuses to be started as many.
"""

import os
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from batchwright.cli.face import PEOPLE, Face, Silent
from batchwright.cli.options import Settings, Sizes
from batchwright.cli.paint import paint_section
from batchwright.foundation.errors import UsageError
from batchwright.foundation.files import translated
from batchwright.recipe import load_recipe
from batchwright.workflows.telling.batch_size import tell_memory, tell_noise, tell_throughput
from batchwright.workflows.telling.sweep import tell_sweep

app = App(name="measure", result_action="return_value")

Paths = Annotated[tuple[Path, ...], Parameter(consume_multiple=True)]
PackingName = Literal["best-fit", "concatenate", "best-fit-truncated", "start-aligned"]


def refuse_ranks(verb: str) -> None:
    """Raises UsageError where torchrun started several processes of a verb that measures one."""
    started = os.environ.get("WORLD_SIZE", "1")
    if started not in ("", "1"):
        raise UsageError(
            f"{verb} measures one process, and torchrun started {started} that would each measure the others' load",
            remedy=f"batchwright {verb} …, without torchrun",
        )


@app.command
def coverage(
    paths: Paths,
    /,
    *,
    set: Settings = None,
    length: Annotated[int | None, Parameter(name=["--length", "-T"])] = None,
    packing: PackingName | None = None,
    compare: bool = False,
    tokens: str | None = None,
    split: str = "train",
    seed: int | None = None,
    plot: Path | None = None,
    face: Face = PEOPLE,
) -> None:
    """Where every stored token goes before anything is trained: padding, drops, cuts, epochs.

    Parameters
    ----------
    paths
        A recipe in TOML, or token stores made by `batchwright prepare`, each a source.
    set
        Overrides one value of a recipe: --set training.sequence_length=64. May be given several times.
    length
        T, tokens per row. By default the recipe's, or 2048 for stores.
    packing
        How documents are laid into rows. By default the recipe's, or best-fit.
    compare
        All packings side by side.
    tokens
        The run's budget, as 400k or 2M: how many epochs it means. By default the recipe's.
    split
        train or validation.
    seed
        Names the order in which documents are drawn. By default the recipe's, or 0.
    plot
        A PNG file to draw.
    """
    from batchwright.foundation.units import parse_count
    from batchwright.workflows.coverage import cover_recipe, cover_stores
    from batchwright.workflows.plots import plot_coverage
    from batchwright.workflows.telling.coverage import tell_coverage

    budget = None if tokens is None else parse_count(tokens)
    with face.progress(face.say("coverage.title")) as advance:
        wanted = {"split": split, "compare": compare, "heard": advance}
        if len(paths) == 1 and paths[0].is_file():
            loaded = load_recipe(paths[0], settings=set or ())
            result = cover_recipe(loaded, length=length, packing=packing, seed=seed, budget=budget, **wanted)
        else:
            result = cover_stores(
                paths, length=length or 2048, packing=packing or "best-fit", seed=seed or 0, budget=budget, **wanted
            )
    if plot is not None:
        plot_coverage(result, plot)
    face.answer(result, paint_section(tell_coverage(result, face.say)), *([] if plot is None else [str(plot)]))


@app.command
def corpus(
    store: Path,
    /,
    *,
    split: str = "train",
    sample: int = 2000,
    seed: int = 0,
    plot: Path | None = None,
    face: Face = PEOPLE,
) -> None:
    """What a store holds: lengths of documents, sources and licences, languages, and why documents were dropped.

    Parameters
    ----------
    store
        A token store made by `batchwright prepare`.
    split
        train or validation.
    sample
        Of how many documents the language is guessed.
    seed
        Names which ones.
    plot
        A PNG file to draw.
    """
    from batchwright.tokens.store import TokenStore
    from batchwright.workflows.corpus import corpus_facts
    from batchwright.workflows.corpus_figure import plot_corpus
    from batchwright.workflows.telling.corpus import tell_corpus

    if sample < 1:
        raise UsageError(f"--sample {sample}", remedy="a number of documents, 1 or more")
    with face.progress(face.say("corpus.title")):
        facts = corpus_facts(TokenStore.open(store), split=split, sample=sample, seed=seed)
    if plot is not None:
        with translated(plot):
            plot_corpus(facts, plot)
    sections = tell_corpus(facts, face.say)
    face.answer(facts, *map(paint_section, sections), *([] if plot is None else [str(plot)]))


@app.command
def noise(
    recipe: Path,
    /,
    *,
    set: Settings = None,
    run: Annotated[Path | None, Parameter(name=["--run", "--run-directory"])] = None,
    steps: int = 64,
    face: Face = PEOPLE,
) -> None:
    """The gradient noise scale at frozen weights, with an interval. Under torchrun the ranks share the rows.

    Parameters
    ----------
    recipe
        A recipe in TOML; a step must have two or more micro-batches.
    set
        Overrides one value: --set training.micro_batch_size=4. May be given several times.
    run
        A run directory: measure at its newest checkpoint. By default at fresh weights. torchrun takes --run for an
        option of its own; there, write --run-directory.
    steps
        How many batches are measured.
    """
    from batchwright.training.ranks import started_ranks
    from batchwright.workflows.observe import observe_noise

    loaded = load_recipe(recipe, settings=set or ())
    with started_ranks(loaded.training.device) as ranks:
        face = face if ranks.first else Silent(json=face.json, lang=face.lang)
        with face.progress(face.say("demo.stage.noise")) as advance:
            result = observe_noise(loaded, run, steps=steps, heard=advance, ranks=ranks)
        if ranks.first:
            face.answer(result, paint_section(tell_noise(result, face.say)))


@app.command
def throughput(
    recipe: Path,
    /,
    *,
    set: Settings = None,
    micro_batch: Sizes = (1, 2, 4, 8, 16, 32, 64),
    seconds: float = 20.0,
    face: Face = PEOPLE,
) -> None:
    """Tokens per second at each micro-batch.

    Parameters
    ----------
    recipe
        A recipe in TOML.
    set
        Overrides one value: --set training.sequence_length=64. May be given several times.
    micro_batch
        The sizes to measure.
    seconds
        About how long to measure.
    """
    from batchwright.workflows.observe import observe_speed

    refuse_ranks("measure throughput")

    loaded = load_recipe(recipe, settings=set or ())
    with face.progress(face.say("demo.stage.throughput")) as advance:
        advance(0, None, note=", ".join(map(str, micro_batch)))
        result = observe_speed(loaded.model, loaded.training, micro_batch_sizes=micro_batch, seconds=seconds)
    face.answer(result, paint_section(tell_throughput(result, face.say)))


@app.command
def memory(
    recipe: Path,
    /,
    *,
    set: Settings = None,
    rows: Sizes = (1, 4, 16),
    lengths: Sizes = (64, 128, 256),
    widths: Sizes = (32, 64, 128),
    face: Face = PEOPLE,
) -> None:
    """Peak bytes by part as B, T and D vary: the closed form beside what the real step allocates. Of a foreign model,
    what its real step allocates as B and T vary.

    Parameters
    ----------
    recipe
        A recipe in TOML.
    set
        Overrides one value: --set training.micro_batch_size=4. May be given several times.
    rows
        Values of B, the micro-batch.
    lengths
        Values of T, tokens per row.
    widths
        Values of D, the model's width.
    """
    from batchwright.workflows.observe import observe_memory

    refuse_ranks("measure memory")

    loaded = load_recipe(recipe, settings=set or ())
    with face.progress(face.say("demo.stage.memory")) as advance:
        result = observe_memory(
            loaded.model, loaded.training, rows=rows, lengths=lengths, widths=widths, progress=advance
        )
    face.answer(result, paint_section(tell_memory(result, face.say)))


@app.command
def sweep(
    recipe: Path,
    /,
    *,
    out: Path,
    set: Settings = None,
    batch: Sizes,
    seeds: int = 2,
    tokens: str = "400k",
    rule: str = "sqrt",
    workers: int | None = None,
    face: Face = PEOPLE,
) -> None:
    """Several batch sizes at the same number of tokens, with and without the learning rate adjusted.

    Parameters
    ----------
    recipe
        A recipe in TOML; its global batch is the reference and must be among the sizes.
    out
        Where finished runs are kept; the same command again does only what is missing.
    set
        Overrides one value: --set training.learning_rate=0.002. May be given several times.
    batch
        Global batch sizes in sequences: --batch 8 --batch 32 --batch 128.
    seeds
        How many seeds for each setting; two at least for any verdict.
    tokens
        Budget of every run, as 400k or 2M.
    rule
        How the learning rate follows the batch: constant, sqrt or linear.
    workers
        Runs beside each other; by default one per core.
    """
    from batchwright.foundation.units import format_count, parse_count
    from batchwright.workflows.plots import plot_sweep
    from batchwright.workflows.sweep import sweep as run_sweep

    refuse_ranks("measure sweep")

    loaded = load_recipe(recipe, settings=set or ())
    with face.progress(face.say("demo.stage.sweep"), unit=format_count) as advance:
        result = run_sweep(
            loaded,
            out,
            batch_sizes=batch,
            seeds=range(seeds),
            tokens=parse_count(tokens),
            rule=rule,
            workers=workers,
            heard=advance,
        )
    plot_sweep(result["runs"], out / "loss.png")
    face.answer(result, paint_section(tell_sweep(result, face.say)), str(out / "loss.png"))
