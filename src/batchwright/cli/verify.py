"""`batchwright verify STORE`: every byte of a token store against what was written. Exit code 3 when one differs."""

from pathlib import Path

from batchwright.cli.face import PEOPLE, Face
from batchwright.foundation.errors import CorruptDataError
from batchwright.foundation.units import format_bytes
from batchwright.sequences.verification import index_directories, verify_indexes
from batchwright.tokens.store import TokenStore
from batchwright.tokens.verification import verify as verify_store


def verify(store: Path, /, *, face: Face = PEOPLE) -> int:
    """Compare every byte of a store and of the indexes beside it with what was written, and check that they are well
    formed.

    Parameters
    ----------
    store
        A token store made by `batchwright prepare`.
    """
    opened = TokenStore.open(store)
    with face.progress(face.say("verify.title"), unit=format_bytes) as advance:
        report = verify_store(opened, progress=advance)
    damage = [*report.damage, *verify_indexes(opened)]
    value = {
        "sound": not damage,
        "fingerprint": report.fingerprint,
        "files": report.files,
        "bytes": report.bytes,
        "documents": report.documents,
        "tokens": report.tokens,
        "indexes": len(index_directories(opened)),
        "damage": [{"what": error.what, "where": error.where} for error in damage],
    }
    if not damage:
        numbers = {name: f"{value[name]:,}" for name in ("files", "documents", "tokens")}
        sentence = face.say("verify.sound", **numbers, size=format_bytes(report.bytes), fingerprint=report.fingerprint)
        face.answer(value, sentence)
        return 0
    face.answer(value, *(str(error) for error in damage), face.say("verify.damaged", count=len(damage)))
    return CorruptDataError.exit_code
