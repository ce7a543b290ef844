"""The waste ledger told: what each packing costs, and for the one chosen where every token and every slot went."""

from collections.abc import Iterator, Mapping
from typing import Any

from batchwright.workflows.section import Block, Grid, Section
from batchwright.workflows.strings import Say

GROWS = 1.1  # dropping later in the stream by this factor more than on the whole is called growing

Json = Mapping[str, Any]


def tell_coverage(result: Json, say: Say) -> Section:
    """`result` as `workflows.coverage` makes it; its first packing is the one chosen."""
    chosen = result["packings"][0]
    total = chosen["total"]
    blocks: list[Block] = [
        say(
            "coverage.intro",
            documents=f"{total['documents']:,}",
            tokens=f"{total['stored']:,}",
            length=f"{result['sequence_length']:,}",
        ),
        _packings(result, say),
        *_verdicts(chosen, say),
        say("coverage.ledger", packing=_name(chosen)),
        _ledger(total, say),
        _sources(result, chosen, say),
    ]
    if result["budget_tokens"] is not None:
        blocks.append(say("coverage.budget", tokens=f"{result['budget_tokens']:,}"))
    if len(result["text_sources"]) > 1:
        blocks.append(_text_sources(result, say))
    return Section(title=say("coverage.title"), blocks=tuple(blocks))


def _packings(result: Json, say: Say) -> Grid:
    names = ("packing", "padding", "dropped", "dropped_late", "cut", "needless", "without_start", "rows")
    return Grid(
        header=tuple(say(f"coverage.{name}") for name in names),
        rows=tuple(_row(each) for each in result["packings"]),
    )


def _row(each: Json) -> tuple[str, ...]:
    total = each["total"]
    return (
        _name(each),
        share(total["padding"], total["slots"]),
        share(_dropped(total), total["stored"]),
        f"{each['marginal_drop']:.2%}",
        share(total["documents_cut"], total["documents"]),
        share(total["documents_cut_needlessly"], total["documents"]),
        share(total["targets_without_start"], total["targets"]),
        f"{total['rows']:,}",
    )


def _verdicts(chosen: Json, say: Say) -> Iterator[str]:
    total, late = chosen["total"], chosen["marginal_drop"]
    dropped = _dropped(total)
    yield say(
        "coverage.drops" if dropped else "coverage.lays_everything" if total["masked"] else "coverage.drops_nothing",
        packing=_name(chosen),
        tokens=f"{dropped:,}",
        share=share(dropped, total["stored"]),
    )
    if dropped and late > GROWS * dropped / total["stored"]:
        yield say("coverage.drop_grows", late=f"{late:.1%}", share=share(dropped, total["stored"]))
    if total["masked"]:
        yield say("coverage.masks", tokens=f"{total['masked']:,}", share=share(total["masked"], total["stored"]))
    needless = total["documents_cut_needlessly"]
    yield say(
        "coverage.cuts_needlessly" if needless else "coverage.cuts_only_long",
        cut=f"{total['documents_cut']:,}",
        needless=f"{needless:,}",
    )


def _ledger(total: Json, say: Say) -> Grid:
    reasons = [
        (say("coverage.dropped_as", reason=say(f"coverage.reason.{reason}")), f"− {count:,}")
        for reason, count in total["dropped"].items()
    ]
    masked = total["masked"]
    rows = (
        (say("coverage.stored"), f"{total['stored']:,}"),
        *reasons,
        *([(say("coverage.masked"), f"− {masked:,}")] if masked else []),
        (say("coverage.targets"), f"= {total['targets']:,}"),
        *([(say("coverage.masked_slots"), f"+ {masked:,}")] if masked else []),
        (say("coverage.empty"), f"+ {total['padding']:,}"),
        (say("coverage.slots"), f"= {total['slots']:,}"),
    )
    return Grid(header=("", say("coverage.per_epoch")), rows=rows)


def _sources(result: Json, chosen: Json, say: Say) -> Grid:
    budget = result["budget_tokens"] is not None
    names = ("source", "documents", "tokens", "rows", *(["epochs"] if budget else []))
    return Grid(
        header=tuple(say(f"coverage.{name}") for name in names),
        rows=tuple(
            (
                source["name"],
                f"{source['ledger']['documents']:,}",
                f"{source['ledger']['targets']:,}",
                f"{source['ledger']['rows']:,}",
                *([f"{source['epochs']:,.3g}"] if budget else []),
            )
            for source in chosen["sources"]
        ),
    )


def _text_sources(result: Json, say: Say) -> Grid:
    return Grid(
        header=tuple(say(f"coverage.{name}") for name in ("text_source", "documents", "stored")),
        rows=tuple((each["name"], f"{each['documents']:,}", f"{each['tokens']:,}") for each in result["text_sources"]),
    )


def share(part: int, whole: int) -> str:
    """A percentage that is 0 only for nothing."""
    if not part:
        return "0"
    return "< 0.001%" if part < whole / 100_000 else f"{part / whole:.3%}"


def _dropped(total: Json) -> int:
    return sum(total["dropped"].values())


def _name(each: Json) -> str:
    return str(each["packing"]["policy"])
