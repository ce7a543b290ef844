"""`batchwright prepare SOURCES --out STORE`, or `prepare RECIPE.toml`: text files → a token store, and where every
document went.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from batchwright.cli.face import PEOPLE, Face
from batchwright.cli.options import Settings
from batchwright.cli.paint import paint_grid, paint_section, paint_warning
from batchwright.documents.decontamination import Decontamination
from batchwright.documents.inputs import TextSource
from batchwright.foundation.errors import RecipeError, UsageError
from batchwright.foundation.units import format_bytes, format_count
from batchwright.recipe import load_text_recipe
from batchwright.tokens.build import Progress
from batchwright.tokens.infilling import Infilling
from batchwright.tokens.prepare_recipe import PrepareRecipe
from batchwright.workflows.corpus import write_pages
from batchwright.workflows.prepare import mostly_dropped, near_named, rehearse_text, steps_named, summary
from batchwright.workflows.prepare import prepare as prepare_text
from batchwright.workflows.telling.rehearsal import tell_rehearsal
from batchwright.workflows.telling.text_to_tokens import tell_mostly_dropped, tell_nothing_held_out, tell_tally


def prepare(
    sources: Annotated[list[str] | None, Parameter(negative=())] = None,
    /,
    *,
    out: Path | None = None,
    set: Settings = None,
    tokenizer: str | None = None,
    tokenizer_engine: Literal["auto", "tokenizers", "gigatoken"] | None = None,
    engine: Literal["local", "ray"] = "local",
    workers: int | None = None,
    ray_address: str | None = None,
    errors: Literal["strict", "replace", "skip"] | None = None,
    text_column: str | None = None,
    validation: float | None = None,
    seed: int | None = None,
    licence: str | None = None,
    name: str | None = None,
    repeat: float | None = None,
    clean: Literal["none", "repairs", "fineweb", "gopher", "c4", "code"] | None = None,
    steps: Path | None = None,
    language: str | None = None,
    near_duplicates: Literal["off", "drop", "split"] | None = None,
    min_similarity: float | None = None,
    against: Annotated[list[Path] | None, Parameter(negative=())] = None,
    fim: float | None = None,
    fim_spm: float | None = None,
    decontaminate: Annotated[list[Path] | None, Parameter(negative=())] = None,
    decontaminate_words: int | None = None,
    keep_rejected: Annotated[bool | None, Parameter(negative=())] = None,
    dry_run: Annotated[bool, Parameter(negative=())] = False,
    face: Face = PEOPLE,
) -> None:
    """Text files, or what a recipe says of them → a token store. Interrupted, the same command goes on; finished, it
    changes nothing.

    Parameters
    ----------
    sources
        Files, directories or globs: text and source files, .jsonl, .parquet, also .gz and .zst. Or one RECIPE.toml,
        whose [prepare] names several sources and says what is done with them.
    out
        Directory of the store; of a recipe by default its [data] store.
    set
        Overrides one value: --set prepare.seed=1. May be given several times.
    tokenizer
        bytes (the default), the path of a tokenizer.json, of a folder with encoder.json and vocab.bpe, or of a
        .tiktoken file (cl100k:PATH where its name does not tell how it cuts words), or train:4096 to learn a vocabulary
        of that size from the sources.
    tokenizer_engine
        What encodes with a tokenizer.json; auto, the default, takes the fastest that is proven exact.
    engine
        Where the work is done: in processes of this machine, or on a Ray cluster; the same bytes come of both.
    workers
        Processes; by default one per core, or all of the cluster's. The store's bytes do not depend on it.
    ray_address
        A running Ray cluster (HOST:6379, or auto for this machine's); without it one is started here for the job.
        Sources and --out must lie where all its nodes see them under the same path.
    errors
        What is done about text that is not UTF-8 or a record that cannot be read: stop (the default), repair, or drop
        and count.
    text_column
        Key or column that holds the text in .jsonl and .parquet; by default text.
    validation
        Share of the documents held out for validation; by default none.
    seed
        Names the validation split and the sample for a trained vocabulary; by default 0.
    licence
        The text's licence, written into the store; by default unknown.
    name
        The source's name, written into the store; by default text.
    repeat
        How often each document is stored for training, by default once: 1.5 stores every second one twice
        (docs/augmentation.md).
    clean
        Published filters, after mail, HTML, mojibake and control characters are repaired (or only that: repairs); what
        they drop is counted by reason. By default none.
    steps
        A TOML file of [[step]] tables instead: your own filters and thresholds.
    language
        Of the text, by default en: sets stop words, and whether words are spaced (zh, ja, th are not).
    near_duplicates
        Look for texts that are nearly the same: drop keeps the first of them, split keeps all on one side of the
        validation split, off (the default) does not look (docs/near-duplicates.md).
    min_similarity
        Share of common runs of five words from which on two texts are near-duplicates; by default 0.7.
    against
        A finished store: texts that it holds, and with --near-duplicates near copies of them, are left out. Repeatable.
    fim
        Share of the documents stored as prefix, suffix and middle, for a model that fills in (docs/augmentation.md); by
        default none.
    fim_spm
        Of these, the share whose suffix comes first; by default half.
    decontaminate
        A file of evaluation texts (.jsonl: every string in it; else the whole file), may be given again: documents that
        share a run of words with one are dropped.
    decontaminate_words
        How many words alike in a row are an overlap, by default 13.
    keep_rejected
        Write what filters drop to STORE/rejected/REASON.jsonl, to be looked at with show --rejected REASON.
    dry_run
        Write nothing: read a sample, and say how many documents, tokens, bytes and seconds it would be.
    """
    flags = {
        "tokenizer": tokenizer,
        "tokenizer_engine": tokenizer_engine,
        "errors": errors,
        "validation": validation,
        "seed": seed,
        "clean": clean,
        "language": language,
        "near_duplicates": near_duplicates,
        "min_similarity": min_similarity,
        "against": None if against is None else [str(store) for store in against],
        "fim": fim,
        "fim_spm": fim_spm,
        "decontaminate": None if decontaminate is None else [str(path) for path in decontaminate],
        "decontaminate_words": decontaminate_words,
        "keep_rejected": keep_rejected,
    }
    origin: dict[str, Any] = {"name": name, "text_column": text_column, "licence": licence, "repeat": repeat}
    wanted, out = _wanted(sources or [], out, set or (), flags, origin, steps)
    job: dict[str, Any] = {
        "tokenizer": wanted.tokenizer,
        "tokenizer_engine": wanted.tokenizer_engine,
        "workers": workers,
        "seed": wanted.seed,
        "errors": wanted.errors,
        "steps": steps_named(wanted.clean, file=steps, listed=wanted.steps, language=wanted.language),
    }
    if dry_run:
        with face.progress(face.say("rehearsal.title"), unit=format_bytes) as advance:
            rehearsed = rehearse_text(wanted.sources, out, **job, heard=advance)
        warning = tell_mostly_dropped(mostly_dropped(rehearsed.tally), face.say)
        left_out = _not_rehearsed(wanted)
        face.answer(
            {**rehearsed.to_json(), "not_rehearsed": left_out},
            paint_section(tell_rehearsal(rehearsed, face.say)),
            *([face.say("rehearsal.left_out", names=", ".join(left_out))] if left_out else []),
            *map(paint_warning, warning),
        )
        return
    with face.progress(face.say("prepare.title"), unit=format_bytes) as advance:

        def heard(progress: Progress) -> None:
            counted = progress.total if progress.phase in ("naming", "tokenizing") else None  # the others not in bytes
            advance(progress.done, counted, note=face.say(f"prepare.{progress.phase.replace(' ', '_')}"))

        if wanted.tokenizer.startswith("train:"):
            advance(0, note=face.say("prepare.vocabulary"))
        store = prepare_text(
            wanted.sources,
            out,
            **job,
            engine=engine,
            ray_address=ray_address,
            validation_fraction=wanted.validation,
            near_duplicates=near_named(wanted.near_duplicates, wanted.min_similarity),
            against=[Path(store) for store in wanted.against],
            infilling=Infilling(rate=wanted.fim, spm_share=wanted.fim_spm) if wanted.fim else None,
            decontamination=_decontamination(wanted),
            keep_rejected=wanted.keep_rejected,
            progress=heard,
        )
    result = summary(store)
    counts = result["counts"]
    sentence = face.say(
        "prepare.done",
        tokens=f"{counts['tokens']:,}",
        documents=f"{counts['documents']:,}",
        bytes_per_token=f"{counts['text_bytes'] / counts['tokens']:.2f}",
        short=format_count(counts["tokens"]),
        place=str(out),
        fingerprint=result["fingerprint"],
    )
    warning = tell_mostly_dropped(result["mostly_dropped"], face.say)
    warning += tell_nothing_held_out(result["nothing_held_out"], face.say)
    with face.progress(face.say("corpus.title")):
        report = write_pages(store, face.say)
    face.answer(
        {**result, "report": str(report)},
        paint_grid(tell_tally(result["tally"], face.say)),
        *map(paint_warning, warning),
        sentence,
        face.say("corpus.pages", place=str(report)),
    )


def _wanted(
    words: Sequence[str],
    out: Path | None,
    settings: Sequence[str],
    flags: Mapping[str, Any],
    origin: Mapping[str, Any],
    steps: Path | None,
) -> tuple[PrepareRecipe, Path]:
    """What is to be done and where, from the recipe if the words are one, the environment and what was typed."""
    file = _recipe_file(words)
    laid = {key: value for key, value in flags.items() if value is not None}
    if steps is not None:
        laid = {"clean": "none", "steps": [], **laid}  # a list of one's own stands instead of the recipe's
    elif "clean" in laid:
        laid["steps"] = []
    said = {key: value for key, value in origin.items() if value is not None}
    typed = file is None and bool(words)
    if said and not typed:
        raise UsageError(
            f"--{next(iter(said)).replace('_', '-')} is of a source given by its paths",
            remedy="a recipe's sources say it themselves: [[prepare.sources]]",
        )
    loaded = load_text_recipe(file, settings=settings, flags=laid)
    wanted = loaded.prepare or PrepareRecipe()
    if typed:
        wanted = replace(wanted, sources=(TextSource(paths=tuple(words), **{"name": "text", **said}),))
    if not wanted.sources and file is None:
        raise UsageError("nothing to prepare is named", remedy="batchwright prepare TEXT --out STORE")
    if not wanted.sources:
        raise RecipeError(
            "this recipe names no text",
            where=str(file),
            remedy="[[prepare.sources]] with name and paths; to read the file itself as text, name its directory",
        )
    if out is None and file is None:
        raise UsageError("where the store shall lie is not said", remedy="--out STORE")
    return wanted, Path(loaded.data.store) if out is None else out


def _not_rehearsed(wanted: PrepareRecipe) -> list[str]:
    """What is asked for and changes counts, but is not done to a sample."""
    asked = {
        "repeat": any(source.repeat != 1.0 for source in wanted.sources),
        "near_duplicates": wanted.near_duplicates == "drop",
        "against": bool(wanted.against),
        "fim": bool(wanted.fim),
        "decontaminate": bool(wanted.decontaminate),
    }
    return [name for name, said in asked.items() if said]


def _decontamination(wanted: PrepareRecipe) -> Decontamination | None:
    files = [Path(path) for path in wanted.decontaminate]
    return Decontamination.of(files, wanted.decontaminate_words) if files else None


def _recipe_file(words: Sequence[str]) -> Path | None:
    """A .toml file alone is a recipe; among others, or found by a glob, it is text."""
    alone = len(words) == 1 and words[0].endswith(".toml") and not any(mark in words[0] for mark in "*?[")
    return Path(words[0]) if alone and not Path(words[0]).is_dir() else None
