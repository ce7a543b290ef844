"""A sweep's progress: tokens of the runs under way, from their logs, whatever state those are in."""

import os
from pathlib import Path

from batchwright.training.trainer import LOG_NAME
from batchwright.workflows.sweep import _tokens_seen  # pyright: ignore[reportPrivateUsage]

STEP = b'{"kind":"step","tokens":%d}\n'


def test_the_tokens_of_a_run_under_way_are_those_of_its_last_whole_step(tmp_path: Path) -> None:
    log = tmp_path / LOG_NAME
    assert _tokens_seen(log, 0.0) == 0, "not begun, or just ended"
    log.write_bytes(b'{"kind":"evaluation","tokens":0}\n')
    assert _tokens_seen(log, 0.0) == 0
    log.write_bytes(STEP % 128 + STEP % 256 + b'{"kind":"st')
    assert _tokens_seen(log, 0.0) == 256
    os.utime(log, (100.0, 100.0))
    assert _tokens_seen(log, 200.0) == 0, "what an interrupted sweep left is begun anew"
