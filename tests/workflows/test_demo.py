"""The demo, small: every chapter runs once, is found again, and the report holds what was said."""

import os
from pathlib import Path

import pytest

from batchwright.foundation.errors import InputError
from batchwright.model.config import ModelConfig
from batchwright.recipe import load_recipe
from batchwright.training.config import TrainingConfig
from batchwright.workflows.chapters import chapters_of
from batchwright.workflows.demo import Demo, DemoSettings
from batchwright.workflows.section import Section
from batchwright.workflows.standard_library import standard_library
from batchwright.workflows.strings import Say

SMALL = DemoSettings(
    model=ModelConfig(vocabulary_size=290, sequence_length=16, width=16, layers=1, heads=2, feed_forward_width=16),
    training=TrainingConfig(
        global_batch_size=8,
        micro_batch_size=4,
        sequence_length=16,
        tokens=2_048,
        learning_rate=4e-3,
        evaluate_sequences=16,
        checkpoint_every_tokens=1_024,
    ),
    validation_fraction=0.2,
    picture_rows=4,
    picture_steps=4,
    micro_batch_sizes=(1, 2),
    speed_seconds=0.1,
    memory_rows=(1, 2),
    memory_lengths=(8, 16),
    memory_widths=(16, 32),
    sweep_batch_sizes=(2, 4, 8),
    sweep_reference=4,
    sweep_tokens=512,
)


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("text")
    for number in range(60):
        words = " ".join(f"word{(number * 7 + i) % 41}" for i in range(30 + number))
        (home / f"{number:02}.txt").write_text(f"document {number}\n{words}\n", encoding="utf-8")
    return home


@pytest.fixture(scope="module")
def out(text: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("demo") / "out"
    sections, demo = go_through(directory, text)
    assert demo.stages.ran == [chapter.name for chapter in chapters_of(demo)]
    demo.write_report(sections, Say("en"), command="batchwright demo")
    return directory


def go_through(directory: Path, text: Path, *, restart: bool = False) -> tuple[list[Section], Demo]:
    demo = Demo(directory, text=text, restart=restart, settings=SMALL)
    demo.claim()
    sections: list[Section] = []
    with demo.lock:
        for chapter in chapters_of(demo):
            result = demo.complete(chapter, lambda done, total=None, note="": None)
            sections.append(chapter.tell(result, Say("en"), 100))
            assert chapter.tell(result, Say("zh"), 80).title
    return sections, demo


def test_a_second_demo_runs_nothing_and_says_the_same(out: Path, text: Path) -> None:
    _, demo = go_through(out, text)
    assert demo.stages.ran == []


def test_the_report_holds_every_chapter_and_how_it_was_made(out: Path) -> None:
    report = (out / "report.md").read_text(encoding="utf-8")
    for title in ("1. From text", "2. One batch", "3. Training", "4a.", "4b.", "4c.", "4d.", "5. What", "How this was"):
        assert f"## {title}" in report
    assert "![" in report
    assert (out / "loss.png").read_bytes().startswith(b"\x89PNG")
    assert "\x1b" not in report


def test_other_text_in_the_same_directory_is_refused_until_restarted(out: Path, text: Path) -> None:
    file = text / "00.txt"
    before = file.stat()
    try:
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns + 10**9))
        with pytest.raises(InputError, match="a demo of other text"):
            Demo(out, text=text, settings=SMALL).claim()
    finally:
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_a_directory_of_other_things_is_never_touched(tmp_path: Path, text: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"1")
    with pytest.raises(InputError, match=r"photo\.jpg"):
        Demo(tmp_path, text=text, restart=True, settings=SMALL).claim()
    assert (tmp_path / "photo.jpg").exists()


def test_restart_removes_what_the_demo_wrote_and_nothing_else(tmp_path: Path, text: Path) -> None:
    demo = Demo(tmp_path, text=text, settings=SMALL)
    demo.claim()
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    (tmp_path / "stages").mkdir()
    Demo(tmp_path, text=text, restart=True, settings=SMALL)
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != ".lock") == ["notes.txt"]


def test_the_recipe_of_the_repository_is_the_demo_s() -> None:
    file = Path(__file__).parents[2] / "recipes" / "demo.toml"
    assert load_recipe(file, environment={}) == DemoSettings().recipe("store")


def test_the_demo_s_model_is_as_small_as_promised() -> None:
    assert DemoSettings().model.parameter_count() <= 300_000


def test_every_python_has_at_least_ten_megabytes_of_text() -> None:
    files = [Path(path) for pattern in standard_library().paths for path in Path("/").glob(pattern.lstrip("/"))]
    assert sum(file.stat().st_size for file in files) >= 10**7
    assert not any("site-packages" in file.parts for file in files)
