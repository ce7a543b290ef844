"""A figure becomes a file: whole or not at all, the same data the same bytes.

Guarantee: whoever looks at the file while a report is made anew, or after a kill, sees the old picture or the new one.
Price: the picture's bytes in memory, some 100 kB.
"""

import io
from pathlib import Path
from typing import Any

from batchwright.foundation.errors import InputError
from batchwright.foundation.files import write_atomic

_DATES = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
"""What a format would say of the day and the library."""


def write_figure(figure: Any, path: Path) -> None:
    """Draw a matplotlib figure in the format that the path's ending names, PNG without one, and close it."""
    from matplotlib import pyplot

    known = figure.canvas.get_supported_filetypes()
    kind = path.suffix.removeprefix(".").lower() or "png"
    if kind not in known:
        raise InputError(f"no picture can be drawn as {kind}", where=str(path), remedy=f"one of {', '.join(known)}")
    content = io.BytesIO()
    figure.savefig(content, format=kind, dpi=130, metadata=_DATES.get(kind))
    pyplot.close(figure)
    write_atomic(path, content.getvalue())
