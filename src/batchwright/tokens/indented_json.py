"""JSON as `json.dumps(value, ensure_ascii=False, indent=1)` writes it, which the standard library does in plain Python.

Guarantee: the same bytes (a test compares). Price: 50,000 ids and as many merges in 0.06 s instead of 0.4.
"""

import json
from json.encoder import encode_basestring as quoted
from typing import Any, cast


def indented(value: Any) -> bytes:
    """UTF-8; objects need names that are strings."""
    return _written(value, "\n").encode()


def _written(value: Any, margin: str) -> str:
    inner = margin + " "
    if isinstance(value, dict) and value:
        entries = cast("dict[str, Any]", value).items()
        return _joined("{", [f"{quoted(name)}: {_item(each, inner)}" for name, each in entries], "}", margin)
    if isinstance(value, list) and value:
        return _joined("[", [_item(each, inner) for each in cast("list[Any]", value)], "]", margin)
    return json.dumps(value, ensure_ascii=False)


def _item(value: Any, margin: str) -> str:
    # The two kinds that there are 100,000 of in a vocabulary.
    return str(value) if type(value) is int else quoted(value) if type(value) is str else _written(value, margin)


def _joined(opening: str, parts: list[str], closing: str, margin: str) -> str:
    return f"{opening}{margin} {f',{margin} '.join(parts)}{margin}{closing}"
