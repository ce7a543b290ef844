"""Repairs of text on a directory of corpora (.jsonl): how often each fires, what its test costs, what the test misses.

    python -m benchmarks.cleaning DIRECTORY [--only NAME ...] [--all-mojibake]

With `--all-mojibake` ftfy reads every line of every document, as a check of the table that spares it (slow).
"""

import argparse
import time
from pathlib import Path

import orjson

from batchwright.documents.characters import RemoveControlCharacters
from batchwright.documents.document import Document
from batchwright.documents.html import HtmlToText
from batchwright.documents.mail import MailToText
from batchwright.documents.mojibake import RepairMojibake, is_suspect
from batchwright.documents.pipeline import Dropped, Step


def measure(documents: list[Document], step: Step) -> tuple[list[Document], str]:
    """(what is left, "edited, dropped, MB per CPU-second")."""
    began = time.process_time()
    after = [step(document) for document in documents]
    seconds = time.process_time() - began
    kept = [each for each in after if isinstance(each, Document)]
    edited = sum(each is not before for each, before in zip(after, documents, strict=True))
    size = sum(len(document.utf8) for document in documents)
    dropped = sum(isinstance(each, Dropped) for each in after)
    return kept, f"{edited - dropped:,} edited, {dropped:,} dropped, {size / 1e6 / seconds:,.0f} MB/CPU-s"


def missed(documents: list[Document]) -> int:
    """Documents of which ftfy would change a line that the table does not show it."""
    from ftfy import fix_encoding

    lines = (document.text.split("\n") for document in documents if not document.utf8.isascii())
    return sum(
        any(not line.isascii() and not is_suspect(line.encode()) and fix_encoding(line) != line for line in each)
        for each in lines
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--all-mojibake", action="store_true")
    chosen = parser.parse_args()
    for step in (MailToText(), HtmlToText(), RepairMojibake(), RemoveControlCharacters()):
        step(Document("From a: b\n<p>x<p>Ã© \x85".encode(), 0, 0, 0))  # compiled before anything is timed
    for path in sorted(chosen.directory.glob("*.jsonl")):
        if chosen.only and path.stem not in chosen.only:
            continue
        texts = [orjson.loads(line)["text"] for line in path.read_bytes().split(b"\n") if line]
        documents = [Document(text.encode(), 0, number, 0) for number, text in enumerate(texts)]
        print(f"{path.stem}: {len(documents):,} documents")
        for step in (MailToText(), HtmlToText(), RepairMojibake(), RemoveControlCharacters()):
            suspects = sum(is_suspect(document.utf8) for document in documents) if step.name == "mojibake" else None
            lost = missed(documents) if chosen.all_mojibake and step.name == "mojibake" else None
            documents, figures = measure(documents, step)
            more = f"; {suspects:,} asked" if suspects is not None else ""
            print(f"  {step.name:20} {figures}{more}{f'; {lost:,} missed' if lost is not None else ''}")


if __name__ == "__main__":
    main()
