"""What happens to a record that cannot be read: one policy, chosen by the user, obeyed by every reader.

    strict    the first such record stops the job; the error names file, byte offset and the way out
    replace   bytes that are not UTF-8 become U+FFFD (counted); what cannot be repaired stops the job as in strict
    skip      the record is dropped and counted under its reason; everything else is read

A binary file (it holds a NUL byte) and an empty document are no damage: they are dropped and counted under every
policy. Lone surrogates in JSON (`"\\ud800"`) become U+FFFD, counted, under every policy: UTF-8 cannot hold them.
"""

from dataclasses import dataclass
from typing import Literal, get_args

from batchwright.documents.inputs import InputFile
from batchwright.documents.tally import Tally
from batchwright.foundation.errors import BatchwrightError, CorruptDataError, InputError, nearest

ErrorPolicy = Literal["strict", "replace", "skip"]


@dataclass(frozen=True, slots=True)
class Refusals:
    """The policy for one input file, with the tally that counts what it did."""

    file: InputFile
    errors: ErrorPolicy
    tally: Tally

    def __post_init__(self) -> None:
        if self.errors not in get_args(ErrorPolicy):
            guess = nearest(self.errors, get_args(ErrorPolicy))
            raise InputError(
                f"'{self.errors}' is no way to treat unreadable records",
                remedy=f"'{guess}'" if guess else "strict, replace or skip",
            )

    def at(self, offset: int, within: int = 0) -> str:
        """The place of a document (and of one of its bytes) in this file, as errors show it."""
        if self.file.format == "parquet":
            return f"{self.file.location}, row {offset:,}, byte {within:,} of its text"
        place = f"{self.file.location}, byte {offset + within:,}"
        return f"{place} (decompressed)" if self.file.compression else place

    def count(self, reason: str, size_bytes: int) -> None:
        """One record was read and is dropped for this reason, whatever the policy."""
        self.tally.read.add(1, size_bytes)
        self.tally.drop(reason, size_bytes)

    def refuse(self, reason: str, size_bytes: int, error: BatchwrightError) -> None:
        """Drop and count the record where the policy is to skip; otherwise raise."""
        if self.errors != "skip":
            raise error
        self.count(reason, size_bytes)

    def decode(self, raw: bytes, offset: int) -> str | None:
        """The characters of these bytes, which begin at `offset` of the file; None when the record was dropped."""
        try:
            return raw.decode()
        except UnicodeDecodeError as error:
            if self.errors == "replace":
                return raw.decode(errors="replace")
            byte = raw[error.start]
            self.refuse(
                "invalid_utf8",
                len(raw),
                InputError(
                    f"this is not UTF-8 (byte 0x{byte:02x}: {error.reason})",
                    where=self.at(offset, error.start),
                    remedy="convert the file to UTF-8 (iconv), or choose --errors replace or --errors skip",
                ),
            )
            return None

    def too_long(self, what: str, cap_bytes: int, size_bytes: int, offset: int) -> None:
        """Refuse a record that is longer than a reader may hold in memory."""
        self.refuse(
            "too_long",
            size_bytes,
            InputError(
                f"{what} is longer than {cap_bytes:,} bytes",
                where=self.at(offset),
                remedy="split it into documents, one per line of a .jsonl file, or drop such records: --errors skip",
            ),
        )

    def corrupt(self, offset: int, detail: str, remedy: str | None = None) -> None:
        """Refuse the rest of a file whose own format says that bytes are missing or wrong."""
        self.refuse(
            "corrupt",
            0,
            CorruptDataError(
                f"this file is damaged or cut short: {detail}",
                where=self.at(offset),
                remedy=remedy or "fetch it again, or read what stands before the damage: --errors skip",
            ),
        )
