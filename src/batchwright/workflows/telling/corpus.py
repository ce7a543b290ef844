"""What a corpus holds and how it was made, in words."""

from collections.abc import Mapping
from typing import Any

from batchwright.foundation.units import format_bytes, format_count, format_seconds
from batchwright.workflows.section import Block, Code, Grid, Section
from batchwright.workflows.strings import Say
from batchwright.workflows.telling.text_to_tokens import named_reason, tell_tally

MOST_ROWS = 12


def tell_corpus(facts: Mapping[str, Any], say: Say) -> list[Section]:
    """Lengths, sources, languages and reasons of one split."""
    return [
        Section(title=say("corpus.lengths"), blocks=_tell_lengths(facts, say)),
        Section(title=say("corpus.sources"), blocks=(_sources(facts, say), *_licences(facts, say))),
        Section(title=say("corpus.languages"), blocks=_tell_languages(facts, say)),
        Section(title=say("corpus.reasons"), blocks=_tell_reasons(facts["tally"], say)),
    ]


def tell_store_report(facts: Mapping[str, Any], say: Say) -> list[Section]:
    """What the store is, and where every document of its input went."""
    making = facts["provenance"]
    made: list[Block] = [
        say(
            "corpus.tokenizer",
            size=f"{facts['vocabulary_size']:,}",
            tokenizer=facts["tokenizer"],
            eot=facts["eot"],
            dtype={"<u2": "uint16", "<u4": "uint32"}[facts["dtype"]],
        )
    ]
    if making.get("engine"):
        made.append(
            say(
                "corpus.engine",
                engine=making["engine"],
                probe=making.get("probe", ""),
                audited=f"{making.get('audited_documents', 0):,}",
                seconds=format_seconds(making.get("seconds", 0.0)),
                workers=f"{making.get('workers', 1):,}",
            )
        )
    if facts["recipe"].get("steps"):
        made += [say("corpus.steps"), Code(text="\n".join(_step(step) for step in facts["recipe"]["steps"]))]
    if making.get("versions"):
        made.append(
            say("corpus.versions", versions=", ".join(f"{name} {what}" for name, what in making["versions"].items()))
        )
    return [
        Section(title=say("corpus.store"), blocks=(_summary(facts, say), _splits(facts, say), _commands(facts, say))),
        Section(title=say("corpus.fates"), blocks=(tell_tally(facts["tally"], say), *_aside(facts["tally"], say))),
        Section(title=say("corpus.making"), blocks=tuple(made)),
    ]


def tell_card(facts: Mapping[str, Any], say: Say) -> list[Section]:
    """What somebody who is handed the store needs to know."""
    languages = ", ".join(f"{each['name']} {each['share']:.0%}" for each in facts["languages"] if each["share"] >= 0.01)
    return [
        Section(
            title=say("card.what"),
            blocks=(
                say(
                    "card.summary",
                    documents=f"{facts['counts']['documents']:,}",
                    input_files=f"{facts['input_files']:,}",
                ),
                _splits(facts, say),
                say("card.languages", languages=languages, sampled=f"{facts['sampled']:,}"),
            ),
        ),
        Section(title=say("card.licences"), blocks=(_sources(facts, say), *_licences(facts, say))),
        Section(title=say("card.made"), blocks=(say("card.report"),)),
        Section(title=say("card.reading"), blocks=(_reading(facts), _commands(facts, say))),
    ]


def _summary(facts: Mapping[str, Any], say: Say) -> str:
    counts = facts["counts"]
    return say(
        "corpus.summary",
        tokens=f"{counts['tokens']:,}",
        documents=f"{counts['documents']:,}",
        text=format_bytes(counts["text_bytes"]),
        per_token=f"{counts['text_bytes'] / counts['tokens']:.2f}" if counts["tokens"] else "–",
        input_files=f"{facts['input_files']:,}",
        shards=f"{facts['shards']:,}",
        fingerprint=facts["fingerprint"],
    )


def _splits(facts: Mapping[str, Any], say: Say) -> Grid:
    rows = tuple(
        (name, f"{each['documents']:,}", f"{each['tokens']:,}", format_bytes(each["text_bytes"]))
        for name, each in facts["splits"].items()
    )
    return Grid(header=(say("corpus.split"), say("documents"), say("corpus.tokens"), say("corpus.text")), rows=rows)


def _commands(facts: Mapping[str, Any], say: Say) -> Code:
    place = facts["store"]
    return Code(
        text=f"batchwright show {place}\nbatchwright verify {place}\nbatchwright measure corpus {place}\n"
        f"batchwright measure coverage {place} --compare"
    )


def _reading(facts: Mapping[str, Any]) -> Code:
    return Code(
        text="import batchwright as bw\n\n"
        f'store = bw.TokenStore.open("{facts["store"]}")\n'
        'print(store.text_of("train", 0))\n'
        "plan = bw.Plan.of(bw.build_index(store, sequence_length=1024), seed=1)"
    )


def _tell_lengths(facts: Mapping[str, Any], say: Say) -> tuple[Block, ...]:
    lengths = facts["lengths"]
    percentiles = lengths["percentiles"]
    sentence = say(
        "corpus.length",
        split=facts["split"],
        documents=f"{facts['documents']:,}",
        median=f"{percentiles['50']:,}",
        mean=f"{lengths['mean']:,.0f}",
        middle=f"{percentiles['5']:,} – {percentiles['95']:,}",
        shortest=f"{lengths['shortest']:,}",
        longest=f"{lengths['longest']:,}",
    )
    rows, documents, tokens = list[tuple[str, ...]](), 0, 0
    for each in lengths["bins"]:
        documents, tokens = documents + each["documents"], tokens + each["tokens"]
        rows.append(
            (
                f"{each['first']:,} – {each['stop'] - 1:,}",
                f"{each['documents']:,}",
                f"{documents / facts['documents']:.1%}",
                format_count(each["tokens"]),
                f"{tokens / facts['tokens']:.1%}",
            )
        )
    header = (say("corpus.tokens"), say("documents"), say("corpus.up_to"), say("corpus.tokens"), say("corpus.up_to"))
    return sentence, Grid(header=header, rows=tuple(rows))


def _sources(facts: Mapping[str, Any], say: Say) -> Grid:
    rows = tuple(
        (
            each["name"],
            facts["licences"].get(each["name"], "unknown"),
            f"{each['documents']:,}",
            f"{each['tokens']:,}",
        )
        for each in facts["sources"]
    )
    return Grid(header=(say("corpus.source"), say("corpus.licence"), say("documents"), say("corpus.tokens")), rows=rows)


def _licences(facts: Mapping[str, Any], say: Say) -> tuple[str, ...]:
    unknown = [name for name, licence in facts["licences"].items() if licence == "unknown"]
    return (say("corpus.licence_unknown", sources=", ".join(unknown)),) if unknown else ()


def _tell_languages(facts: Mapping[str, Any], say: Say) -> tuple[Block, ...]:
    rows = tuple(
        (each["name"], f"{each['share']:.1%}", f"{each['low']:.1%} – {each['high']:.1%}")
        for each in facts["languages"][:MOST_ROWS]
    )
    scripts = ", ".join(f"{each['name']} {each['share']:.1%}" for each in facts["scripts"][:MOST_ROWS])
    return (
        Grid(header=(say("corpus.language"), say("corpus.share"), say("corpus.interval")), rows=rows),
        say("corpus.guessed", sampled=f"{facts['sampled']:,}", scripts=scripts),
    )


def _tell_reasons(tally: Mapping[str, Any], say: Say) -> tuple[Block, ...]:
    """Whole store: what was dropped, most first; duplicates are reasons like any other."""
    read = tally["read"]
    dropped = sorted(tally["dropped"].items(), key=lambda item: (-item[1]["documents"], item[0]))
    if not dropped:
        return (say("corpus.nothing_dropped", read=f"{read['documents']:,}"),)
    rows = tuple(
        (
            f"{named_reason(name, say)} ({name})",
            f"{each['documents']:,}",
            f"{each['documents'] / read['documents']:.1%}",
            format_bytes(each["bytes"]),
            f"{each['bytes'] / read['bytes']:.1%}" if read["bytes"] else "–",
        )
        for name, each in dropped
    )
    header = (say("corpus.reason"), say("documents"), say("corpus.share"), say("corpus.text"), say("corpus.share"))
    return Grid(header=header, rows=rows), say("corpus.look", read=f"{read['documents']:,}")


def _aside(tally: Mapping[str, Any], say: Say) -> tuple[str, ...]:
    skipped = tally["skipped_files"]
    aside = ", ".join(f"{count:,} {name}" for name, count in skipped.items())
    return (say("tokens.skipped_files", files=aside),) if skipped else ()


def _step(step: Mapping[str, Any]) -> str:
    settings = ", ".join(f"{name} = {value}" for name, value in step.get("settings", {}).items())
    return f"{step['step'].rpartition(':')[2]}({settings})"
