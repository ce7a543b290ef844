"""`make bench`: the benchmarks one after another. One alone: `python -m benchmarks.loader`.

Only when asked for by name, one by one (`python -m benchmarks.training`): engines, index, rivals, training, gradient,
checkpoint, filters, near_duplicates, tokenizers, scorers and decontamination (the last five want a DIRECTORY).
"""

import importlib
import sys

NAMES = ("startup", "loader", "mixing", "packing", "cold", "resume", "prepare", "attention", "loss", "provenance")


def main(names: list[str]) -> None:
    for name in names or NAMES:
        print(f"\n## {name}\n", flush=True)
        importlib.import_module(f"benchmarks.{name}").main()


if __name__ == "__main__":
    main(sys.argv[1:])
