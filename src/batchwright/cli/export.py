"""`batchwright export STORE --to FORMAT OUT`: a token store in the files of another project."""

from pathlib import Path

from batchwright.adapters.exporting import Exchange, export_store
from batchwright.cli.face import PEOPLE, Face
from batchwright.foundation.units import format_count
from batchwright.tokens.store import TokenStore


def export(store: Path, out: Path, /, *, to: Exchange, face: Face = PEOPLE) -> None:
    """Write a store's documents in another format. Interrupted, the same command begins again; finished, it changes
    nothing.

    Parameters
    ----------
    store
        A token store made by `batchwright prepare` or `batchwright import`.
    out
        Directory for the files; its manifest.json says what they came from.
    to
        megatron (.bin and .idx), nanogpt (.bin), or parquet (input_ids, and loss_mask if the store has one).
    """
    opened = TokenStore.open(store)
    with face.progress(face.say("export.title", format=to), unit=format_count) as advance:
        done = export_store(opened, out, to=to, progress=advance)
    splits = done.manifest["splits"].values()
    sentence = face.say(
        "export.done",
        documents=f"{sum(split['documents'] for split in splits):,}",
        tokens=format_count(sum(split["tokens"] for split in splits)),
        files=", ".join(file["name"] for split in splits for file in split["files"][:2]),
        place=str(out),
    )
    lost = [face.say("export.left_out", what=", ".join(done.manifest["left_out"]))] if done.manifest["left_out"] else []
    face.answer({"directory": str(out), "found_finished": done.found_finished, **done.manifest}, sentence, *lost)
