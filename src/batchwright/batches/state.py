"""The state of a loader as JSON: a position, the hash of the plan it counts in, and words about that plan.

Guarantee: below 1 KB whatever the plan, the same on every rank. It can be continued under the plan it was made with and
under every plan that has the same stages up to its position, whatever comes later; anything else is refused, and what
differs is named. World size, micro-batch, prefetch and global batch are no part of it: they may differ. Price:
microseconds.
"""

import json
from typing import Any, cast

from batchwright.foundation.errors import InputError
from batchwright.foundation.fingerprint import fingerprint
from batchwright.sequences.plan import Plan, differing

MOST_BYTES = 1000  # as Python's own json writes it, spaces and escapes included


def state_of(plan: Plan, position: int) -> dict[str, Any]:
    """Position and plan. The stage in effect is said as fully as the limit allows, so that a refusal can name what
    differs."""
    for detail in (0, 1, 2):
        state = {
            "position": position,
            "plan": plan.hash,
            "past": plan.prefix_hashes[sum(stage.first_position <= position for stage in plan.stages) - 1],
            "stages": len(plan.stages),
            "detail": detail,
            "stage": _words(plan, position, detail),
        }
        if len(json.dumps(state)) <= MOST_BYTES:
            break
    return state


def position_from(state: dict[str, Any], plan: Plan) -> int:
    """The position of a state, if it can be continued under this plan. Raises InputError naming what differs."""
    position = state.get("position")
    if not isinstance(position, int) or isinstance(position, bool) or position < 0:
        raise InputError(f"{position!r} is not a position", remedy="a whole number from 0")
    made_with = state.get("plan")
    if made_with == plan.hash:
        return position
    for known in (made_with, state.get("past")):
        if known in plan.prefix_hashes:
            _refuse_a_changed_past(plan, plan.prefix_hashes.index(cast(str, known)) + 1, position)
            return position
    raise InputError(
        "this state belongs to another plan, so its position means other data: " + "; ".join(_differences(state, plan)),
        remedy="resume with the store, packing, T and seed that it was made with; to go on from it with other data, "
        f"append that to its plan as a stage: plan.append(Stage(first_position={position}, …))",
    )


def _refuse_a_changed_past(plan: Plan, known: int, position: int) -> None:
    """Stages appended after the state was made may begin at its position or later."""
    for number, stage in enumerate(plan.stages[known:], start=known):
        if stage.first_position < position:
            raise InputError(
                f"stage {number + 1} of the plan begins at position {stage.first_position:,}, and this state has eaten "
                f"everything below {position:,} without it",
                remedy=f"append it at position {position:,} or later, or resume from a checkpoint before it",
            )


def _differences(state: dict[str, Any], plan: Plan) -> list[str]:
    theirs, ours = state.get("stage"), _words(plan, state["position"], int(state.get("detail", 0)))
    found = list(differing(theirs, ours, "stage"))
    count = state.get("stages")
    if count != len(plan.stages):
        found.append(f"stages: {count} there, {len(plan.stages)} here")
    return found or [f"an earlier stage; plan {state.get('plan')} there, {plan.hash} here"]


def _words(plan: Plan, position: int, detail: int) -> dict[str, Any]:
    """The stage in effect: all of it, each source in short, or all sources in one hash."""
    stage = next(stage for stage in reversed(plan.stages) if stage.first_position <= position)
    value = stage.to_dict()
    if detail == 0:
        return value
    sources = value["sources"]
    if detail == 1:
        value["sources"] = {
            s["name"]: f"weight {s['weight']}, index {s['index'][:8]}, store {s['store'][:8]}" for s in sources
        }
        return value
    return {
        "first_position": stage.first_position,
        "seed": stage.seed,
        "sequence_length": stage.sequence_length,
        "sources": f"{len(sources)} sources {fingerprint(sources)[:16]}",
        "batch": fingerprint(value.get("batch"))[:16],
        "skipped": fingerprint(value.get("skipped"))[:16],
    }
