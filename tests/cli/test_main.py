"""The border: an exit code and a sentence for everything a user can cause, one JSON object with --json."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from batchwright.cli import main as border
from batchwright.cli.main import VERBS, main
from batchwright.foundation.errors import BatchwrightError, CorruptDataError, InputError, ResourceError


def failing(error: BaseException) -> Callable[[], Callable[..., None]]:
    def run(*_: object, **__: object) -> None:
        raise error

    return lambda: run


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InputError("no such file", where="a.txt", remedy="look again"), 1),
        (CorruptDataError("a flipped bit"), 3),
        (ResourceError("disk full"), 4),
        (MemoryError(), 4),
        (KeyboardInterrupt(), 130),
    ],
)
def test_every_error_becomes_text_and_a_code(
    error: BaseException, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(border, "build_app", failing(error))
    assert main(["doctor"]) == code
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: ")
    assert "Traceback" not in said.err
    if isinstance(error, BatchwrightError):
        assert str(error) in said.err
    assert main(["doctor", "--json"]) == code
    assert json.loads(capsys.readouterr().out)["error"]["exit_code"] == code


def test_our_own_mistakes_are_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(border, "build_app", failing(AssertionError("ours")))
    with pytest.raises(AssertionError, match="ours"):
        main(["doctor"])


def test_a_mistyped_verb_is_a_usage_error_with_the_nearest_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prepar"]) == 2
    assert "batchwright prepare" in capsys.readouterr().err


def test_a_mistyped_option_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--jason"]) == 2
    assert "batchwright doctor --help" in capsys.readouterr().err


def test_doctor_answers_one_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["ok"] is True
    assert {"python", "numpy", "torch"} <= {check["name"] for check in answer["checks"]}


def test_doctor_speaks_chinese(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--lang", "zh"]) == 0
    assert "就绪" in capsys.readouterr().out


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_every_verb_explains_itself_and_takes_json(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = [verb, "noise"] if verb == "measure" else [verb]
    assert main([*words, "--help"]) == 0
    text = capsys.readouterr().out
    assert "--json" in text
    assert "--lang" in text


def test_help_is_quick_and_imports_nothing_heavy() -> None:
    code = (
        "import sys; from batchwright.cli.main import main; main(['--help']); "
        "print(sorted({'torch', 'numba', 'numpy', 'pyarrow'} & set(sys.modules)), file=sys.stderr)"
    )
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    assert time.perf_counter() - began < 3.0, "0.7 s alone on a machine; tests share it"


def test_a_reader_that_goes_away_is_no_error() -> None:
    code = "import sys; from batchwright.cli.main import main; sys.exit(main(['doctor']))"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        errors = process.stderr.read()
        assert process.wait() == 0
    assert errors == b""


def test_an_interruption_inside_a_verb_reaches_the_border(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from batchwright.cli import doctor

    monkeypatch.setattr(doctor, "examine_machine", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
    assert main(["doctor", "--json"]) == 130
    assert json.loads(capsys.readouterr().out)["error"]["exit_code"] == 130


def test_being_asked_to_end_is_an_interruption(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from batchwright.cli import doctor

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(doctor, "examine_machine", lambda _: os.kill(os.getpid(), signal.SIGTERM))
    assert main(["doctor", "--json"]) == 130
    assert json.loads(capsys.readouterr().out)["error"]["exit_code"] == 130
    assert signal.getsignal(signal.SIGTERM) == before
