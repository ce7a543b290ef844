"""A process that reads files made to harm, and says what came of it and how much memory it took; run by the tests.

    python -m tests.documents.reader_nursery attacks DIRECTORY          the known attacks, together with honest files
    python -m tests.documents.reader_nursery fuzz DIRECTORY COUNT SEED  honest files of every kind, damaged at random

It prints one JSON object. A process of its own, because what harms may end it.
"""

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from batchwright.foundation.errors import BatchwrightError
from batchwright.foundation.resident_memory import peak_resident_bytes
from tests.documents.corpus import compress, dropped, read_all, texts_of, write_jsonl, write_parquet

MiB = 2**20
SECONDS_PER_FILE = 20
HONEST = ["the first honest text", "漢字かな交じり文", "the last\u2028honest text"]

Attack = Callable[[Path], Any]


def line(content: bytes) -> Attack:
    return lambda path: path.write_bytes(content + b'\n{"text":"after it"}\n')


def packed(content: bytes, times: int) -> Attack:
    def write(path: Path) -> None:
        sink = pa.BufferOutputStream()
        with pa.CompressedOutputStream(sink, "gzip" if path.suffix == ".gz" else "zstd") as stream:
            for _ in range(times):
                stream.write(content)
        path.write_bytes(sink.getvalue().to_pybytes())

    return write


def column(values: Any, **options: Any) -> Attack:
    return lambda path: pq.write_table(pa.table({"text": values()}), path, **options)


ATTACKS: dict[str, Attack] = {
    "a line of 100 MB.jsonl": line(b'{"text":"' + b"x" * 100_000_000 + b'"}'),
    "a line of NUL.jsonl": line(b"\0" * 30_000_000),
    "lists.jsonl": line(b'{"x":[' + b"[]," * 2_000_000 + b"[]]}"),
    "objects beside NaN.jsonl": line(b'{"n":NaN,"x":[' + b"{}," * 1_500_000 + b"{}]}"),
    "deep lists.jsonl": line(b'{"text":' + b"[" * 8_000_000),
    "deep objects.jsonl": line(b'{"text":' * 2_000_000),
    "keys.jsonl": line(b"{" + b",".join(b'"%d":0' % n for n in range(100_000)) + b"}"),
    "the same key.jsonl": line(b"{" + b'"text":"a",' * 1_000_000 + b'"text":"b"}'),
    "digits.jsonl": line(b'{"text":"","n":' + b"1" * 10_000_000 + b"}"),
    "no newline but U+2028.jsonl": line(b'{"text":"' + "\u2028".encode() * 6_000_000),
    "blank.jsonl": line(b"\n" * 500_000),
    "blanks.jsonl.zst": packed(b" " * MiB, 100),
    "blanks.txt.gz": packed(b" " * MiB, 100),
    "marks.txt": lambda path: path.write_bytes(b"e" + "\u0301\u0327".encode() * MiB),
    "one line.json": lambda path: path.write_bytes(b'{"text":"' + b"x" * 80_000_000),
    "one value many times.parquet": column(lambda: pa.array(["x" * 4 * MiB] * 64).dictionary_encode()),
    "no parquet.parquet": lambda path: path.write_bytes(b"PAR1" + b"\xff" * 1000 + b"\xff\xff\xff\x7fPAR1"),
}


def attacks(home: Path) -> dict[str, Any]:
    home.mkdir()
    for name, attack in ATTACKS.items():
        attack(home / name)
    write_jsonl(home / "a honest.jsonl", HONEST)
    write_parquet(home / "z honest.parquet", HONEST)
    (home / "loop").symlink_to(home)
    (home / "itself").symlink_to(home / "itself")
    os.mkfifo(home / "pipe")
    before = peak_resident_bytes()
    began = time.process_time()
    documents, tally = read_all(home, errors="skip")
    seconds = time.process_time() - began
    strict = {name: outcome(home / name, "strict") for name in ATTACKS}
    return {
        "honest": sum(text in HONEST for text in texts_of(documents)),
        "after": texts_of(documents).count("after it"),
        "documents": len(documents),
        "dropped": dropped(tally),
        "skipped": tally.skipped_files,
        "strict": strict,
        "cpu_seconds": round(seconds, 1),
        "bytes": peak_resident_bytes() - before,
    }


def outcome(path: Path, errors: Any) -> str:
    """What reading came to: "read", or our error; anything else is raised.

    "Column" is a parquet file whose damage looks like another name or type of the column: asked back about under every
    policy, because to skip it would drop whole files over a misspelt --text-column.
    """
    signal.alarm(SECONDS_PER_FILE)
    try:
        read_all(path, errors=errors)
    except BatchwrightError as error:
        if str(path) not in str(error):
            return f"{error} does not name {path}"
        return "Column" if "has no column" in error.what or "the column" in error.what else type(error).__name__
    finally:
        signal.alarm(0)
    return "read"


def fuzz(home: Path, count: int, seed: int) -> dict[str, Any]:
    home.mkdir()
    drawn = random.Random(seed)
    contents = honest_files(home)
    before = peak_resident_bytes()
    ends: dict[str, int] = {}
    for _ in range(count):
        name = drawn.choice(sorted(contents))
        path = home / name
        path.write_bytes(damaged(contents[name], drawn))
        for errors in ("skip", drawn.choice(["strict", "replace"])):
            end = f"{errors}: {outcome(path, errors)}"
            ends[end] = ends.get(end, 0) + 1
    return {"ends": ends, "bytes": peak_resident_bytes() - before}


def honest_files(home: Path) -> dict[str, bytes]:
    texts = [f"{text} {number}" for number in range(40) for text in HONEST]
    lines = write_jsonl(home / "a.jsonl", texts).read_bytes()
    write_parquet(home / "a.parquet", texts, rows=50)
    column(lambda: pa.array(texts).dictionary_encode(), compression="zstd", write_page_checksum=True)(
        home / "b.parquet"
    )
    for suffix in ("gz", "zst"):
        compress(home / f"a.jsonl.{suffix}", lines, members=2)
        compress(home / f"a.txt.{suffix}", lines)
    (home / "a.txt").write_bytes(lines)
    (home / "a.json").write_bytes(lines)
    return {path.name: path.read_bytes() for path in home.iterdir()}


def damaged(content: bytes, drawn: random.Random) -> bytes:
    """The content with up to four edits: flipped, overwritten with extremes, cut out, doubled, cut short."""
    raw = bytearray(content)
    for _ in range(drawn.randint(1, 4)):
        at = drawn.randrange(len(raw)) if len(raw) else 0
        stop = min(len(raw), at + drawn.randint(1, 16))
        edit = drawn.randrange(6)
        if edit == 0 and len(raw):
            raw[at] ^= 1 << drawn.randrange(8)
        elif edit == 1:
            raw[at:stop] = drawn.choice([b"\xff", b"\x7f", b"\0", b"\n", b'"', b"\\"]) * (stop - at)
        elif edit == 2:
            del raw[at:stop]
        elif edit == 3:
            raw[at:at] = raw[at:stop]
        elif edit == 4:
            raw[at:at] = drawn.randbytes(4)
        else:
            del raw[max(1, len(raw) - drawn.randint(1, 64)) :]
    return bytes(raw)


if __name__ == "__main__":
    if sys.argv[1] == "attacks":
        print(json.dumps(attacks(Path(sys.argv[2]))))
    else:
        print(json.dumps(fuzz(Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))))
