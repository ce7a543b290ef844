"""The command `batchwright`: one verb per file, and the one border where an error becomes text and an exit code.

Guarantees: no traceback for a mistake of the user, of the data or of the machine; with `--json` exactly one JSON
object on stdout, errors too; a reader that goes away (`| head`) is not an error. Price: a verb's module is imported
when it is called, so `--help` imports neither numpy nor torch.

    0 done   1 user error   2 usage   3 data corrupt   4 out of resources   130 interrupted
"""

import contextlib
import json
import os
import signal
import sys
import threading
from collections.abc import Generator, Sequence
from typing import NoReturn

from cyclopts import App, CycloptsError
from rich.text import Text

from batchwright.cli.face import console_on
from batchwright.foundation.errors import BatchwrightError, ResourceError, UsageError, nearest
from batchwright.foundation.extras import extra_missing
from batchwright.foundation.own_process import declare_own_process

VERBS = {
    "demo": "The main job on real text: prepare, show, plan, train, what B does, report.",
    "prepare": "Text files → a token store.",
    "show": "One (B, T) batch in the terminal, coloured by document.",
    "plan": "What fits and how fast, before anything runs.",
    "measure": "Where every token goes, and what a run really does: coverage, noise, throughput, memory, a sweep.",
    "train": "The reference trainer; continues where it was stopped.",
    "verify": "Check a token store bit by bit.",
    "export": "A token store in the files of Megatron, nanoGPT or parquet.",
    "import": "Pre-tokenized data of Megatron, nanoGPT or parquet → a token store.",
    "doctor": "What this machine can do.",
}
PLACES = {"measure": "measure:app", "import": "bring:bring"}
"""Verbs that do not lie in a function of their name: `import` is a word of Python."""
OTHERS_CODE = ("demo", "plan", "measure", "train")
"""Verbs in whose process a model of the user's own may run."""

SUMMARY = "From raw text to the exact (B, T) batches a language model is pre-trained on, and which batch size to use."
EPILOGUE = (
    "Every verb takes --json (one object on stdout) and --lang en|zh. "
    "Exit codes: 0 done, 1 user error, 2 usage, 3 data corrupt, 4 out of resources, 130 interrupted."
)

EXIT_USAGE, EXIT_RESOURCES, EXIT_INTERRUPTED = 2, 4, 130


def build_app() -> App:
    app = App(
        name="batchwright",
        help=SUMMARY,
        help_epilogue=EPILOGUE,
        version=_version,
        console=console_on(sys.stdout),
        suppress_keyboard_interrupt=False,  # the border below says so, with --json too
        result_action="return_value",
    )
    for verb, line in VERBS.items():
        app.command(f"batchwright.cli.{PLACES.get(verb, f'{verb}:{verb}')}", name=verb, help=line)
    return app


def _version() -> str:
    from importlib.metadata import version

    return f"batchwright {version('batchwright')}"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; gives its exit code. Under torchrun it does not come back: see `_leave`."""
    if arguments is None and sys.argv[1:2] and sys.argv[1] not in OTHERS_CODE:
        declare_own_process()
    code = _run(arguments)
    if arguments is None and "TORCHELASTIC_RUN_ID" in os.environ:
        _leave(code)
    return code


def _leave(code: int) -> NoReturn:
    """Threads of the process group can abort a process that ends the usual way after all its work is done."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def _run(arguments: Sequence[str] | None) -> int:
    # OpenMP's threads wait by spinning. Where others use the machine too that made training three times dearer in
    # CPU seconds (measured, two threads on two busy cores). It must be said before torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    words = list(sys.argv[1:] if arguments is None else arguments)
    as_json = "--json" in words
    try:
        _check_verb(words)
        with _ending_in_order():
            code = build_app()(words, exit_on_error=False, print_error=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except BrokenPipeError:
        # The reader has left; what is still buffered must not raise again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return _fail("interrupted", EXIT_INTERRUPTED, as_json, kind="KeyboardInterrupt")
    except BatchwrightError as error:
        return _fail(str(error), error.exit_code, as_json, kind=type(error).__name__)
    except CycloptsError as error:
        return _fail(_usage(error), EXIT_USAGE, as_json, kind="UsageError")
    except MemoryError:
        error = ResourceError("this process ran out of memory", remedy="use a smaller micro-batch or fewer workers")
        return _fail(str(error), EXIT_RESOURCES, as_json, kind="ResourceError")
    except ModuleNotFoundError as error:
        missing = extra_missing(error.name or "", "this verb")
        if missing is None:
            raise
        return _fail(str(missing), missing.exit_code, as_json, kind=type(missing).__name__)


@contextlib.contextmanager
def _ending_in_order() -> Generator[None]:
    """SIGTERM is a wish to end, too: as orderly as Ctrl-C."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def _check_verb(words: Sequence[str]) -> None:
    """cyclopts would import every verb to say that one is unknown."""
    verb = next(iter(words), "--help")
    if not verb.startswith("-") and verb not in VERBS:
        hint = nearest(verb, VERBS)
        raise UsageError(
            f"there is no verb {verb!r}",
            remedy=f"batchwright {hint}" if hint else f"one of {', '.join(VERBS)}; batchwright --help tells them apart",
        )


def _usage(error: CycloptsError) -> str:
    return f"{str(error).strip()}\n  try: batchwright {' '.join([*(error.command_chain or ()), '--help'])}"


def _fail(text: str, code: int, as_json: bool, *, kind: str) -> int:
    if as_json:
        what = text.split("\n", 1)[0]
        print(json.dumps({"error": {"kind": kind, "what": what, "text": text, "exit_code": code}}, ensure_ascii=False))
    console_on(sys.stderr).print(Text.assemble(("error: ", "bold red"), text), soft_wrap=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
