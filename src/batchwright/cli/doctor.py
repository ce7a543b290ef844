"""`batchwright doctor`: what this machine can do, and what to do about what it cannot."""

from pathlib import Path

from rich.table import Table

from batchwright.cli.face import PEOPLE, Face
from batchwright.workflows.machine import examine_machine, to_json


def doctor(*, face: Face = PEOPLE) -> int:
    """Check the interpreter, memory, disk and packages. Exit code 1 when something needed is missing."""
    checks = examine_machine(Path.cwd())
    table = Table(box=None, pad_edge=False, show_header=False)
    for check in checks:
        mark = "✓" if check.ok else "✗" if check.needed else "–"
        table.add_row(mark, check.name, check.value, check.remedy or "")
    verdict = to_json(checks)
    face.answer(verdict, table, face.say("doctor.ok" if verdict["ok"] else "doctor.missing"))
    return 0 if verdict["ok"] else 1
