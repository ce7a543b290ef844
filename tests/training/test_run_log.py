"""One line per record, cut to what a checkpoint remembers."""

from pathlib import Path

import pytest
import xxhash

from batchwright.foundation.errors import CorruptDataError
from batchwright.training.run_log import RunLog, read_log


def test_records_come_back_to_the_last_bit(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "log", committed_bytes=0)
    log.append({"loss": 0.1 + 0.2, "tokens": 2**62})
    content = (tmp_path / "log").read_bytes()
    assert log.position() == (len(content), xxhash.xxh3_128_hexdigest(content))
    log.close()
    assert read_log(tmp_path / "log") == [{"loss": 0.1 + 0.2, "tokens": 2**62}]


def test_what_stands_behind_the_checkpoint_is_cut(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "log", committed_bytes=0)
    log.append({"step": 1})
    size, digest = log.position()
    log.append({"step": 2})
    log.close()
    log = RunLog(tmp_path / "log", committed_bytes=size, committed_xxh3=digest)
    log.append({"step": 2, "again": True})
    size, digest = log.position()
    log.close()
    assert read_log(tmp_path / "log") == [{"step": 1}, {"step": 2, "again": True}]
    RunLog(tmp_path / "log", committed_bytes=size, committed_xxh3=digest).close()


def test_a_log_that_was_changed_is_not_gone_on_with(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "log", committed_bytes=0)
    log.append({"loss": 5.25})
    size, digest = log.position()
    log.close()
    content = (tmp_path / "log").read_bytes()
    for at in range(len(content)):
        (tmp_path / "log").write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        with pytest.raises(CorruptDataError, match="are not those of when the checkpoint was made"):
            RunLog(tmp_path / "log", committed_bytes=size, committed_xxh3=digest)


def test_an_unfinished_line_is_left_out_and_a_garbled_one_is_named(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b'{"step":1}\n{"step":')
    assert read_log(path) == [{"step": 1}]
    path.write_bytes(b'{"step":1}\n{"st\n')
    with pytest.raises(CorruptDataError) as caught:
        read_log(path)
    assert str(caught.value.where).endswith("log, line 2")
    path.write_bytes(b"[]\n")
    with pytest.raises(CorruptDataError, match="not a JSON object"):
        read_log(path)
