"""What augmentation made of a finished job's shards: lines of the tally beside what was read, kept and dropped.

Guarantee: counted from the provenance that is stored, so it is what stands in the store. Price: 40 bytes read per
document, only where documents were cut or repeated.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from batchwright.foundation.array_file import ArrayFile
from batchwright.tokens.infilling import infilled
from batchwright.tokens.manifest import ShardEntry
from batchwright.tokens.repetition import repeated
from batchwright.tokens.shard import PROVENANCE

_UNITS = ("documents", "bytes")


def augmentation_tally(out: Path, shards: Sequence[ShardEntry], *, cut: bool, copied: bool) -> dict[str, Any]:
    """`infilled` by form where documents were `cut` for filling in, `repeated` where they were `copied`."""
    found: dict[str, Any] = {}
    if cut:
        counts = [infilled(_provenance_of(out, shard)) for shard in shards]
        forms = ("psm", "spm")
        found["infilled"] = {form: {unit: sum(of[form][unit] for of in counts) for unit in _UNITS} for form in forms}
    if copied:
        copies = [repeated(_provenance_of(out, shard)) for shard in shards]
        found["repeated"] = {unit: sum(of[unit] for of in copies) for unit in _UNITS}
    return found


def _provenance_of(out: Path, shard: ShardEntry) -> NDArray[Any]:
    return ArrayFile.open(out / f"{shard.name}.provenance", "provenance", PROVENANCE).array
