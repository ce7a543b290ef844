"""A store as a corpus: what `measure corpus` answers, and the pages that `prepare` leaves beside a store.

    report.md    what was read, kept and dropped and why, how it was made, how long the documents are, which languages
    README.md    the card: what it is, licences, how to read it

Guarantee: made from the store alone, so the same store gives the same pages at any time (but for its own provenance:
times and versions); none of them belongs to the store's fingerprint. Price: see `measuring.corpus`.
"""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from batchwright.foundation.files import read_json, write_atomic
from batchwright.measuring.corpus import SAMPLE, measure_corpus
from batchwright.tokens.store import PROVENANCE_FILE, TokenStore
from batchwright.workflows.section import to_markdown
from batchwright.workflows.strings import Say
from batchwright.workflows.telling.corpus import tell_card, tell_corpus, tell_store_report

REPORT_NAME, CARD_NAME = "report.md", "README.md"
_SAMPLE = 500  # documents whose language is guessed when a store was just made

Json = dict[str, Any]


def corpus_facts(store: TokenStore, *, split: str = "train", sample: int = SAMPLE, seed: int = 0) -> Json:
    """What a split holds, and where the documents of the whole store went."""
    manifest, measured = store.manifest, asdict(measure_corpus(store, split, sample=sample, seed=seed))
    percentiles = measured["lengths"]["percentiles"]
    measured["lengths"]["percentiles"] = {str(percent): tokens for percent, tokens in percentiles.items()}
    return {
        "store": str(store.directory),
        "fingerprint": store.fingerprint,
        "licences": {str(source["name"]): str(source.get("licence", "unknown")) for source in manifest.sources},
        "tally": manifest.tally,
        **measured,
    }


def write_pages(store: TokenStore, say: Say) -> Path:
    """Write report and card, unless they stand there as they should; returns the report's path."""
    directory = store.directory
    facts = {**corpus_facts(store, sample=_SAMPLE), **_making(store)}
    report = [*tell_store_report(facts, say), *tell_corpus(facts, say)]
    _keep(directory / REPORT_NAME, to_markdown(report, title=say("corpus.report", name=_name(store))))
    card = to_markdown(tell_card(facts, say), title=_name(store))
    _keep(directory / CARD_NAME, _front_matter(facts) + card)
    return directory / REPORT_NAME


def _keep(path: Path, text: str) -> None:
    content = text.encode()
    if not path.exists() or path.read_bytes() != content:
        write_atomic(path, content)


def _name(store: TokenStore) -> str:
    return store.directory.resolve().name


def _making(store: TokenStore) -> Json:
    manifest, provenance = store.manifest, store.directory / PROVENANCE_FILE
    return {
        "splits": {name: asdict(manifest.counts(name)) for name in store.splits},
        "counts": asdict(manifest.counts()),
        "dtype": manifest.dtype,
        "vocabulary_size": manifest.vocabulary_size,
        "eot": manifest.tokenizer["eot_token"],
        "tokenizer": manifest.tokenizer["hash"],
        "shards": len(manifest.shards),
        "input_files": len(store.inputs),
        "recipe": manifest.recipe,
        "provenance": read_json(provenance) if provenance.exists() else {},
    }


_SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"), (10**7, "1M<n<10M"))


def _front_matter(facts: Mapping[str, Any]) -> str:
    """What catalogues of data read of a card (YAML): licence, languages found, size."""
    licences = sorted(set(facts["licences"].values()))
    # A language is named where at least 1 % of the documents are in it; "unknown" is no language.
    languages = [each["name"] for each in facts["languages"] if each["share"] >= 0.01 and each["name"] != "unknown"]
    documents = facts["counts"]["documents"]
    size = next((name for limit, name in _SIZES if documents < limit), "n>10M")
    lines = ["license: " + (licences[0] if len(licences) == 1 else "other")]
    if languages:
        lines += ["language:", *(f"- {name}" for name in languages)]
    return "\n".join(
        ["---", *lines, "size_categories:", f"- {size}", "task_categories:", "- text-generation", "---\n\n"]
    )
