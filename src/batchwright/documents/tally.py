"""The ledger of documents and bytes: nothing is read that is not kept or dropped for a named reason.

Guarantee, after any number of merges, whenever everything that was read has been dealt with (`check`):

    documents read = documents kept + Σ documents dropped, by reason
    bytes read     = bytes kept + Σ bytes dropped, by reason + Σ bytes removed by edits, by edit

Bytes are UTF-8 bytes of text: what a text file holds, what a JSON string or a parquet value decodes to. A record that
never became text (not JSON, not UTF-8, longer than the cap) counts with its bytes in the file; a file that could not
be read at all with 0. An edit may also add bytes: then what it "removed" is negative.
Price: a few integer additions per document.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self


@dataclass(slots=True)
class Amount:
    """So many documents, so many bytes."""

    documents: int = 0
    bytes: int = 0

    def add(self, documents: int, size_bytes: int) -> None:
        """Count more of the same."""
        self.documents += documents
        self.bytes += size_bytes


@dataclass(slots=True)
class Tally:
    """Documents and bytes read, kept, dropped by reason and edited by kind; files of directories left aside."""

    read: Amount = field(default_factory=Amount)
    kept: Amount = field(default_factory=Amount)
    dropped: dict[str, Amount] = field(default_factory=dict[str, Amount])
    edited: dict[str, Amount] = field(default_factory=dict[str, Amount])
    skipped_files: dict[str, int] = field(default_factory=dict[str, int])

    def drop(self, reason: str, size_bytes: int, documents: int = 1) -> None:
        """Documents that were read end here."""
        self.dropped.setdefault(reason, Amount()).add(documents, size_bytes)

    def edit(self, kind: str, removed_bytes: int, documents: int = 1) -> None:
        """A text was changed and is now so many bytes shorter (longer: negative)."""
        self.edited.setdefault(kind, Amount()).add(documents, removed_bytes)

    def drop_kept(self, reason: str, size_bytes: int, documents: int = 1) -> None:
        """Documents counted as kept are dropped after all: duplicates are known only when everything was read."""
        self.kept.add(-documents, -size_bytes)
        self.drop(reason, size_bytes, documents)

    def skip_file(self, reason: str) -> None:
        """A file or directory that discovery left aside, unread."""
        self.skipped_files[reason] = self.skipped_files.get(reason, 0) + 1

    def merge(self, other: "Tally") -> Self:
        """Add another tally to this one; the order of merging never matters."""
        self.read.add(other.read.documents, other.read.bytes)
        self.kept.add(other.kept.documents, other.kept.bytes)
        for reason, amount in other.dropped.items():
            self.drop(reason, amount.bytes, amount.documents)
        for kind, amount in other.edited.items():
            self.edit(kind, amount.bytes, amount.documents)
        for reason, count in other.skipped_files.items():
            self.skipped_files[reason] = self.skipped_files.get(reason, 0) + count
        return self

    def check(self) -> None:
        """Raise AssertionError (our own mistake, never the user's) unless both ledgers balance."""
        documents = self.kept.documents + sum(amount.documents for amount in self.dropped.values())
        size_bytes = self.kept.bytes + sum(
            amount.bytes for amounts in (self.dropped, self.edited) for amount in amounts.values()
        )
        if documents != self.read.documents or size_bytes != self.read.bytes or self.kept.documents < 0:
            raise AssertionError(
                f"documents are not conserved: {self.read.documents:,} read ({self.read.bytes:,} bytes), "
                f"{documents:,} kept or dropped ({size_bytes:,} bytes kept, dropped or edited away)"
            )

    def to_dict(self) -> dict[str, Any]:
        """JSON, reasons in alphabetical order so that equal tallies have equal bytes."""
        return {
            "read": _amount_to_dict(self.read),
            "kept": _amount_to_dict(self.kept),
            "dropped": {reason: _amount_to_dict(self.dropped[reason]) for reason in sorted(self.dropped)},
            "edited": {kind: _amount_to_dict(self.edited[kind]) for kind in sorted(self.edited)},
            "skipped_files": {reason: self.skipped_files[reason] for reason in sorted(self.skipped_files)},
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Self:
        """The tally that `to_dict` wrote."""
        return cls(
            read=Amount(**value["read"]),
            kept=Amount(**value["kept"]),
            dropped={reason: Amount(**amount) for reason, amount in value["dropped"].items()},
            edited={kind: Amount(**amount) for kind, amount in value["edited"].items()},
            skipped_files=dict(value["skipped_files"]),
        )


def _amount_to_dict(amount: Amount) -> dict[str, int]:
    return {"documents": amount.documents, "bytes": amount.bytes}
