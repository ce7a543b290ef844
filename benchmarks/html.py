"""Our HTML → text beside trafilatura (as datatrove calls it) and resiliparse: speed, and which words are kept.

    python -m benchmarks.html DIRECTORY [--sources DIRECTORY] [--pages 300] [--worst 3]

DIRECTORY holds .html files. Where the text that they were made from is known (Sphinx's `_sources/NAME.rst.txt`, by
default beside them), recall is the share of its words that are kept, precision the share of the kept that it has,
counted with multiplicity. Debian's `python3.11-doc` has both. Else words are compared between the extractors.
"""

import argparse
import re
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from statistics import mean, median
from typing import Any

from batchwright.documents.html import html_to_text
from benchmarks.rivals.environments import Environment
from benchmarks.unseen_rounds import Rival

ENVIRONMENT = Environment(name="html", requirements=("lxml_html_clean", "trafilatura==2.3.1", "resiliparse==2.0.1"))
RIVALS = ("trafilatura", "resiliparse", "resiliparse-main")
BATCH = 20  # pages of each side in turn
_WORD = re.compile(r"\w+")
# Of reST what a reader does not see: directives' and roles' names, options, targets, comments.
_UNSEEN = re.compile(
    r"^\s*\.\. (?!\w+::)[^\n]*$|^\s*\.\. [\w:-]+::|^\s*:[\w-]+:|:[\w:+-]+:(?=`)|<[^<>`]*>(?=`)", re.MULTILINE
)

Extractor = Callable[[list[str]], tuple[list[str], float]]


def words_of(text: str) -> Counter[str]:
    return Counter(_WORD.findall(text.lower()))


def share(part: Counter[str], whole: Counter[str]) -> float:
    """The share of `whole`'s words that `part` has."""
    return (part & whole).total() / max(1, whole.total())


def ours(furniture: bool) -> Extractor:
    def extract(pages: list[str]) -> tuple[list[str], float]:
        began = time.process_time()
        texts = [html_to_text(page.encode(), furniture=furniture) for page in pages]
        return texts, time.process_time() - began

    return extract


def asked(rival: Rival, name: str) -> Extractor:
    def extract(pages: list[str]) -> tuple[list[str], float]:
        answer: dict[str, Any] = rival.ask({"extract": name, "pages": pages})
        return answer["texts"], answer["seconds"]

    return extract


def source_of(page: Path, home: Path, sources: Path) -> str | None:
    place = sources / page.relative_to(home).with_suffix(".rst.txt")
    return _UNSEEN.sub(" ", place.read_text(errors="replace")) if place.exists() else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--sources", type=Path)
    parser.add_argument("--pages", type=int, default=300)
    parser.add_argument("--worst", type=int, default=3, help="pages of the least recall to name")
    arguments = parser.parse_args()
    home: Path = arguments.directory
    found = sorted(home.rglob("*.html"))
    found = found[:: max(1, len(found) // arguments.pages)]
    sources = [source_of(page, home, arguments.sources or home / "_sources") for page in found]
    pages = [page.read_text(errors="replace") for page in found]
    ENVIRONMENT.make()
    script = Path(__file__).parent / "rivals" / "html_extractors.py"
    with Rival(ENVIRONMENT.python, str(script)) as rival:
        sides = {"ours": ours(True), "ours, no furniture": ours(False)} | {name: asked(rival, name) for name in RIVALS}
        for extract in sides.values():
            extract(pages[:2])  # compiled, imported
        texts: dict[str, list[str]] = {name: [] for name in sides}
        seconds = dict.fromkeys(sides, 0.0)
        for first in range(0, len(pages), BATCH):
            for name, extract in sides.items():
                made, took = extract(pages[first : first + BATCH])
                texts[name] += made
                seconds[name] += took
    report(found, pages, sources, texts, seconds, arguments.worst)


def report(
    found: list[Path],
    pages: list[str],
    sources: list[str | None],
    texts: dict[str, list[str]],
    seconds: dict[str, float],
    worst: int,
) -> None:
    size = sum(len(page.encode()) for page in pages) / 1e6
    truths = [None if source is None else words_of(source) for source in sources]
    print(f"{len(pages):,} pages, {size:.1f} MB; the source is known of {sum(each is not None for each in truths):,}")
    counted = {name: [words_of(text) for text in made] for name, made in texts.items()}
    for name, words in counted.items():
        known = [(kept, truth, page) for kept, truth, page in zip(words, truths, found, strict=True) if truth]
        recalls = [share(kept, truth) for kept, truth, _ in known]
        against = {
            other: mean(share(theirs, kept) for kept, theirs in zip(words, counted[other], strict=True))
            for other in counted
            if other != name
        }
        print(f"{name}: {size / max(seconds[name], 1e-9):.1f} MB/CPU-s, {sum(w.total() for w in words):,} words")
        print("    of its words others have: " + ", ".join(f"{other} {value:.3f}" for other, value in against.items()))
        if known:
            exact = mean(share(truth, kept) for kept, truth, _ in known)
            print(f"    recall of the source {mean(recalls):.3f}, median {median(recalls):.3f}; precision {exact:.3f}")
            least = sorted(zip(recalls, (page.name for *_, page in known), strict=True))[:worst]
            print("    least recall: " + ", ".join(f"{page} {value:.2f}" for value, page in least))


if __name__ == "__main__":
    main()
