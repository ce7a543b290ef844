"""`make bench`: every benchmark, one after another. One alone: `python -m benchmarks.loader`."""

import importlib
import sys

NAMES = ("startup", "loader", "packing", "index", "prepare", "attention", "provenance")
NAMES = ("startup", "loader", "rivals.__main__", "cold", "resume", "prepare")


def main(names: list[str]) -> None:
    for name in names or NAMES:
        print(f"\n## {name}\n", flush=True)
        importlib.import_module(f"benchmarks.{name}").main()


if __name__ == "__main__":
    main(sys.argv[1:])
