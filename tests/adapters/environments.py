"""An environment for every library that batchwright hands its batches to, and the tests that run in it.

    python -m tests.adapters.environments [NAME …]      all of them, or these; what `make adapters` calls

Each is a virtual environment of its own under benchmarks/.environments (git ignores it), because these libraries pin
each other's versions. The same build of torch is installed first, so that none of them brings another one in. An
environment that is complete for its list of packages is used again. Price: ~1.5 GB and a minute or two each, once.
"""

import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
HOME = REPOSITORY / "benchmarks" / ".environments"
TORCH = "torch==2.13.0"
TESTING = ("pytest>=8.3", "pytest-timeout>=2.3", "hypothesis>=6.110")


@dataclass(frozen=True, kw_only=True)
class Environment:
    """`packages` beside torch and batchwright's own requirements; `tests` are files of this directory."""

    name: str
    packages: tuple[str, ...]
    tests: tuple[str, ...]

    @property
    def python(self) -> Path:
        return HOME / self.name / "bin" / "python"

    @property
    def wanted(self) -> str:
        """What is installed, one per line: written when everything is there."""
        return "\n".join((TORCH, *TESTING, *self.packages))

    def make(self) -> None:
        """Install it, unless it is there. Raises CalledProcessError when a package cannot be had."""
        ready = HOME / self.name / "ready"
        if ready.exists() and ready.read_text() == self.wanted:
            return
        print(f"{self.name}: installing {', '.join(self.packages)}", flush=True)
        venv.create(HOME / self.name, with_pip=True, clear=True)
        self._install(TORCH)
        self._install(TORCH, "--editable", str(REPOSITORY), *TESTING, *self.packages)
        ready.write_text(self.wanted)

    def _install(self, *what: str) -> None:
        pip = [str(self.python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *what], check=True)

    def run_tests(self) -> int:
        """pytest's exit code. Warnings of these libraries are theirs; ours are errors in the ordinary tests."""
        files = [str(REPOSITORY / "tests" / "adapters" / test) for test in self.tests]
        command = [str(self.python), "-m", "pytest", "-m", "adapters", "-W", "default", "-rs", *files]
        return subprocess.run(command, cwd=REPOSITORY, check=False).returncode


ENVIRONMENTS = (
    Environment(name="torchdata", packages=("torchdata==0.11.0",), tests=("test_torchdata.py",)),
    Environment(
        name="huggingface", packages=("transformers==5.23.0", "accelerate==1.15.0"), tests=("test_hugging_face.py",)
    ),
    Environment(name="torchtitan", packages=("torchtitan==0.3.0", "triton==3.9.0"), tests=("test_torchtitan.py",)),
    Environment(name="megatron", packages=("megatron-core==0.16.1",), tests=("test_megatron_core.py",)),
)


def main(names: list[str]) -> int:
    known = {environment.name: environment for environment in ENVIRONMENTS}
    unknown = [name for name in names if name not in known]
    if unknown:
        print(f"there is no environment {unknown[0]!r}; there are {', '.join(known)}")
        return 2
    worst = 0
    for name in names or known:
        try:
            known[name].make()
        except subprocess.CalledProcessError as error:
            print(f"{name}: not installed, so not tested (pip ended with {error.returncode})", flush=True)
            worst = max(worst, 1)
            continue
        print(f"{name}: {', '.join(known[name].tests)}", flush=True)
        worst = max(worst, known[name].run_tests())
    return worst


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
