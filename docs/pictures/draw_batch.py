"""Draw README's picture of a batch: `python docs/pictures/draw_batch.py STORE docs/pictures/batch.svg`."""

import io
import re
import sys
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.padding import Padding

from batchwright.cli.paint import paint
from batchwright.workflows.look import look_at_batch
from batchwright.workflows.strings import Say
from batchwright.workflows.telling.one_batch import tell_batch

ROWS, LENGTH, WIDTH = 8, 4096, 110


def main(store: Path, out: Path, step: int = 0) -> None:
    view, _ = look_at_batch(store, rows=ROWS, sequence_length=LENGTH, step=step)
    console = Console(file=io.StringIO(), record=True, width=WIDTH, force_terminal=True, color_system="truecolor")
    for block in tell_batch(view, Say("en"), width=WIDTH, close=[(5, 0)]):
        console.print(Padding(paint(block), (0, 0, 1, 0), expand=False))
    # rich's own form asks a server for its font; any monospaced one will do.
    form = re.sub(r"@font-face \{\{.*?\}\}\n", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL).replace("Fira Code, ", "")
    form = re.sub(r"<!-- Generated with Rich.*?-->", "", form)
    title = f"batchwright show store -B {ROWS} -T {LENGTH} --step {step}"
    out.write_text(console.export_svg(title=title, code_format=form))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 0)
