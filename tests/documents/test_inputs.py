"""Which files a source means: sorted, each once, loops ended, what is left aside counted; none found is an error."""

import os
from pathlib import Path

import pytest

from batchwright.documents.inputs import InputFile, TextSource, discover, format_of
from batchwright.documents.tally import Tally
from batchwright.foundation.errors import InputError
from tests.documents.corpus import compress, dropped, read_all, texts_of


def paths_of(*paths: Path | str, **options: object) -> list[str]:
    """Display paths that a source of these paths finds."""
    return [file.path for file in discover([TextSource(name="s", paths=tuple(map(str, paths)), **options)])]  # type: ignore[arg-type]


def fill(root: Path, *names: str) -> None:
    """Small text files of these names."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.jsonl", ("jsonl", "")),
        ("a.JSONL", ("jsonl", "")),
        ("a.ndjson.zst", ("jsonl", "zstd")),
        ("c4.json.gz", ("text", "gzip")),
        ("package.json", ("text", "")),
        ("book.txt.gz", ("text", "gzip")),
        ("part-0.parquet", ("parquet", "")),
        ("Makefile", ("text", "")),
        (".jsonl", ("text", "")),
    ],
)
def test_the_name_decides_the_format(name: str, expected: tuple[str, str]) -> None:
    assert format_of(name) == expected


def test_files_come_in_the_order_of_their_paths_whatever_order_they_were_made_in(tmp_path: Path) -> None:
    fill(tmp_path, "b.txt", "a/z.txt", "a.txt", "a-b.txt", "c/d/e.py")
    assert paths_of(tmp_path) == sorted(["b.txt", "a/z.txt", "a.txt", "a-b.txt", "c/d/e.py"])


def test_paths_are_relative_so_that_a_moved_corpus_is_the_same_corpus(tmp_path: Path) -> None:
    for place in ("here", "there/deep"):
        fill(tmp_path / place, "a/b.txt", "c.txt")
    assert paths_of(tmp_path / "here") == paths_of(tmp_path / "there/deep") == ["a/b.txt", "c.txt"]
    assert paths_of(tmp_path / "here/a/b.txt") == ["b.txt"]
    assert paths_of(tmp_path / "here/a", tmp_path / "here/c.txt") == ["a/b.txt", "c.txt"]


def test_hidden_files_and_caches_are_left_aside_and_counted(tmp_path: Path) -> None:
    fill(tmp_path, "a.py", ".git/config", ".hidden", "__pycache__/a.pyc")
    tally = Tally()
    files = discover([TextSource(name="s", paths=(str(tmp_path),))], tally=tally)
    assert [file.path for file in files] == ["a.py"]
    assert tally.skipped_files == {"hidden": 3}


def test_a_hidden_or_binary_file_that_is_named_is_read(tmp_path: Path) -> None:
    fill(tmp_path, ".hidden")
    (tmp_path / "b.bin").write_bytes(b"a\0")
    documents, tally = read_all(tmp_path / ".hidden", tmp_path / "b.bin")
    assert texts_of(documents) == [".hidden"]
    assert dropped(tally) == {"binary": 1}


def test_links_are_followed_once_so_that_loops_end(tmp_path: Path) -> None:
    fill(tmp_path / "real", "a.txt", "sub/b.txt")
    (tmp_path / "real/sub/loop").symlink_to(tmp_path / "real")
    (tmp_path / "real/again").symlink_to(tmp_path / "real/sub")
    (tmp_path / "real/gone").symlink_to(tmp_path / "nowhere")
    tally = Tally()
    files = discover([TextSource(name="s", paths=(str(tmp_path / "real"),))], tally=tally)
    assert len(files) == 2
    assert {os.path.basename(file.path) for file in files} == {"a.txt", "b.txt"}
    assert tally.skipped_files == {"broken link": 1, "directory seen before (link)": 2}


def test_a_pipe_in_a_directory_is_left_aside_and_named_is_refused(tmp_path: Path) -> None:
    fill(tmp_path, "a.txt")
    os.mkfifo(tmp_path / "pipe")
    assert paths_of(tmp_path) == ["a.txt"]
    with pytest.raises(InputError, match="neither a file nor a directory"):
        paths_of(tmp_path / "pipe")


def test_globs_find_files_and_loops_do_not_multiply_them(tmp_path: Path) -> None:
    fill(tmp_path, "a.jsonl", "b.txt", "sub/c.jsonl")
    (tmp_path / "sub/loop").symlink_to(tmp_path)
    assert paths_of(tmp_path / "*.jsonl") == ["a.jsonl"]
    assert paths_of(tmp_path / "**" / "*.jsonl") == ["a.jsonl", "sub/c.jsonl"]
    with pytest.raises(InputError, match="no file matches"):
        paths_of(tmp_path / "*.parquet")


def test_a_file_whose_name_looks_like_a_glob_is_that_file(tmp_path: Path) -> None:
    fill(tmp_path, "a[1].txt", "a1.txt")
    assert paths_of(tmp_path / "a[1].txt") == ["a[1].txt"]


def test_a_file_given_twice_is_read_once(tmp_path: Path) -> None:
    fill(tmp_path, "a.txt")
    tally = Tally()
    files = discover([TextSource(name="s", paths=(str(tmp_path), str(tmp_path / "a.txt")))], tally=tally)
    assert len(files) == 1
    assert tally.skipped_files == {"given twice": 1}


def test_sources_keep_their_order_and_number(tmp_path: Path) -> None:
    fill(tmp_path, "b/x.txt", "a/x.txt")
    sources = [
        TextSource(name="one", paths=(str(tmp_path / "b"),)),
        TextSource(name="two", paths=(str(tmp_path / "a"),)),
    ]
    assert [(file.source, file.path) for file in discover(sources)] == [(0, "x.txt"), (1, "x.txt")]


@pytest.mark.parametrize("names", [(), (".git/config",), ("image.png",)])
def test_a_directory_without_text_is_an_error_that_names_it(tmp_path: Path, names: tuple[str, ...]) -> None:
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"\x89PNG\0")
    with pytest.raises(InputError, match="holds no readable text") as caught:
        paths_of(tmp_path)
    assert caught.value.where == str(tmp_path)


def test_a_path_that_does_not_exist_is_an_error_with_the_nearest(tmp_path: Path) -> None:
    fill(tmp_path, "corpus.jsonl")
    with pytest.raises(InputError) as caught:
        paths_of(tmp_path / "corpus.json")
    assert caught.value.remedy == str(tmp_path / "corpus.jsonl")


def test_a_name_that_is_not_utf8_is_left_aside_and_counted(tmp_path: Path) -> None:
    fill(tmp_path, "a.txt")
    try:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.txt")).write_text("x")
    except OSError:
        pytest.skip("this file system takes only UTF-8 names")
    tally = Tally()
    assert len(discover([TextSource(name="s", paths=(str(tmp_path),))], tally=tally)) == 1
    assert tally.skipped_files == {"name is not UTF-8": 1}


def test_a_source_checks_itself() -> None:
    with pytest.raises(InputError, match="needs a name"):
        TextSource(name="", paths=("x",))
    with pytest.raises(InputError, match="names no path"):
        TextSource(name="s", paths=())
    with pytest.raises(InputError, match="names an empty path"):
        TextSource(name="s", paths=("",))
    with pytest.raises(InputError) as caught:
        TextSource(name="s", paths=("x",), format="jsnl")  # type: ignore[arg-type]
    assert caught.value.remedy == "'jsonl'"


def test_a_json_file_is_read_by_lines_only_where_its_first_line_is_a_record(tmp_path: Path) -> None:
    record = b'{"text":"one"}\n{"text":"two"}\n'
    (tmp_path / "a.json").write_bytes(record)
    compress(tmp_path / "c4.json.gz", record)
    (tmp_path / "package.json").write_bytes(b'{"name":"x"}\n')
    (tmp_path / "pretty.json").write_bytes(b'{\n "text": "x"\n}')
    (tmp_path / "zero.json").write_bytes(b"")
    formats = [file.format for file in discover([TextSource(name="s", paths=(str(tmp_path),))])]
    assert formats == ["jsonl", "jsonl", "text", "text", "text"]


def test_the_format_of_a_source_overrules_the_name(tmp_path: Path) -> None:
    (tmp_path / "a.data").write_text('{"text":"in json"}\n')
    documents, _ = read_all(tmp_path, format="jsonl")
    assert texts_of(documents) == ["in json"]


def test_an_input_file_survives_its_json(tmp_path: Path) -> None:
    fill(tmp_path, "a.txt")
    (file,) = discover([TextSource(name="s", paths=(str(tmp_path),))])
    assert InputFile.from_dict(file.to_dict()) == file
