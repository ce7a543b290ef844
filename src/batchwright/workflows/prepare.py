"""Text files → a token store, with a vocabulary that exists or one that is trained on the very text.

Price: reading and tokenizing run at ~40 MB per CPU-second (GPT-2's vocabulary, gigatoken). Training a vocabulary reads
at most `VOCABULARY_BYTES` of text, kept in memory, and takes ~1 s per 5 MB of the 16 MiB it then learns from; a
finished store gives its own.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, cast

from batchwright.documents.cleaning import DEFAULT_STEPS
from batchwright.documents.decontamination import Decontamination
from batchwright.documents.inputs import TextSource, discover
from batchwright.documents.near_duplicates import NearDuplicates
from batchwright.documents.partitions import partition
from batchwright.documents.pipeline import Step, clean
from batchwright.documents.reading import read_partition
from batchwright.documents.refusals import ErrorPolicy
from batchwright.documents.tally import Tally
from batchwright.engines.local import available_cores
from batchwright.foundation.errors import InputError, nearest
from batchwright.foundation.files import read_json
from batchwright.foundation.permutation import KeyedPermutation
from batchwright.foundation.randomness import key
from batchwright.foundation.units import MiB, parse_count
from batchwright.tokens.bpe import train_bpe
from batchwright.tokens.build import Progress, prepare_store
from batchwright.tokens.infilling import Infilling
from batchwright.tokens.manifest import MANIFEST, StoreManifest
from batchwright.tokens.store import PROVENANCE_FILE, TOKENIZER, TokenStore
from batchwright.tokens.tokenizer import Engine, Tokenizer, from_file, open_tokenizer, split_pattern
from batchwright.workflows.engines import EngineName, engine_named
from batchwright.workflows.rehearsal import Rehearsal, rehearse

VOCABULARY_BYTES = 64 * MiB
_PIECE_BYTES = 1 * MiB  # the sample for a vocabulary is drawn in pieces of about this size
TRAIN = "train:"
MOSTLY = 0.5  # of a corpus dropped: said aloud


def prepare(
    sources: Sequence[TextSource],
    out: Path,
    *,
    tokenizer: str = "bytes",
    tokenizer_engine: Engine = "auto",
    engine: EngineName = "local",
    workers: int | None = None,
    ray_address: str | None = None,
    validation_fraction: float = 0.0,
    seed: int = 0,
    errors: ErrorPolicy = "strict",
    steps: Sequence[Step] = DEFAULT_STEPS,
    near_duplicates: NearDuplicates | None = None,
    against: Sequence[Path] = (),
    infilling: Infilling | None = None,
    decontamination: Decontamination | None = None,
    keep_rejected: bool = False,
    progress: Callable[[Progress], None] | None = None,
) -> TokenStore:
    """The store at `out`; finished work is found finished. `tokenizer` as `tokenizer_named` takes it, `steps` as
    `steps_named` makes them; `engine`, `workers` and `ray_address` as `engine_named` takes them.
    """
    with engine_named(engine, workers=workers, ray_address=ray_address) as executor:
        words = kept_vocabulary(tokenizer, out, tokenizer_engine) or tokenizer_named(
            tokenizer, sources, engine=tokenizer_engine, errors=errors, seed=seed, steps=steps
        )
        return prepare_store(
            sources,
            out,
            tokenizer=words,
            vocabulary=tokenizer,
            executor=executor,
            validation_fraction=validation_fraction,
            seed=seed,
            errors=errors,
            steps=steps,
            near_duplicates=near_duplicates,
            against=against,
            infilling=infilling,
            decontamination=decontamination,
            keep_rejected=keep_rejected,
            progress=progress,
        )


def rehearse_text(
    sources: Sequence[TextSource],
    out: Path,
    *,
    tokenizer: str = "bytes",
    tokenizer_engine: Engine = "auto",
    workers: int | None = None,
    seed: int = 0,
    errors: ErrorPolicy = "strict",
    steps: Sequence[Step] = DEFAULT_STEPS,
    heard: Callable[[float, float], None] = lambda done, total: None,
) -> Rehearsal:
    """What `prepare` with the same arguments would do on this machine; nothing is written."""
    return rehearse(
        sources,
        out,
        tokenizer=tokenizer_named(tokenizer, sources, engine=tokenizer_engine, errors=errors, seed=seed, steps=steps),
        workers=available_cores() if workers is None else workers,
        errors=errors,
        seed=seed,
        steps=steps,
        heard=heard,
    )


def steps_named(
    clean: str = "none", *, file: Path | None = None, listed: Sequence[Mapping[str, Any]] = (), language: str = "en"
) -> tuple[Step, ...]:
    """The cleaning that every text gets, then a preset's steps, or those that a TOML file or a recipe lists."""
    if file is not None and clean != "none":
        raise InputError(f"both a preset ({clean}) and a list of steps ({file}) are given", remedy="one of them")
    if file is None and clean == "none" and not listed:
        return DEFAULT_STEPS
    from batchwright.documents import presets  # numba: 0.4 s, only where something is filtered

    if file is not None:
        return (*DEFAULT_STEPS, *presets.steps_from_file(file, language))
    try:
        return (*DEFAULT_STEPS, *presets.preset(clean, language), *presets.steps_listed(listed, language))
    except InputError as error:
        raise error.within("[[prepare.steps]]" if listed else "[prepare]") from None


def near_named(action: Literal["off", "drop", "split"], min_similarity: float = 0.7) -> NearDuplicates | None:
    """What is done about near-duplicates; None: they are not looked for."""
    return None if action == "off" else NearDuplicates(action=action, min_similarity=min_similarity)


def tokenizer_named(
    name: str,
    sources: Sequence[TextSource],
    *,
    engine: Engine = "auto",
    errors: ErrorPolicy = "strict",
    seed: int = 0,
    steps: Sequence[Step] = DEFAULT_STEPS,
) -> Tokenizer:
    """What `open_tokenizer` opens, or `train:4096`: learn so many tokens from the sources."""
    if name.startswith(TRAIN):
        size = parse_count(name.removeprefix(TRAIN))
        texts = list(sample_texts(sources, errors=errors, seed=seed, limit_bytes=VOCABULARY_BYTES, steps=steps))
        return from_file(train_bpe(texts, size), engine, where=name)
    if name != "bytes" and not split_pattern(name)[1].exists():
        hint = "bytes" if nearest(name, ["bytes"]) else "train:4096"
        raise InputError(
            f"there is no tokenizer {name!r}",
            remedy=f"{hint!r}; or the path of a tokenizer.json or .tiktoken file, or train:SIZE",
        )
    return open_tokenizer(name, engine=engine)


def kept_vocabulary(name: str, out: Path, engine: Engine = "auto") -> Tokenizer | None:
    """The vocabulary of a finished store at `out` that was learned by this very name, `train:4096`; else None.

    To learn it again would take minutes, only to find the store finished. Everything else that it was learned from
    (texts, steps, seed) `prepare_store` compares anyway, so a store of other texts is refused as before.
    """
    if not name.startswith(TRAIN) or not (out / MANIFEST).exists() or not (out / PROVENANCE_FILE).exists():
        return None
    store = TokenStore.open(out)
    made = read_json(out / PROVENANCE_FILE)
    if not isinstance(made, dict) or cast("dict[str, Any]", made).get("vocabulary") != name:
        return None
    kept = open_tokenizer(out / TOKENIZER, engine=engine)
    return kept if kept.hash == store.manifest.tokenizer["hash"] else None


def sample_texts(
    sources: Sequence[TextSource],
    *,
    errors: ErrorPolicy,
    seed: int,
    limit_bytes: int,
    steps: Sequence[Step] = DEFAULT_STEPS,
) -> Iterator[bytes]:
    """Cleaned texts of the sources, about `limit_bytes` of them, from pieces in keyed order: all, if there is less.

    Documents that will be held out are among them: a vocabulary sees what every text looks like, a model does not.
    """
    inputs = discover(sources, skip_unreadable=errors == "skip")
    pieces = partition(inputs, _PIECE_BYTES)
    taken = 0
    for place in KeyedPermutation(size=len(pieces), key=key(seed, "vocabulary-sample")).forward_range(0, len(pieces)):
        tally = Tally()
        documents = read_partition(pieces[int(place)], inputs=inputs, errors=errors, tally=tally)
        for document in clean(documents, steps, tally):
            yield document.utf8
            taken += len(document.utf8)
            if taken >= limit_bytes:
                return


def summary(store: TokenStore) -> dict[str, Any]:
    """What a store is, as JSON."""
    manifest = store.manifest
    value = manifest.to_json()
    return {
        "store": str(store.directory),
        "fingerprint": store.fingerprint,
        "dtype": manifest.dtype,
        "vocabulary_size": manifest.vocabulary_size,
        "eot_id": manifest.eot_id,
        "counts": value["counts"],
        "splits": value["splits"],
        "shards": len(manifest.shards),
        "sources": list(manifest.sources),
        "tally": manifest.tally,
        "mostly_dropped": mostly_dropped(manifest.tally),
        "nothing_held_out": nothing_held_out(manifest),
    }


def nothing_held_out(manifest: StoreManifest) -> dict[str, Any] | None:
    """When a validation split was asked for and came out empty: the share asked for, and of how many documents."""
    share = manifest.recipe.get("validation_fraction", 0.0)
    if not share or manifest.counts("validation").documents:
        return None
    return {"validation": share, "documents": manifest.counts().documents}


def mostly_dropped(tally: Mapping[str, Any]) -> dict[str, Any] | None:
    """When more than half of the documents or of the bytes were dropped: the shares, and the reasons, largest first."""
    read, reasons = tally["read"], tally["dropped"]
    shares = {
        unit: sum(each[unit] for each in reasons.values()) / read[unit] if read[unit] else 0.0
        for unit in ("documents", "bytes")
    }
    if max(shares.values()) <= MOSTLY:
        return None
    most = max(shares, key=shares.__getitem__)
    largest = sorted(reasons, key=lambda reason: -reasons[reason][most])
    return {**shares, "reasons": {reason: reasons[reason]["documents"] for reason in largest}}
