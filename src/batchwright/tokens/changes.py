"""What differs between two jobs, in the words in which a user asks for one.

    settings    seed: 0 → 1 · validation: 0.0 → 0.1 · near_duplicates: off → drop
    cleaning    clean: none → fineweb · language: en → ja · step gopher_quality, min_words: 50 → 20
    vocabulary  tokenizer: 257 ids (3c1f09aa) → 4,096 ids (77d0be41)
    sources     source web, licence: unknown → CC0-1.0
    files       3 input files changed (first: a.jsonl)

Guarantee: jobs that differ in a value get at least one phrase, equal ones none, and what is the same is not named; a
record that is not shaped as ours is compared value by value. Price: the presets are looked up (0.4 s) where steps
differ.
"""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import orjson

from batchwright.foundation.errors import CorruptDataError, InputError

Json = Mapping[str, Any]
_ASKED_AS = {"validation_fraction": "validation", "infilling": "fim", "decontamination": "decontaminate"}
_OFF = {"near_duplicates": "off", "infilling": "0"}
_SAID_BY = {"near_duplicates": "action", "infilling": "rate"}  # the one value of a table that stands for all of it
_SHOWN = 8  # characters of a hash


def differences(before: Json, now: Json) -> list[str]:
    """One phrase per setting that differs: "seed: 0 → 1"."""
    if before == now:
        return []
    special = {"recipe": _of_settings, "tokenizer": _of_tokenizer, "sources": _of_sources}
    phrases: list[str] = []
    for name in sorted({*before, *now}):
        old, new = before.get(name), now.get(name)
        if old != new:
            phrases += (special[name](old, new) if name in special else []) or _of_values(name, old, new)
    return phrases


def _of_settings(before: Any, now: Any) -> list[str]:
    old, new = _table(before), _table(now)
    phrases: list[str] = []
    for name in sorted({*old, *new}):
        was, becomes = old.get(name), new.get(name)
        if was == becomes:
            continue
        asked = _ASKED_AS.get(name, name)
        if name == "steps":
            phrases += _of_steps(was, becomes)
        elif name == "decontamination" and _table(was).get("files") != _table(becomes).get("files"):
            phrases.append(f"{asked}: {_brief(name, was)} → {_brief(name, becomes)}")
        elif isinstance(was, Mapping) and isinstance(becomes, Mapping):
            phrases += _of_values(asked, was, becomes)
        else:
            phrases.append(f"{asked}: {_brief(name, was)} → {_brief(name, becomes)}")
    return phrases


def _brief(name: str, value: Any) -> str:
    if value is None:
        return _OFF.get(name, "none")
    table = _table(value)
    if name in _SAID_BY and _SAID_BY[name] in table:
        return str(table[_SAID_BY[name]])
    if name == "decontamination":
        files = map(_table, _list(table.get("files")))
        return ", ".join(f"{file.get('name')} ({str(file.get('xxh3'))[:_SHOWN]})" for file in files)
    return ", ".join(str(each)[:_SHOWN] for each in _list(value)) if isinstance(value, list) else str(value)


def _of_steps(before: Any, now: Any) -> list[str]:
    presets = _preset(before), _preset(now)
    if None not in presets:
        (old, spoken), (new, speaks) = cast("tuple[tuple[str, str], tuple[str, str]]", presets)
        phrases = [f"clean: {old} → {new}"] if old != new else []
        return phrases + ([f"language: {spoken} → {speaks}"] if spoken != speaks and "none" not in (old, new) else [])
    was, becomes = _steps(before), _steps(now)
    shared, kept = [name for name in was if name in becomes], [name for name in becomes if name in was]
    phrases = [each for name in shared for each in _of_values(f"step {name}", was[name], becomes[name])]
    for verb, names in (
        ("added", [n for n in becomes if n not in was]),
        ("gone", [n for n in was if n not in becomes]),
    ):
        phrases += [f"steps {verb}: {', '.join(names)}"] if names else []
    return phrases + ([f"order of steps: {', '.join(shared)} → {', '.join(kept)}"] if shared != kept else [])


def _steps(steps: Any) -> dict[str, Json]:
    """The settings of each step by its name, of the second of a name by "NAME (2)"."""
    from batchwright.documents.presets import STEPS  # numba: 0.4 s, only here

    names = {f"{kind.__module__}:{kind.__qualname__}": name for name, kind in STEPS.items()}
    found: dict[str, Json] = {}
    for step in map(_table, _list(steps)):
        place = str(step.get("step"))
        name, times = names.get(place, place), 1
        while (label := name if times == 1 else f"{name} ({times})") in found:
            times += 1
        found[label] = _table(step.get("settings"))
    return found


def _preset(steps: Any) -> tuple[str, str] | None:
    """(preset, language) that give just these steps."""
    from batchwright.documents.cleaning import DEFAULT_STEPS
    from batchwright.documents.presets import PRESETS, preset  # numba: 0.4 s, only here
    from batchwright.tokens.partial import step_to_json

    settings = [_table(_table(step).get("settings")) for step in _list(steps)]
    language = next((str(each["language"]) for each in settings if "language" in each), "en")
    for name in PRESETS:
        try:
            known = (*DEFAULT_STEPS, *preset(name, language))
        except InputError:  # a language that this version does not know
            return None
        if [step_to_json(step) for step in known] == steps:
            return name, language
    return None


def _of_tokenizer(before: Any, now: Any) -> list[str]:
    old, new = _table(before), _table(now)
    if old.get("hash") == new.get("hash"):
        return _of_values("tokenizer", old, new)
    return [f"tokenizer: {_vocabulary(old)} → {_vocabulary(new)}"]


def _vocabulary(tokenizer: Mapping[str, Any]) -> str:
    name = str(tokenizer.get("hash"))
    # Ids that were imported without their vocabulary have a name that says no more than how many.
    shown = "their vocabulary unknown" if name.startswith("unknown") else name[:_SHOWN]
    return f"{_count(tokenizer.get('vocabulary_size'))} ids ({shown})"


def _count(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def _of_sources(before: Any, now: Any) -> list[str]:
    old, new = ({str(_table(each).get("name")): _table(each) for each in _list(part)} for part in (before, now))
    if list(old) != list(new):
        return [f"sources: {', '.join(old) or 'none'} → {', '.join(new) or 'none'}"]
    return [each for name in old for each in _of_values(f"source {name}", old[name], new[name])]


def _of_values(name: str, before: Any, now: Any) -> list[str]:
    """Every value below `name` that differs."""
    old, new = _flat(before), _flat(now)
    return [
        f"{name}{f', {path}' if path else ''}: {old.get(path, 'none')} → {new.get(path, 'none')}"
        for path in sorted({*old, *new})
        if old.get(path) != new.get(path)
    ]


def _flat(value: Any, path: str = "") -> dict[str, str]:
    if isinstance(value, Mapping):
        parts = [(f"{path}.{key}".lstrip("."), inner) for key, inner in cast(Json, value).items()]
    elif isinstance(value, list) and any(isinstance(each, Mapping) for each in cast("list[Any]", value)):
        parts = [(f"{path}[{number}]", inner) for number, inner in enumerate(cast("list[Any]", value))]
    else:
        return {path: str(cast(object, value))}
    return {place: shown for name, inner in parts for place, shown in _flat(inner, name).items()}


def _table(value: Any) -> Json:
    return cast(Json, value) if isinstance(value, Mapping) else {}


def _list(value: Any) -> Sequence[Any]:
    return cast("Sequence[Any]", value) if isinstance(value, list) else ()


def input_differences(before: bytes, now: bytes) -> list[str]:
    """What changed between two `inputs.jsonl`, in one phrase, or nothing."""
    old, new = _by_path(before), _by_path(now)
    phrases = {
        "added": sorted(new.keys() - old.keys()),
        "removed": sorted(old.keys() - new.keys()),
        "changed": sorted(path for path in old.keys() & new.keys() if old[path] != new[path]),
    }
    return [f"{len(paths):,} input files {verb} (first: {paths[0][1]})" for verb, paths in phrases.items() if paths]


def _by_path(lines: bytes) -> dict[tuple[int, str], tuple[int, str]]:
    try:
        records = [orjson.loads(line) for line in lines.splitlines()]
        return {(record["source"], record["path"]): (record["bytes"], record["xxh3"]) for record in records}
    except (ValueError, LookupError, TypeError) as error:
        raise CorruptDataError(
            f"the list of input files (inputs.jsonl) is damaged ({error})",
            remedy="restore it from a copy, or remove the directory and prepare it again",
        ) from error
