import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from batchwright.foundation.resident_memory import peak_resident_bytes

SMALL = "from batchwright.foundation.resident_memory import peak_resident_bytes; print(peak_resident_bytes())"


def test_memory_once_held_is_counted_after_it_is_given_back() -> None:
    held = np.ones(2**25)  # 256 MiB
    size = held.nbytes
    del held
    assert peak_resident_bytes() > size


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux carries the mark over")
def test_a_small_program_started_from_a_large_one_counts_its_own() -> None:
    held = np.ones(2**26)  # 512 MiB
    done = subprocess.run([sys.executable, "-c", SMALL], capture_output=True, text=True, check=True)
    assert int(done.stdout) < held.nbytes / 2


def test_without_the_kernels_mark_the_usage_answers(tmp_path: Path) -> None:
    expected = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert peak_resident_bytes(tmp_path / "none") >= expected
    (tmp_path / "odd").write_bytes(b"Name: python\n")
    assert peak_resident_bytes(tmp_path / "odd") >= expected
