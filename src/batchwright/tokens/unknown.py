"""The vocabulary that nobody gave: ids imported without a tokenizer.

Guarantee: ids can be named (`<17>`) and counted, batched and trained on; text can neither be made nor read, and asking
for it is an error that says so, never a guess. Price: nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from batchwright.foundation.errors import InputError
from batchwright.tokens.vocabulary import ENDOFTEXT


@dataclass(frozen=True, kw_only=True)
class UnknownVocabulary:
    """What `Tokenizer` asks for, as far as a size and the id of `<|endoftext|>` can answer it."""

    vocabulary_size: int
    eot_id: int

    name = "unknown"
    engine = "unknown"
    probe = "nothing to prove"
    eot_token = ENDOFTEXT

    def __post_init__(self) -> None:
        if not 0 <= self.eot_id < self.vocabulary_size:
            raise InputError(
                f"the end-of-text id {self.eot_id:,} is outside a vocabulary of {self.vocabulary_size:,} ids",
                remedy="vocabulary size = one more than the highest id, specials included",
            )

    @property
    def special_tokens(self) -> Mapping[str, int]:
        return {ENDOFTEXT: self.eot_id}

    @property
    def hash(self) -> str:
        """Two unknown vocabularies of one size may differ, so this names none."""
        return f"unknown vocabulary of size {self.vocabulary_size}"

    def encode_batch(self, texts: Sequence[str | bytes]) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
        """Raises InputError: there is nothing to encode with."""
        self._refuse()

    def decode(self, ids: Sequence[int] | NDArray[Any]) -> str:
        """Ids as numbers."""
        return b"".join(self.token_bytes(int(number)) for number in ids).decode()

    def token_bytes(self, number: int) -> bytes:
        """`<17>`, or the name of the end of text."""
        return ENDOFTEXT.encode() if number == self.eot_id else b"<%d>" % number

    def save(self, path: Path) -> None:
        """Raises InputError: there is nothing to save."""
        self._refuse()

    def rest(self) -> None:
        """There is nothing to let go of."""

    def _refuse(self) -> NoReturn:
        raise InputError(
            f"the ids of this store were imported without their vocabulary (size {self.vocabulary_size:,})",
            remedy="import them again with --tokenizer FILE",
        )
