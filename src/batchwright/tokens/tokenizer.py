"""What a tokenizer is, the one that needs no vocabulary, and how any is opened.

Guarantee of every tokenizer here: `encode_batch` never yields a special id, whatever the text holds, in this process or
another; `<|endoftext|>` comes from us alone. Ids are flat: (ids uint32, offsets int64), ids of text i = ids[offsets[i]
: offsets[i + 1]].

    open_tokenizer("bytes")                       256 bytes and <|endoftext|> = 256
    open_tokenizer("…/tokenizer.json")            any BPE vocabulary; the fast engine where its probe proves it
    open_tokenizer("…/cl100k_base.tiktoken")      tiktoken's ranks
    open_tokenizer("cl100k:…/mine.tiktoken")      others' ranks, with the split pattern named
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import orjson
from numpy.typing import NDArray

from batchwright.foundation.errors import InputError
from batchwright.foundation.files import translated, write_atomic
from batchwright.tokens.fast import GigatokenTokenizer
from batchwright.tokens.reference import JsonTokenizer, utf8_of
from batchwright.tokens.tiktoken_file import ENCODING_NAMES, SUFFIX, tokenizer_json
from batchwright.tokens.vocabulary import BYTE_LETTERS, ENDOFTEXT, Vocabulary, byte_level_file, read_tokenizer_file

Engine = Literal["auto", "tokenizers", "gigatoken"]
_ENGINES = ("auto", "tokenizers", "gigatoken")


class Tokenizer(Protocol):
    """Text to ids and back."""

    @property
    def name(self) -> str:
        """What encodes: "bytes", "tokenizers" or "gigatoken"."""
        ...

    @property
    def engine(self) -> str:
        """The name with its version."""
        ...

    @property
    def probe(self) -> str:
        """What proved the engine exact."""
        ...

    @property
    def vocabulary_size(self) -> int:
        """One more than the highest id, specials included."""
        ...

    @property
    def eot_id(self) -> int: ...

    @property
    def eot_token(self) -> str: ...

    @property
    def special_tokens(self) -> Mapping[str, int]: ...

    @property
    def hash(self) -> str:
        """Names the vocabulary, not the engine."""
        ...

    def encode_batch(self, texts: Sequence[str | bytes]) -> tuple[NDArray[np.uint32], NDArray[np.int64]]: ...

    def decode(self, ids: Sequence[int] | NDArray[Any]) -> str: ...

    def token_bytes(self, number: int) -> bytes: ...

    def save(self, path: Path) -> None: ...

    def rest(self) -> None:
        """Let go of what takes memory until something is encoded."""
        ...


class ByteTokenizer:
    """A byte is a token. Exact, instant, and four times as many tokens as a trained vocabulary."""

    name = "bytes"
    engine = "bytes 1"
    probe = "nothing to prove"
    vocabulary_size = 257
    eot_id = 256
    eot_token = ENDOFTEXT

    @property
    def special_tokens(self) -> Mapping[str, int]:
        return {ENDOFTEXT: self.eot_id}

    @property
    def vocabulary(self) -> Vocabulary:
        """The same, written as a BPE without merges, so that `tokenizers` opens what `save` writes."""
        alphabet = {letter: byte for byte, letter in enumerate(BYTE_LETTERS)}
        return Vocabulary.parse(byte_level_file(alphabet, []), where="the bytes vocabulary")

    @property
    def hash(self) -> str:
        return self.vocabulary.hash

    def encode_batch(self, texts: Sequence[str | bytes]) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
        """(ids, offsets): the ids of text i are its UTF-8 bytes."""
        raw = [utf8_of(text) for text in texts]
        offsets = np.zeros(len(raw) + 1, np.int64)
        np.cumsum([len(text) for text in raw], out=offsets[1:])
        return np.frombuffer(raw[0] if len(raw) == 1 else b"".join(raw), np.uint8).astype(np.uint32), offsets

    def decode(self, ids: Sequence[int] | NDArray[Any]) -> str:
        """Text again; `<|endoftext|>` under its name, bytes that are not UTF-8 as U+FFFD."""
        return b"".join(self.token_bytes(int(number)) for number in ids).decode("utf-8", "replace")

    def token_bytes(self, number: int) -> bytes:
        """The byte, or the name of the special token."""
        return bytes([number]) if number < self.eot_id else ENDOFTEXT.encode()

    def rest(self) -> None:
        """There is nothing to let go of."""

    def save(self, path: Path) -> None:
        """Write it as a `tokenizer.json`; `open_tokenizer` recognises it."""
        write_atomic(path, self.vocabulary.file)


def open_tokenizer(place: Path | str, engine: Engine = "auto", eot_token: str | None = None) -> Tokenizer:
    """A tokenizer from "bytes", a `tokenizer.json`, a folder with one (or with encoder.json and vocab.bpe), or a
    `.tiktoken` file, where need be with the name of its split pattern before it: "cl100k:PATH".

    `eot_token` names the token that ends documents; by default `<|endoftext|>`, appended to the vocabulary if it has
    none. Raises InputError: not there, not a vocabulary, or the engine asked for by name is not proven.
    """
    if engine not in _ENGINES:
        raise InputError(f"there is no engine {engine!r}; there are {', '.join(_ENGINES)}")
    if str(place) == "bytes":
        return ByteTokenizer()
    pattern, path = split_pattern(place)
    if path.suffix != SUFFIX and pattern is None:
        return from_file(read_tokenizer_file(path), engine, eot_token, where=str(path))
    with translated(path):
        content = path.read_bytes()
    try:
        file = tokenizer_json(content, path.name, pattern)
    except InputError as error:
        raise error.within(str(path)) from error
    return from_file(file, engine, eot_token, where=str(path))


def with_special_tokens(tokenizer: Tokenizer, names: Sequence[str]) -> Tokenizer:
    """The tokenizer with these special tokens: those it lacks get ids after its last, which no text can produce."""
    missing = [name for name in names if name not in tokenizer.special_tokens]
    if not missing:
        return tokenizer
    if not isinstance(tokenizer, ByteTokenizer | JsonTokenizer):
        raise InputError(f"the vocabulary ({tokenizer.name}) cannot be given special tokens ({', '.join(missing)})")
    vocabulary = tokenizer.vocabulary
    body = orjson.loads(vocabulary.file)
    shape = {"special": True, "normalized": False, "single_word": False, "lstrip": False, "rstrip": False}
    new = [name for name in missing if name not in vocabulary.tokens]
    numbers = dict(vocabulary.tokens) | {name: vocabulary.size + place for place, name in enumerate(new)}
    body["added_tokens"] += [{"id": numbers[name], "content": name, **shape} for name in missing]
    engine: Engine = "tokenizers" if tokenizer.name == "tokenizers" else "auto"
    return from_file(orjson.dumps(body), engine, tokenizer.eot_token, where="the vocabulary with special tokens added")


def split_pattern(place: Path | str) -> tuple[str | None, Path]:
    """("cl100k", PATH) of "cl100k:PATH"; (None, PATH) of anything else."""
    name, colon, rest = str(place).partition(":")
    return (name, Path(rest)) if colon and name in ENCODING_NAMES else (None, Path(place))


def from_file(content: bytes, engine: Engine = "auto", eot_token: str | None = None, *, where: str) -> Tokenizer:
    """A tokenizer from the bytes of a `tokenizer.json`."""
    vocabulary = Vocabulary.parse(content, where=where, eot_token=eot_token)
    if vocabulary.hash == ByteTokenizer().hash:
        return ByteTokenizer()
    if engine == "tokenizers":
        return JsonTokenizer(vocabulary)
    try:
        return GigatokenTokenizer.proven(vocabulary)
    except InputError:
        if engine == "gigatoken":
            raise
        return JsonTokenizer(vocabulary)
