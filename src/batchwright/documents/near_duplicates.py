"""Near-duplicates: what counts as one, and how surely it is found (MinHash with banded hashing).

A text is the set of its shingles: runs of `shingle_words` words, and in scripts that write no blanks of
`shingle_characters` characters. The similarity of two texts is |A ∩ B| / |A ∪ B| of their sets (Jaccard). A signature
holds, for each of `permutations` random orders of all shingles, the first one of the text's; two signatures agree in a
place with the probability s of the similarity (Broder 1997). Texts that agree in all `rows` places of one of the
`bands` are compared, and are near-duplicates when they agree in at least `min_similarity` of all places.
Near-duplicates of near-duplicates form a cluster; its first document, in the order (source, path, offset), stays.

    14 bands of 8 rows, min_similarity 0.7     s        0.5   0.6   0.7   0.8   0.9
    compared   1 − (1 − s^rows)^bands          5 %  21 %  56 %  92 %  100 %
    found      compared, and similar enough    0 %   1 %  36 %  92 %  100 %

Guarantee: the clusters depend on the texts, their order and these settings. Price: 4 bytes × `permutations` and 12 ×
`bands` per document on disk while a job runs; the former stay with the store, for the runs that come after.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import ceil, comb
from typing import Any, Literal, Self, get_args

from batchwright.foundation.errors import InputError

Action = Literal["drop", "split"]
LONGEST_SHINGLE = 32


@dataclass(frozen=True, kw_only=True)
class NearDuplicates:
    """What is a near-duplicate and what is done about it.

    action: `drop` keeps the first document of a cluster; `split` keeps all, on one side of the validation split.
    seed: names the random orders. It is not the job's: signatures of two jobs can be compared when it is equal.
    """

    action: Action = "drop"
    shingle_words: int = 5
    shingle_characters: int = 8
    bands: int = 14
    rows: int = 8
    min_similarity: float = 0.7
    seed: int = 0

    def __post_init__(self) -> None:
        if self.action not in get_args(Action):
            raise InputError(f"near-duplicates are not treated by {self.action!r}", remedy="drop or split")
        for name in ("shingle_words", "shingle_characters"):
            if not 1 <= getattr(self, name) <= LONGEST_SHINGLE:
                raise InputError(f"{name} is {getattr(self, name)}; it lies between 1 and {LONGEST_SHINGLE}")
        if self.bands < 1 or self.rows < 1 or self.permutations > 1024:
            raise InputError(f"{self.bands} bands of {self.rows} rows: at least 1 of each, at most 1,024 together")
        if not 0.0 <= self.min_similarity <= 1.0:
            raise InputError(f"min_similarity is {self.min_similarity}; it lies between 0 and 1")

    @property
    def permutations(self) -> int:
        """Places of a signature."""
        return self.bands * self.rows

    @property
    def agreeing_places(self) -> int:
        """In how many places two near-duplicates agree at least."""
        return ceil(self.min_similarity * self.permutations - 1e-9)

    def compared(self, similarity: float) -> float:
        """The probability that two texts of this similarity are compared."""
        return 1.0 - (1.0 - similarity**self.rows) ** self.bands

    def found(self, similarity: float) -> float:
        """The probability that two texts of this similarity are compared and agree in enough places.

        P(k of all places agree) less P(k agree and no band does): the latter is the coefficient of z^k in
        (Σ_{j < rows} C(rows, j) s^j (1−s)^(rows−j) z^j)^bands.
        """
        s, total = similarity, self.permutations
        some = [comb(self.rows, j) * s**j * (1 - s) ** (self.rows - j) for j in range(self.rows)]
        without = [1.0]
        for _ in range(self.bands):
            product = [0.0] * (len(without) + self.rows - 1)
            for place, left in enumerate(without):
                for j, right in enumerate(some):
                    product[place + j] += left * right
            without = product
        least = self.agreeing_places
        enough = sum(comb(total, k) * s**k * (1 - s) ** (total - k) for k in range(least, total + 1))
        return max(0.0, enough - sum(without[least:]))

    def to_json(self) -> dict[str, Any]:
        """Its part of a manifest's `recipe`, and of a task's parameters."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """What `to_json` wrote."""
        return cls(**value)
