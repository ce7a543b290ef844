"""A picture is written whole or not at all."""

from pathlib import Path

import matplotlib as mpl
import pytest

from batchwright.foundation import files
from batchwright.foundation.errors import InputError
from batchwright.workflows.figure_file import write_figure

mpl.use("Agg")


def a_figure() -> object:
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(1, 1))
    axes.plot([0, 1], [0, 1])
    return figure


def test_a_write_that_fails_leaves_the_old_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "loss.png"
    write_figure(a_figure(), path)
    before = path.read_bytes()

    def full(*given: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(Exception, match=r"space|full"):
        write_figure(a_figure(), path)
    assert path.read_bytes() == before
    assert before.startswith(b"\x89PNG")


def test_the_ending_names_the_format(tmp_path: Path) -> None:
    write_figure(a_figure(), tmp_path / "loss.svg")
    assert (tmp_path / "loss.svg").read_bytes().startswith(b"<?xml")
    with pytest.raises(InputError, match="drawn as docx"):
        write_figure(a_figure(), tmp_path / "loss.docx")
