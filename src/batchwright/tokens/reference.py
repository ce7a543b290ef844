"""`tokenizers` as the reference: any `tokenizer.json`, exact by definition, 2-3 MB per CPU-second.

Guarantee: no text, through save and load, pickling or a spawned worker, yields a special id (the engine never hears of
them; see `vocabulary`). Prefer `fast.GigatokenTokenizer` where its probe proves it, which is what
`tokenizer.open_tokenizer` does.
"""

import codecs
from collections.abc import Mapping, Sequence
from functools import cached_property
from importlib.metadata import version
from itertools import accumulate, chain
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from batchwright.foundation.errors import InputError
from batchwright.foundation.files import write_atomic
from batchwright.tokens.vocabulary import Vocabulary


class JsonTokenizer:
    """A vocabulary with `tokenizers` as its engine."""

    name = "tokenizers"

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary

    @property
    def engine(self) -> str:
        return f"tokenizers {version('tokenizers')}"

    @property
    def probe(self) -> str:
        """What proved the engine: nothing has to, it is the reference."""
        return "reference"

    @property
    def vocabulary_size(self) -> int:
        return self.vocabulary.size

    @property
    def eot_id(self) -> int:
        return self.vocabulary.eot_id

    @property
    def eot_token(self) -> str:
        return self.vocabulary.eot_token

    @property
    def special_tokens(self) -> Mapping[str, int]:
        return self.vocabulary.special_tokens

    @property
    def hash(self) -> str:
        return self.vocabulary.hash

    @cached_property
    def _engine(self) -> Any:
        import tokenizers  # 40 ms, and only for who encodes

        try:
            return tokenizers.Tokenizer.from_str(self.vocabulary.text_only)
        except Exception as error:  # the library raises a bare Exception for everything
            raise InputError(f"`tokenizers` cannot read this vocabulary: {error}") from error

    def rest(self) -> None:
        """Let go of the engine, up to 100 MB; it is loaded again when something is encoded."""
        self.__dict__.pop("_engine", None)

    def encode_batch(self, texts: Sequence[str | bytes]) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
        """(ids, offsets): the ids of text i are ids[offsets[i] : offsets[i + 1]]."""
        strings = [codecs.decode(utf8_of(text), "utf-8") for text in texts]
        lists = [
            cast("list[int]", one.ids) for one in self._engine.encode_batch_fast(strings, add_special_tokens=False)
        ]
        offsets = np.fromiter(accumulate(map(len, lists), initial=0), np.int64, len(lists) + 1)
        ids = np.fromiter(chain.from_iterable(lists), np.uint32, int(offsets[-1]))
        return self.vocabulary.check(ids), offsets

    def decode(self, ids: Sequence[int] | NDArray[Any]) -> str:
        """Text again. Specials appear under their names; bytes that are not UTF-8 as U+FFFD."""
        if self.vocabulary.byte_level:
            table = self.vocabulary.bytes_of
            return b"".join(table.get(int(number), b"") for number in ids).decode("utf-8", "replace")
        return self._decode_between_specials([int(number) for number in ids])

    def _decode_between_specials(self, ids: list[int]) -> str:
        names = {number: token for token, number in self.special_tokens.items()}
        parts: list[str] = []
        run: list[int] = []
        for number in [*ids, -1]:
            if number >= 0 and number not in names:
                run.append(number)
                continue
            parts.append(cast(str, self._engine.decode(run, skip_special_tokens=False)) if run else "")
            parts.append(names.get(number, ""))
            run = []
        return "".join(parts)

    def token_bytes(self, number: int) -> bytes:
        """The bytes one id stands for."""
        return self.vocabulary.bytes_of[number]

    def save(self, path: Path) -> None:
        """Write a `tokenizer.json` from which `open_tokenizer` makes this tokenizer again, hash included."""
        write_atomic(path, self.vocabulary.file)

    def __reduce__(self) -> tuple[object, ...]:
        return reopen, (type(self), self.vocabulary.file, self.vocabulary.eot_token)


def utf8_of(text: str | bytes) -> bytes:
    """The text's bytes; half of a surrogate pair alone, which is no character, becomes U+FFFD as in tiktoken."""
    if isinstance(text, bytes):
        return text
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


def reopen(kind: type[JsonTokenizer], file: bytes, eot_token: str) -> JsonTokenizer:
    """A tokenizer from its file's bytes: how it travels to another process."""
    return kind(Vocabulary.parse(file, where="a tokenizer sent to this process", eot_token=eot_token))
