"""The process a loop runs in:

    python -m benchmarks.training.contender MODULE WORK FAMILY DIRECTORY OPTIONS      orders on stdin, see `gate`

A contender's module holds `ENVIRONMENT` and `train(work, family, corpus, gate, options)`, an endless loop.
"""

import contextlib
import importlib
import json
import os
import sys
from pathlib import Path

from benchmarks.training.corpus import Corpus
from benchmarks.training.gate import Finished, Gate
from benchmarks.training.shapes import WORKS


def main() -> None:
    """Train until stdin ends. What a library prints goes to stderr."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    module, number, family, directory, options = sys.argv[1:]
    work = WORKS[int(number)]
    import torch

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    corpus = Corpus(directory=Path(directory), vocabulary_size=work.shape.vocabulary_size)
    with contextlib.suppress(Finished):
        importlib.import_module(f"benchmarks.training.{module}").train(
            work, family, corpus, Gate(answers), json.loads(options)
        )


if __name__ == "__main__":
    main()
