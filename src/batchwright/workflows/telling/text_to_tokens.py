"""What happened to the text: found, kept, dropped and why, the vocabulary, the tokens."""

from collections.abc import Mapping, Sequence
from typing import Any

from batchwright.foundation.units import format_bytes, format_seconds
from batchwright.workflows.section import Block, Code, Grid, Section
from batchwright.workflows.strings import Say

REJECTED_CHARACTERS = 600  # of each document shown
HELD_OUT_ENOUGH = 5  # documents, on average, of the share that is advised: all of them miss once in 150
_ADVICE = {
    "other_store": {"in_other_store", "near_other_store"},
    "near_duplicate": {"near_duplicate"},
    "duplicate": {"duplicate"},
    "score": {"language_score", "quality_score"},
    "contaminated": {"contaminated"},
    "unreadable": {"unreadable", "not_json", "no_text", "corrupt", "invalid_utf8", "too_long", "too_many_values"},
    "no_text": {"empty", "binary", "mail_without_text", "html_without_text", "too_many_combining_marks"},
    "code": {"code_long_line", "code_long_lines", "code_few_letters"},
}


def tell_tally(tally: Mapping[str, Any], say: Say) -> Grid:
    """Documents and bytes: read = kept + dropped + edited away."""
    read, kept = tally["read"], tally["kept"]
    rows = [(say("tally.read"), read), (say("tally.kept"), kept)]
    rows += [
        (say("tally.dropped", reason=_named(f"reason.{name}", name, say)), each)
        for name, each in tally["dropped"].items()
    ]
    rows += [
        (say("tally.edited", edit=_named(f"edit.{name}", name, say)), each) for name, each in tally["edited"].items()
    ]
    if "repeated" in tally:
        rows.append((say("tally.repeated"), tally["repeated"]))
    rows += [(say(f"tally.infilled.{form}"), each) for form, each in tally.get("infilled", {}).items()]
    return Grid(
        header=("", say("documents"), say("bytes")),
        rows=tuple((name, f"{each['documents']:,}", f"{each['bytes']:,}") for name, each in rows),
    )


def tell_mostly_dropped(dropped: Mapping[str, Any] | None, say: Say) -> tuple[str, ...]:
    """When most of the text went: the largest reasons, and what to do about the first; else nothing."""
    if dropped is None:
        return ()
    reasons = [
        f"{_named(f'reason.{name}', name, say)}: {count:,}" for name, count in list(dropped["reasons"].items())[:3]
    ]
    return (
        say(
            "prepare.mostly_dropped",
            documents=f"{dropped['documents']:.0%}",
            size=f"{dropped['bytes']:.0%}",
            reasons=", ".join(reasons),
        )
        + (" " if say.language == "en" else "")
        + say(f"prepare.mostly_dropped.{_advice(next(iter(dropped['reasons'])))}"),
    )


def tell_nothing_held_out(nothing: Mapping[str, Any] | None, say: Say) -> tuple[str, ...]:
    """A sentence when a validation split was asked for and is empty; else none."""
    if nothing is None:
        return ()
    share, documents = nothing["validation"], nothing["documents"]
    enough = min(0.5, HELD_OUT_ENOUGH / documents)
    return (
        say(
            "prepare.nothing_held_out",
            share=f"{share:g}",
            documents=f"{documents:,}",
            expected=f"{share * documents:.2g}",
            enough=f"{enough:.2g}",
        ),
    )


def _advice(reason: str) -> str:
    """Which advice fits what dropped a text: a filter's thresholds are no help against copies."""
    return next((advice for advice, reasons in _ADVICE.items() if reason in reasons), "filter")


def tell_rejected(documents: Sequence[Mapping[str, Any]], say: Say) -> tuple[Block, ...]:
    """Each document: where it stood, why it went, how it begins."""
    blocks: list[Block] = []
    for document in documents:
        blocks.append(
            say(
                "show.rejected",
                file=document["file"],
                offset=f"{document['offset']:,}",
                reason=_named(f"reason.{document['reason']}", document["reason"], say),
                detail=document["detail"],
            )
        )
        blocks.append(Code(text=document["text"][:REJECTED_CHARACTERS]))
    return tuple(blocks)


def tell_text_to_tokens(result: Mapping[str, Any], say: Say) -> Section:
    """The first chapter of the demo."""
    store, tally = result["store"], result["tally"]
    train, validation = store["splits"]["train"], store["splits"]["validation"]
    dropped = sum(each["documents"] for each in tally["dropped"].values())
    blocks: list[Block] = [
        say(
            f"tokens.source.{result['text']['kind']}",
            files=f"{result['text']['files']:,}",
            size=format_bytes(result["text"]["bytes"]),
            place=result["text"]["place"],
        ),
        tell_tally(tally, say),
        say("tokens.dropped.some" if dropped else "tokens.dropped.none", dropped=f"{dropped:,}"),
    ]
    if tally["skipped_files"]:
        aside = ", ".join(f"{count:,} {name}" for name, count in tally["skipped_files"].items())
        blocks.append(say("tokens.skipped_files", files=aside))
    bytes_per_token = (train["text_bytes"] + validation["text_bytes"]) / (train["tokens"] + validation["tokens"])
    blocks += [
        say(
            "tokens.vocabulary",
            size=f"{store['vocabulary_size']:,}",
            bytes_per_token=f"{bytes_per_token:.2f}",
            seconds=format_seconds(result["vocabulary_seconds"]),
        ),
        say(
            "tokens.store",
            tokens=f"{train['tokens'] + validation['tokens']:,}",
            dtype={"<u2": "uint16", "<u4": "uint32"}[store["dtype"]],
            train=f"{train['documents']:,}",
            validation=f"{validation['documents']:,}",
            place=result["place"],
        ),
        say("tokens.fingerprint", fingerprint=store["fingerprint"]),
    ]
    return Section(title=say("tokens.title"), blocks=tuple(blocks))


def named_reason(name: str, say: Say) -> str:
    """Why documents were dropped, in words."""
    return _named(f"reason.{name}", name, say)


def _named(key: str, name: str, say: Say) -> str:
    """A reason or an edit in words and by the code that `show --rejected` takes; an added step has only its name."""
    return f"{say(key)} ({name})" if say.knows(key) else name
