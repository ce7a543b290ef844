"""What every test may ask for: real data beside the checkout, or a skip that says why; a quick hypothesis profile."""

import os
from pathlib import Path

# Before torch is loaded: on two shared cores, threads that spin while they wait cost more than they give.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import pytest
from hypothesis import HealthCheck, settings

REPOSITORY = Path(__file__).resolve().parents[1]
SHARED = REPOSITORY.parent / "shared"

settings.register_profile(
    "house", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
settings.load_profile("house")


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
