"""datatrove's filters, in an environment of their own: decides documents and says what that cost.

    python datatrove_filters.py      orders on stdin, one JSON object a line; answers on stdout

{"decide": FILE, "from": n}   every record of a JSONL file from number n on: one answer each, with all reasons
{"time": [text, …]}           CPU-seconds of the four filters in a chain over these texts
"""

import functools
import hashlib
import json
import sys
import time
from collections.abc import Iterator
from typing import Any

FILTERS = ("gopher_repetition", "gopher_quality", "c4", "c4_fineweb", "fineweb")


def filters() -> dict[str, Any]:
    from datatrove.pipeline.filters import (  # type: ignore[import-not-found]
        C4QualityFilter,
        FineWebQualityFilter,
        GopherQualityFilter,
        GopherRepetitionFilter,
    )

    return {
        "gopher_repetition": GopherRepetitionFilter(),
        "gopher_quality": GopherQualityFilter(),
        "c4": C4QualityFilter(),
        "c4_fineweb": C4QualityFilter(filter_no_terminal_punct=False),
        "fineweb": FineWebQualityFilter(),
    }


def decide(step: Any, text: str) -> tuple[str, str]:
    """(why it is dropped, or "": kept; the text after it)."""
    from datatrove.data import Document  # type: ignore[import-not-found]

    document = Document(text=text, id="")
    try:
        answer = step.filter(document)
    except Exception as error:  # a crash of the rival is a finding, too
        return f"crash: {type(error).__name__}", text
    return ("" if answer is True else answer[1]), document.text


def all_reasons(steps: dict[str, Any], text: str) -> dict[str, str]:
    reasons: dict[str, str] = {}
    for name, step in steps.items():
        reasons[name], edited = decide(step, text)
        if name.startswith("c4") and not reasons[name]:
            reasons[f"{name}_text"] = hashlib.sha1(edited.encode("utf-8", "surrogatepass")).hexdigest()[:16]
            if name == "c4_fineweb":
                reasons["fineweb_after_c4"] = decide(steps["fineweb"], edited)[0]
    return reasons


def records(path: str, first: int = 0) -> Iterator[str]:
    with open(path, "rb") as lines:
        for number, line in enumerate(lines):
            if number >= first:
                yield json.loads(line)["text"]


def main() -> None:
    import datatrove.utils.text as words  # type: ignore[import-not-found]

    steps = filters()
    for line in sys.stdin:
        order = json.loads(line)
        if "decide" in order:
            # The filters see the same text one after the other; remembering more of it changes no answer.
            words.split_into_parts = functools.lru_cache(20_000)(words.split_into_parts.__wrapped__)
            for text in records(order["decide"], order["from"]):
                print(json.dumps(all_reasons(steps, text)), flush=True)
                words.split_into_parts.cache_clear()
        else:
            began = time.process_time()
            for text in order["time"]:
                for name in ("gopher_repetition", "gopher_quality", "c4_fineweb", "fineweb"):
                    text = decide(steps[name], text)[1]
            print(json.dumps({"cpu": time.process_time() - began}), flush=True)


if __name__ == "__main__":
    main()
