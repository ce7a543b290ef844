import re
import subprocess
import sys
from pathlib import Path

import pytest

import batchwright


@pytest.mark.parametrize("name", batchwright.__all__)
def test_every_public_name_is_there(name: str):
    assert getattr(batchwright, name).__module__.startswith("batchwright.")


def test_what_a_type_checker_sees_is_what_is_there():
    source = Path(batchwright.__file__).read_text()
    assert sorted(re.findall(r"import (\w+) as \1", source)) == batchwright.__all__


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Bacth'"):
        batchwright.Bacth  # noqa: B018


def test_importing_the_library_loads_neither_torch_nor_numba():
    code = "import sys, batchwright; print([m for m in ('torch', 'numba', 'tokenizers', 'numpy') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
