"""What every test may ask for: real data beside the checkout, or a skip that says why; a quick hypothesis profile."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Before torch is loaded: on two shared cores, threads that spin while they wait cost more than they give.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import pytest
from hypothesis import HealthCheck, settings

from tests.dealing import FileByFile, place_of
from tests.training.rank_groups import Groups, groups_of_ranks

REPOSITORY = Path(__file__).resolve().parents[1]
SHARED = REPOSITORY.parent / "shared"

settings.register_profile(
    "house", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
settings.load_profile("house")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: place_of(item.nodeid))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    return FileByFile(config, log) if config.getvalue("dist") in ("loadfile", "loadgroup") else None


@pytest.fixture(scope="session")
def groups() -> Iterator[Groups]:
    """One nursery of ranks for all tests of a process; nothing is started before it is asked for."""
    with groups_of_ranks() as started:
        yield started


@pytest.fixture(scope="session")
def gpt2_tokenizer_file() -> Path:
    """GPT-2's published vocabulary as a `tokenizer.json`, which a bare clone does not carry."""
    file = SHARED / "data" / "gpt2" / "tokenizer.json"
    if not file.exists():
        pytest.skip("GPT-2's vocabulary is not beside this checkout (../shared/data/gpt2/tokenizer.json)")
    return file


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The long programmes say what they did: `record_property("tally", …)` reaches this from any worker."""
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            if name == "tally":
                terminalreporter.write_line(f"{value}")
