"""`batchwright verify STORE`: every byte of a token store against what was written. Exit code 3 when one differs."""

from pathlib import Path

from batchwright.cli.face import PEOPLE, Face
from batchwright.foundation.errors import CorruptDataError
from batchwright.foundation.units import format_bytes
from batchwright.tokens.store import TokenStore
from batchwright.tokens.verification import verify as verify_store


def verify(store: Path, /, *, face: Face = PEOPLE) -> int:
    """Compare every byte of a store with what was written, and check that it is well formed.

    Parameters
    ----------
    store
        A token store made by `batchwright prepare`.
    """
    opened = TokenStore.open(store)
    with face.progress(face.say("verify.title"), unit=format_bytes) as advance:
        report = verify_store(opened, progress=advance)
    value = {
        "sound": report.sound,
        "fingerprint": report.fingerprint,
        "files": report.files,
        "bytes": report.bytes,
        "documents": report.documents,
        "tokens": report.tokens,
        "damage": [{"what": error.what, "where": error.where} for error in report.damage],
    }
    if report.sound:
        numbers = {name: f"{value[name]:,}" for name in ("files", "documents", "tokens")}
        sentence = face.say("verify.sound", **numbers, size=format_bytes(report.bytes), fingerprint=report.fingerprint)
        face.answer(value, sentence)
        return 0
    face.answer(value, *(str(error) for error in report.damage), face.say("verify.damaged", count=len(report.damage)))
    return CorruptDataError.exit_code
