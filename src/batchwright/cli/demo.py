"""`batchwright demo`: the main job on real text, told chapter by chapter as it happens."""

import sys
import time
from pathlib import Path

from batchwright.cli.face import PEOPLE, Face
from batchwright.cli.paint import paint_section
from batchwright.foundation.units import format_seconds
from batchwright.workflows.chapters import chapters_of
from batchwright.workflows.demo import Demo
from batchwright.workflows.telling.demo_report import tell_in_short

REPORT_WIDTH = 100


def demo(*, text: Path | None = None, out: Path = Path("demo"), restart: bool = False, face: Face = PEOPLE) -> None:
    """From raw text to a trained model, and what the batch size does, on the sources of Python's standard library.

    Parameters
    ----------
    text
        Another text: a file, a directory or a glob. A few megabytes at least.
    out
        Where everything is kept. A second call finds it done.
    restart
        Remove what an earlier demo left in that directory, and begin anew.
    """
    began = time.monotonic()
    made = Demo(out, text=text, restart=restart)
    made.claim()
    results = {}
    sections = []
    with made.lock:
        for chapter in chapters_of(made):
            if made.is_done(chapter):
                result = made.complete(chapter, lambda done, total=None, note="": None)
            else:
                with face.progress(face.say(f"demo.stage.{chapter.name}")) as advance:
                    result = made.complete(chapter, advance)
            results[chapter.name] = result
            if not face.json:
                face.show(paint_section(chapter.tell(result, face.say, face.out.width)))
            sections.append(chapter.tell(result, face.say, REPORT_WIDTH))
        short = tell_in_short(results, face.say)
        face.show(paint_section(short))
        sections.append(short)
        command = "batchwright " + " ".join(sys.argv[1:] if sys.argv[1:2] == ["demo"] else ["demo"])
        report = made.write_report(sections, face.say, command=command)
    took = time.monotonic() - began
    value = {
        "out": str(out),
        "report": str(report),
        "ran": made.stages.ran,
        "took_seconds": took,
        "chapters": results,
    }
    if made.stages.ran:
        closing = face.say("demo.done", report=str(report), time=format_seconds(took))
    else:
        closing = face.say("demo.found", report=str(report))
    face.answer(value, "", closing)
