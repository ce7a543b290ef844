"""`batchwright prepare SOURCES --out STORE`: text files → a token store, and where every document went."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from batchwright.cli.face import PEOPLE, Face
from batchwright.cli.paint import paint_grid, paint_section, paint_warning
from batchwright.documents.decontamination import Decontamination
from batchwright.documents.inputs import TextSource
from batchwright.foundation.units import format_bytes, format_count
from batchwright.tokens.build import Progress
from batchwright.tokens.infilling import Infilling
from batchwright.workflows.corpus import write_pages
from batchwright.workflows.prepare import mostly_dropped, rehearse_text, steps_named, summary
from batchwright.workflows.prepare import prepare as prepare_text
from batchwright.workflows.telling.rehearsal import tell_rehearsal
from batchwright.workflows.telling.text_to_tokens import tell_mostly_dropped, tell_tally


def prepare(
    sources: Annotated[list[str], Parameter(negative=())],
    /,
    *,
    out: Path,
    tokenizer: str = "bytes",
    tokenizer_engine: Literal["auto", "tokenizers", "gigatoken"] = "auto",
    engine: Literal["local", "ray"] = "local",
    workers: int | None = None,
    ray_address: str | None = None,
    errors: Literal["strict", "replace", "skip"] = "strict",
    text_column: str = "text",
    validation: float = 0.0,
    seed: int = 0,
    licence: str = "unknown",
    name: str = "text",
    repeat: float = 1.0,
    clean: Literal["none", "repairs", "fineweb", "gopher", "c4", "code"] = "none",
    steps: Path | None = None,
    language: str = "en",
    fim: float = 0.0,
    fim_spm: float = 0.5,
    decontaminate: Annotated[list[Path] | None, Parameter(negative=())] = None,
    decontaminate_words: int = 13,
    keep_rejected: Annotated[bool, Parameter(negative=())] = False,
    dry_run: Annotated[bool, Parameter(negative=())] = False,
    face: Face = PEOPLE,
) -> None:
    """Text files → a token store. Interrupted, the same command goes on; finished, it changes nothing.

    Parameters
    ----------
    sources
        Files, directories or globs: text and source files, .jsonl, .parquet, also .gz and .zst.
    out
        Directory of the store.
    tokenizer
        bytes, the path of a tokenizer.json, of a folder with encoder.json and vocab.bpe, or of a .tiktoken file
        (cl100k:PATH where its name does not tell how it cuts words), or train:4096 to learn a vocabulary of that size
        from the sources.
    tokenizer_engine
        What encodes with a tokenizer.json; auto takes the fastest that is proven exact.
    engine
        Where the work is done: in processes of this machine, or on a Ray cluster; the same bytes come of both.
    workers
        Processes; by default one per core, or all of the cluster's. The store's bytes do not depend on it.
    ray_address
        A running Ray cluster (HOST:6379, or auto for this machine's); without it one is started here for the job.
        Sources and --out must lie where all its nodes see them under the same path.
    errors
        What is done about text that is not UTF-8 or a record that cannot be read: stop, repair, or drop and count.
    text_column
        Key or column that holds the text in .jsonl and .parquet.
    validation
        Share of the documents held out for validation.
    seed
        Names the validation split and the sample for a trained vocabulary.
    licence
        The text's licence, written into the store.
    name
        The source's name, written into the store.
    repeat
        How often each document is stored for training: 1.5 stores every second one twice (docs/augmentation.md).
    clean
        Published filters, after mail, HTML, mojibake and control characters are repaired (or only that: repairs); what
        they drop is counted by reason.
    steps
        A TOML file of [[step]] tables instead: your own filters and thresholds.
    language
        Of the text: sets stop words, and whether words are spaced (zh, ja, th are not).
    fim
        Share of the documents stored as prefix, suffix and middle, for a model that fills in (docs/augmentation.md).
    fim_spm
        Of these, the share whose suffix comes first.
    decontaminate
        A file of evaluation texts (.jsonl: every string in it; else the whole file), may be given again: documents that
        share a run of words with one are dropped.
    decontaminate_words
        How many words alike in a row are an overlap.
    keep_rejected
        Write what filters drop to STORE/rejected/REASON.jsonl, to be looked at with show --rejected REASON.
    dry_run
        Write nothing: read a sample, and say how many documents, tokens, bytes and seconds it would be.
    """
    source = TextSource(name=name, paths=tuple(sources), text_column=text_column, licence=licence, repeat=repeat)
    cleaning = steps_named(clean, file=steps, language=language)
    if dry_run:
        with face.progress(face.say("rehearsal.title"), unit=format_bytes) as advance:
            rehearsed = rehearse_text(
                [source],
                out,
                tokenizer=tokenizer,
                tokenizer_engine=tokenizer_engine,
                workers=workers,
                seed=seed,
                errors=errors,
                steps=cleaning,
                heard=advance,
            )
        warning = tell_mostly_dropped(mostly_dropped(rehearsed.tally), face.say)
        face.answer(
            rehearsed.to_json(),
            paint_section(tell_rehearsal(rehearsed, face.say)),
            *map(paint_warning, warning),
        )
        return
    with face.progress(face.say("prepare.title"), unit=format_bytes) as advance:

        def heard(progress: Progress) -> None:
            counted = progress.total if progress.phase in ("naming", "tokenizing") else None  # the others not in bytes
            advance(progress.done, counted, note=face.say(f"prepare.{progress.phase.replace(' ', '_')}"))

        if tokenizer.startswith("train:"):
            advance(0, note=face.say("prepare.vocabulary"))
        store = prepare_text(
            [source],
            out,
            tokenizer=tokenizer,
            tokenizer_engine=tokenizer_engine,
            engine=engine,
            workers=workers,
            ray_address=ray_address,
            validation_fraction=validation,
            seed=seed,
            errors=errors,
            steps=cleaning,
            decontamination=Decontamination.of(decontaminate, decontaminate_words) if decontaminate else None,
            infilling=Infilling(rate=fim, spm_share=fim_spm) if fim else None,
            keep_rejected=keep_rejected,
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
    with face.progress(face.say("corpus.title")):
        report = write_pages(store, face.say)
    face.answer(
        {**result, "report": str(report)},
        paint_grid(tell_tally(result["tally"], face.say)),
        *map(paint_warning, warning),
        sentence,
        face.say("corpus.pages", place=str(report)),
    )
