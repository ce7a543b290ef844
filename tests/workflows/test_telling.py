"""Sentences follow the data: turn the data round and they say the opposite."""

import copy
import re
from dataclasses import replace
from typing import Any

import pytest

from batchwright.workflows.chapters import tell_comparison
from batchwright.workflows.demo import TRAINING
from batchwright.workflows.section import Grid, Section, to_markdown
from batchwright.workflows.strings import Say, phrases
from batchwright.workflows.telling.batch_size import tell_memory, tell_noise, tell_throughput
from batchwright.workflows.telling.coverage import tell_coverage
from batchwright.workflows.telling.sweep import tell_sweep
from batchwright.workflows.telling.text_to_tokens import tell_tally
from batchwright.workflows.telling.training_run import tell_training

Json = dict[str, Any]


def said(section: Section) -> str:
    return to_markdown([section], title="")


def says(section: Section, key: str, language: str = "en") -> bool:
    """Whether one of the section's sentences is this phrase, whatever values stand in it."""
    pattern = re.sub(r"\\\{\w+\\\}", ".*", re.escape(phrases()[key][language]))
    return any(isinstance(block, str) and re.fullmatch(pattern, block) is not None for block in section.blocks)


# Speed


def speeds(*rates: float, spread: float = 0.02) -> Json:
    points = [
        {
            "micro_batch_size": 2**place,
            "tokens_per_second": rate,
            "lower_quartile": rate * (1 - spread),
            "upper_quartile": rate * (1 + spread),
        }
        for place, rate in enumerate(rates)
    ]
    return {"points": points, "sequence_length": 128}


@pytest.mark.parametrize(
    ("result", "key"),
    [
        (speeds(100, 150, 200), "throughput.rises"),
        (speeds(100, 200, 150), "throughput.falls"),
        (speeds(100, 200, 198), "throughput.flat"),
        (speeds(200, 150, 100), "throughput.no_gain"),
        (speeds(100, 150, 200, spread=0.5), "throughput.no_gain"),
    ],
)
def test_the_curve_of_speeds_is_told_as_it_is(result: Json, key: str) -> None:
    section = tell_throughput(result, Say("en"))
    shapes = ("throughput.rises", "throughput.falls", "throughput.flat", "throughput.no_gain")
    assert [shape for shape in shapes if says(section, shape)] == [key]


# Memory


def memory_row(rows: int, moving: int, fixed: int, *, error: float = 0.0) -> Json:
    parts = {"weights": fixed, "gradients": fixed, "optimizer": 2 * fixed, "activations": moving * rows}
    peak = sum(parts.values())
    return {
        "B": rows,
        "T": 128,
        "D": 64,
        "stream_bytes": rows * 128 * 64 * 4,
        "parts": parts,
        "peak_bytes": peak,
        "traced_bytes": peak * (1 + error),
    }


def memories(moving: int, fixed: int, *, error: float = 0.0) -> Json:
    rows = [memory_row(b, moving, fixed, error=error) for b in (1, 4, 16)]
    return {"by_rows": rows, "by_length": rows, "by_width": rows}


def test_where_proportionality_ends_is_read_from_the_parts() -> None:
    say = Say("en")
    assert says(tell_memory(memories(moving=10**6, fixed=10**5 * 2), say), "memory.ends.at")
    assert says(tell_memory(memories(moving=10**6, fixed=1), say), "memory.ends.always")
    assert says(tell_memory(memories(moving=1, fixed=10**6), say), "memory.ends.never")


def test_a_formula_that_is_wrong_is_called_wrong() -> None:
    assert says(tell_memory(memories(10**6, 10**6), Say("en")), "memory.formula.right")
    assert says(tell_memory(memories(10**6, 10**6, error=0.2), Say("en")), "memory.formula.wrong")


# Noise


def noise(tokens: float | None, low: float | None, high: float | None, batch: int = 4096) -> Json:
    return {
        "tokens": tokens,
        "low": low,
        "high": high,
        "tokens_per_sequence": 128.0,
        "steps": 64,
        "confidence": 0.95,
        "batch_tokens": batch,
    }


@pytest.mark.parametrize(
    ("result", "scale", "batch"),
    [
        (noise(9000, 8000, 10000), "noise.resolved", "noise.batch_below"),
        (noise(1000, 800, 1200), "noise.resolved", "noise.batch_above"),
        (noise(4000, 3000, 5000), "noise.resolved", "noise.batch_within"),
        (noise(None, 5000, None), "noise.lower_bound", "noise.batch_below"),
        (noise(None, 3000, None), "noise.lower_bound", "noise.batch_within"),
    ],
)
def test_the_noise_scale_is_compared_with_the_batch(result: Json, scale: str, batch: str) -> None:
    section = tell_noise(result, Say("en"))
    assert says(section, scale)
    assert says(section, batch)


def test_the_noise_scale_says_at_which_weights_it_was_measured() -> None:
    measured = noise(4000, 3000, 5000)
    for where, key in (({}, "training"), ({"checkpoint": None}, "fresh"), ({"checkpoint": "00000007"}, "checkpoint")):
        section = tell_noise({**measured, **where}, Say("en"))
        assert Say("en")(f"noise.{key}", checkpoint="00000007") in str(section.blocks[0])


def test_a_noise_scale_without_any_bound_compares_nothing() -> None:
    section = tell_noise(noise(None, None, None), Say("en"))
    assert says(section, "noise.unresolved")
    assert not any(says(section, key) for key in ("noise.batch_below", "noise.batch_above", "noise.batch_within"))


# Sweep


def cell(
    size: int, *, adjusted: bool = False, loss: float | None = 4.0, spread: float = 0.1, spikes: float = 0
) -> Json:
    return {
        "global_batch_size": size,
        "adjusted": adjusted,
        "learning_rate": 0.004,
        "validation_loss": loss,
        "seeds": 2,
        "diverged": 0 if loss is not None else 1,
        "steps": 3200 // size,
        "step_spread": spread,
        "spikes": spikes,
    }


def sweep_result() -> Json:
    cells = [cell(4, spread=0.4), cell(4, adjusted=True), cell(32), cell(256), cell(256, adjusted=True, spread=0.05)]
    same = {"nats": 0.01, "margin": 0.05, "better": None}
    return {
        "tokens": 400_000,
        "sequence_length": 128,
        "seeds": [0, 1],
        "rule": "sqrt",
        "reference_batch_size": 32,
        "verdict": {
            "cells": cells,
            "best": cells[2],
            "best_beats_other_sizes": False,
            "margin": 0.05,
            "smaller_against_reference": dict(same),
            "larger_against_reference": dict(same),
            "adjusting_smaller": dict(same),
            "adjusting_larger": dict(same),
        },
    }


@pytest.mark.parametrize(("better", "verb"), [("a", "better"), ("b", "worse"), (None, "same")])
def test_too_small_and_too_large_are_verdicts_of_the_data(better: str | None, verb: str) -> None:
    result = sweep_result()
    for field in ("smaller", "larger"):
        result["verdict"][f"{field}_against_reference"]["better"] = better
    section = tell_sweep(result, Say("en"))
    assert says(section, f"sweep.small.{verb}")
    assert says(section, f"sweep.large.{verb}")


@pytest.mark.parametrize(("better", "verb"), [("a", "helps"), ("b", "hurts"), (None, "same")])
def test_adjusting_the_learning_rate_is_judged(better: str | None, verb: str) -> None:
    result = sweep_result()
    result["verdict"]["adjusting_larger"] = {"nats": 0.2, "margin": 0.05, "better": better}
    assert says(tell_sweep(result, Say("en")), f"sweep.adjusting.{verb}")


def test_the_restless_batch_is_the_one_whose_loss_jumps() -> None:
    result = sweep_result()
    first = tell_sweep(result, Say("en"))
    assert "the small batch is 4.0 times as restless" in said(first)
    turned = copy.deepcopy(result)
    turned["verdict"]["cells"][0]["step_spread"], turned["verdict"]["cells"][3]["step_spread"] = 0.1, 0.4
    assert "here the large batch is the restless one, 4.0 times" in said(tell_sweep(turned, Say("en")))


def test_spikes_and_diverged_runs_are_named() -> None:
    assert says(tell_sweep(sweep_result(), Say("en")), "sweep.spikes.none")
    result = sweep_result()
    result["verdict"]["cells"][4].update(spikes=2.5, validation_loss=None, diverged=1)
    section = tell_sweep(result, Say("zh"))
    assert says(section, "sweep.spikes.some", "zh")
    assert says(section, "sweep.diverged", "zh")
    assert "B = 256 已调整" in said(section)


# Training


def training(first: float, last: float, validation: float) -> Json:
    steps = [{"loss": first + (last - first) * i / 99, "tokens": 100 * (i + 1)} for i in range(100)]
    evaluations = [{"tokens": 0, "loss": first}, {"tokens": 10_000, "loss": validation}]
    return {
        "steps": steps,
        "evaluations": evaluations,
        "parameters": 300_000,
        "vocabulary_size": 2048,
        "shape": "D = 64",
        "training_seconds": 10.0,
    }


@pytest.mark.parametrize(
    ("result", "keys"),
    [
        (training(7.6, 4.0, 4.5), ["train.begin.near", "train.learned", "train.gap.worse"]),
        (training(9.0, 4.0, 3.0), ["train.begin.far", "train.learned", "train.gap.better"]),
        (training(7.6, 7.7, 7.696), ["train.begin.near", "train.not_learned", "train.gap.none"]),
    ],
)
def test_training_is_told_as_it_went(result: Json, keys: list[str]) -> None:
    section = tell_training(result, "geometry", Say("en"))
    assert [key for key in keys if not says(section, key)] == []


# Tables


def test_the_tally_lists_every_reason_and_names_it() -> None:
    amount = {"documents": 1, "bytes": 10}
    tally = {"read": amount, "kept": amount, "dropped": {"duplicate": amount, "unheard of": amount}, "edited": {}}
    grid = tell_tally(tally, Say("zh"))
    assert isinstance(grid, Grid)
    assert [row[0] for row in grid.rows] == ["读入", "保留", "丢弃：与前文重复 (duplicate)", "丢弃：unheard of"]


def test_markdown_cannot_be_broken_by_what_it_holds() -> None:
    from batchwright.workflows.section import Code

    section = Section(
        title="t", blocks=(Grid(header=("a", "b"), rows=(("x|y", "1\n2"),)), Code(text="```\n# not a title\n```"))
    )
    text = said(section)
    assert "| x\\|y | 1 2 |" in text
    assert "````text\n```\n# not a title\n```\n````" in text


# Coverage


def ledger(*, dropped: dict[str, int], needless: int = 0, late: float = 0.0, masked: int = 0) -> Json:
    """One source, one packing: 1,000 tokens stored in 100 documents, 30 of them cut."""
    targets = 1000 - sum(dropped.values()) - masked
    total = {
        "documents": 100,
        "documents_cut": 30,
        "documents_cut_needlessly": needless,
        "stored": 1000,
        "targets": targets,
        "masked": masked,
        "targets_without_start": 0,
        "rows": 11,
        "padding": 1100 - targets - masked,
        "slots": 1100,
        "dropped": dropped,
    }
    source = {"name": "a", "epochs": 2.0, "ledger": total, "stretches": []}
    packing = {"packing": {"policy": "p"}, "total": total, "marginal_drop": late, "sources": [source]}
    return {"sequence_length": 100, "budget_tokens": 2200, "packings": [packing], "text_sources": []}


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_ledger_is_told_as_it_is(language: str) -> None:
    cases = {
        ("coverage.drops_nothing", "coverage.cuts_only_long"): ledger(dropped={}),
        ("coverage.drops_nothing", "coverage.cuts_needlessly"): ledger(dropped={}, needless=7),
        ("coverage.drops", "coverage.cuts_only_long"): ledger(dropped={"truncated": 200}, late=0.21),
        ("coverage.drops", "coverage.drop_grows", "coverage.cuts_needlessly"): ledger(
            dropped={"cropped": 200}, late=0.4, needless=7
        ),
        ("coverage.lays_everything", "coverage.masks", "coverage.cuts_only_long"): ledger(dropped={}, masked=300),
    }
    verdicts = sorted({key for keys in cases for key in keys})
    for expected, result in cases.items():
        section = tell_coverage(result, Say(language))
        assert [key for key in verdicts if says(section, key, language)] == sorted(expected)


def test_why_the_run_took_another_batch_is_said_only_when_it_did() -> None:
    result = sweep_result()
    best = result["verdict"]["best"]["global_batch_size"]
    run = replace(TRAINING, global_batch_size=4 * best, tokens=5 * result["tokens"], warmup_tokens=0)
    assert says(tell_comparison(run, result, Say("en"), 100), "sweep.budget")
    for other in (replace(run, global_batch_size=best), replace(run, tokens=result["tokens"])):
        assert not says(tell_comparison(other, result, Say("en"), 100), "sweep.budget")
