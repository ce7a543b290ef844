"""Others' HTML → text, in an environment of their own: one order a line on stdin, one answer a line on stdout.

{"extract": NAME, "pages": [html, …]}    the text of each page by trafilatura (with datatrove's settings) or
                                         resiliparse (whole page, or main content), and the CPU-seconds it took
"""

import json
import sys
import time
from collections.abc import Callable
from typing import Any


def extractors() -> dict[str, Callable[[str], str]]:
    from resiliparse.extract.html2text import extract_plain_text  # type: ignore[import-not-found]
    from trafilatura import extract  # type: ignore[import-not-found]

    return {
        # As datatrove 0.10.1 calls it: pipeline/extractors/trafilatura.py.
        "trafilatura": lambda page: extract(page, favor_precision=True, include_comments=False, deduplicate=True) or "",
        "resiliparse": lambda page: extract_plain_text(page),
        "resiliparse-main": lambda page: extract_plain_text(page, main_content=True),
    }


def answer(order: dict[str, Any], known: dict[str, Callable[[str], str]]) -> dict[str, Any]:
    take = known[order["extract"]]
    began = time.process_time()
    texts = [take(page) for page in order["pages"]]
    return {"seconds": time.process_time() - began, "texts": texts}


if __name__ == "__main__":
    known = extractors()
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line), known)), flush=True)
