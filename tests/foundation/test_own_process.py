"""numba imports what extends it, unless the process says that it is batchwright's alone."""

import importlib.util
import subprocess
import sys

import pytest

FIRST_LOOP = """
import sys
from batchwright.foundation.own_process import declare_own_process
if {declared}:
    declare_own_process()
import batchwright.foundation.compiled
from numba import njit
njit(lambda n: n + 1)(1)
print("awkward" in sys.modules)
"""


@pytest.mark.skipif(importlib.util.find_spec("awkward") is None, reason="nothing that extends numba is installed")
@pytest.mark.parametrize("declared", [True, False])
def test_packages_that_extend_numba_are_imported_in_processes_of_others_only(declared: bool) -> None:
    code = FIRST_LOOP.format(declared=declared)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(not declared)
