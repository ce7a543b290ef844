"""Every rival lives in a virtual environment of its own, made when first needed, with pinned versions.

Nothing is installed into the environment that runs the benchmark. `torch` comes first, so that no dependency draws
another build of it.
"""

import re
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1] / ".environments"
TORCH = "torch==2.13.0"


@dataclass(frozen=True, kw_only=True)
class Environment:
    """`requirements` are installed in order of the tuple, one call each, the first ones held fixed."""

    name: str
    requirements: tuple[str, ...]

    @property
    def python(self) -> Path:
        return ROOT / self.name / "bin" / "python"

    def make(self) -> None:
        """Make it unless it is there with exactly these requirements. Raises CalledProcessError with pip's words."""
        marker = ROOT / self.name / ".ready"
        wanted = "\n".join(self.requirements)
        if marker.exists() and marker.read_text() == wanted:
            return
        print(f"making the environment {self.name}: {', '.join(self.requirements)}", file=sys.stderr, flush=True)
        venv.create(ROOT / self.name, with_pip=True, clear=True)
        constraints = ROOT / f"{self.name}.constraints"
        for number, requirement in enumerate(self.requirements):
            # pip takes no extras in constraints: name[extra]==1 holds name at 1.
            constraints.write_text("\n".join(re.sub(r"\[.*?\]", "", held) for held in self.requirements[:number]))
            command = [str(self.python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            subprocess.run(
                [*command, "--constraint", str(constraints), requirement], check=True, capture_output=True, text=True
            )
        constraints.unlink()
        marker.write_text(wanted)


TIKTOKEN = Environment(name="tiktoken", requirements=("tiktoken==0.12.0",))
