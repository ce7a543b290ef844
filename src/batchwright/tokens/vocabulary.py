"""A `tokenizer.json`, taken apart into what text may produce and what only we may write.

Most published files list `<|endoftext|>` and its kin under `added_tokens`, and `tokenizers` then turns those
*characters* into the special id: a page can forge a document boundary. Its switch against that is lost by save/load and
by pickling into a worker. So the markers are taken out of the file before any engine sees it: out of `added_tokens`,
out of the vocabulary too, and every batch of ids is checked against the ids text may produce.

    tokenizer.json ──▶ `text_only` (what engines load) + `special_tokens` {content: id} + `eot_id`

Markers are all added tokens, special or not, but those of pure whitespace (GPT-NeoX writes indentation so), which are
text. Guarantee: a vocabulary that could lose a byte silently, or whose merges spell a marker, is refused when it is
opened. Price: parsing 50,000 entries, ~0.1 s.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
import orjson
import xxhash
from numpy.typing import NDArray

from batchwright.foundation.errors import InputError, nearest
from batchwright.foundation.files import translated
from batchwright.tokens.indented_json import indented

ENDOFTEXT = "<|endoftext|>"
_Json = dict[str, Any]


def byte_letters() -> list[str]:
    """GPT-2's printable stand-in for every byte: how byte-level vocabularies are written down."""
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    spare = iter(range(256, 512))
    return [chr(byte if byte in printable else next(spare)) for byte in range(256)]


BYTE_LETTERS = byte_letters()
_BYTE_OF = {letter: byte for byte, letter in enumerate(BYTE_LETTERS)}


@dataclass(frozen=True, kw_only=True, eq=False)
class Vocabulary:
    """A parsed `tokenizer.json`. `file` is the file's bytes (with our `<|endoftext|>` appended where it had none)."""

    file: bytes
    text_only: str
    tokens: Mapping[str, int]
    special_tokens: Mapping[str, int]
    eot_token: str
    byte_level: bool

    @classmethod
    def parse(cls, content: bytes, *, where: str, eot_token: str | None = None) -> "Vocabulary":
        """Take the file apart. Raises InputError naming what is wrong with it."""
        try:
            return _parse(content, eot_token)
        except InputError as error:
            raise error.within(where) from error

    @property
    def eot_id(self) -> int:
        return self.special_tokens[self.eot_token]

    @cached_property
    def size(self) -> int:
        """One more than the highest id, specials included."""
        return 1 + max(*self.tokens.values(), *self.special_tokens.values())

    @cached_property
    def hash(self) -> str:
        """Names the vocabulary and its document end, whatever engine encodes with it."""
        return xxhash.xxh3_128_hexdigest(self.file + b"\0" + self.eot_token.encode())

    @cached_property
    def producible(self) -> NDArray[np.bool_]:
        """(size,) bool: True for the ids that text may produce."""
        table = np.zeros(self.size, np.bool_)
        table[list(self.tokens.values())] = True
        table[list(self.special_tokens.values())] = False
        return table

    @cached_property
    def _first_gap(self) -> int:
        """The lowest id that text may not produce: below it no look-up is needed."""
        gaps = np.flatnonzero(~self.producible)
        return int(gaps[0]) if gaps.shape[0] else self.size

    def check(self, ids: NDArray[np.uint32]) -> NDArray[np.uint32]:
        """The ids, if text may produce all of them; anything else is an engine's fault and must never be stored."""
        if not ids.shape[0] or int(ids.max()) < self._first_gap:
            return ids
        if int(ids.max()) >= self.size or not self.producible[ids].all():
            raise AssertionError("the tokenizer made an id out of text that text must not be able to make")
        return ids

    @cached_property
    def bytes_of(self) -> Mapping[int, bytes]:
        """Every id's bytes; a special token's are those of its name."""
        text = {number: self._spell(token) for token, number in self.tokens.items()}
        return text | {number: token.encode() for token, number in self.special_tokens.items()}

    def _spell(self, token: str) -> bytes:
        if self.byte_level and all(letter in _BYTE_OF for letter in token):
            return bytes(_BYTE_OF[letter] for letter in token)
        if len(token) == 6 and token.startswith("<0x") and token.endswith(">"):
            return bytes.fromhex(token[3:5])
        return token.replace("▁", " ").encode()


def read_tokenizer_file(path: Path) -> bytes:
    """The bytes of a `tokenizer.json`, or one put together from a folder's (or file's) GPT-2 style vocabulary and
    merges.
    """
    if path.is_dir():
        for vocabulary, merges in (
            ("tokenizer.json", None),
            ("encoder.json", "vocab.bpe"),
            ("vocab.json", "merges.txt"),
        ):
            if (path / vocabulary).exists():
                return _read(path / vocabulary) if merges is None else _join(path / vocabulary, path / merges)
        raise InputError(
            "this folder holds no tokenizer.json, no encoder.json with vocab.bpe, no vocab.json with merges.txt",
            where=str(path),
        )
    if path.name in ("encoder.json", "vocab.json"):
        return _join(path, path.with_name("vocab.bpe" if path.name == "encoder.json" else "merges.txt"))
    return _read(path)


def _read(path: Path) -> bytes:
    with translated(path):
        return path.read_bytes()


def _join(vocabulary: Path, merges: Path) -> bytes:
    try:
        tokens = orjson.loads(_read(vocabulary))
        lines = _read(merges).decode().split("\n")
    except ValueError as error:
        raise InputError(f"this is not a vocabulary with its merges ({error})", where=str(vocabulary)) from error
    pairs = [line.split(" ") for line in lines if line and not line.startswith("#version")]
    return byte_level_file(tokens, pairs)


def byte_level_file(tokens: Mapping[str, int], merges: list[list[str]]) -> bytes:
    """A byte-level BPE `tokenizer.json` (GPT-2's word pattern) from a vocabulary and its merges, without any special
    token.
    """
    return indented(byte_level_body(tokens, merges))


def byte_level_body(tokens: Mapping[str, int], merges: list[list[str]]) -> dict[str, Any]:
    """What `byte_level_file` writes down."""
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    model = {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None}
    model |= {"end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False}
    body: _Json = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None}
    body |= {"pre_tokenizer": level, "post_processor": None, "decoder": level}
    body["model"] = {**model, "vocab": dict(tokens), "merges": merges}
    return body


def _parse(content: bytes, eot_token: str | None) -> Vocabulary:
    try:
        body = cast(_Json, orjson.loads(content))
        model, added = cast(_Json, body["model"]), cast("list[_Json]", body.get("added_tokens") or [])
        if not isinstance(model["vocab"], dict):
            raise TypeError("the ids have no names, as in Unigram")
        tokens = {name: int(number) for name, number in cast("Mapping[str, int]", model["vocab"]).items()}
        special = {str(token["content"]): int(token["id"]) for token in added if str(token["content"]).strip()}
        spaces = [token for token in added if not str(token["content"]).strip()]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(
            f"this is not a tokenizer.json with a vocabulary of named ids ({type(error).__name__}: {error})",
            remedy="byte-level or byte-fallback BPE works (GPT-2, Llama, Qwen …); Unigram does not: "
            "its text can spell special tokens",
        ) from error
    _check_ids({**tokens, **special})
    name, appended = _document_end(tokens, special, eot_token)
    if appended:
        special[name] = 1 + max(*tokens.values(), *special.values())
        entry = {"id": special[name], "content": name, "special": True, "normalized": False}
        entry |= {"single_word": False, "lstrip": False, "rstrip": False}
        content = indented({**body, "added_tokens": [*added, entry]})
    else:
        special.setdefault(name, tokens[name] if name in tokens else special[name])
    unknown = model.get("unk_token")
    special.pop(cast(str, unknown), None)  # text produces it by design: it is what the vocabulary says of unknown text
    for marker in special:
        tokens.pop(marker, None)
    byte_level = '"ByteLevel"' in json.dumps([body.get("pre_tokenizer"), body.get("decoder")])
    _check_merges(model, special)
    _check_alphabet(model, tokens, byte_level)
    text = {**body, "added_tokens": spaces, "truncation": None, "padding": None, "post_processor": None}
    # `tokenizers` numbers an added token anew unless the vocabulary names its id: those of white space go there.
    tokens |= {str(token["content"]): int(token["id"]) for token in spaces}
    text["model"] = {**model, "vocab": dict(tokens), "dropout": None}
    return Vocabulary(
        file=content,
        text_only=orjson.dumps(text).decode(),
        tokens=tokens,
        special_tokens=special,
        eot_token=name,
        byte_level=byte_level,
    )


def _check_ids(tokens: Mapping[str, int]) -> None:
    if not tokens:
        raise InputError("the vocabulary is empty")
    low, high = min(tokens.values()), max(tokens.values())
    if low < 0 or high >= 1 << 24:
        raise InputError(f"the vocabulary's ids run from {low:,} to {high:,}; ids lie between 0 and {1 << 24:,}")


def _document_end(tokens: Mapping[str, int], special: Mapping[str, int], wanted: str | None) -> tuple[str, bool]:
    """(name, to be appended) of the token that ends every document."""
    name = ENDOFTEXT if wanted is None else wanted
    if name in special or name in tokens:
        return name, False
    if wanted is None:
        return name, True
    meant = nearest(name, special)
    raise InputError(
        f"the vocabulary has no token {name!r}; its special tokens are {', '.join(special) or 'none'}",
        remedy=f"{meant!r}, or none, to append {ENDOFTEXT}" if meant else f"none, to append {ENDOFTEXT}",
    )


def _check_merges(model: _Json, special: Mapping[str, int]) -> None:
    for merge in cast("list[str | list[str]]", model.get("merges") or []):
        spelled = merge.replace(" ", "") if isinstance(merge, str) else "".join(merge)
        if spelled in special:
            raise InputError(f"the vocabulary's merges spell the special token {spelled}, so text could forge it")


def _check_alphabet(model: _Json, tokens: Mapping[str, int], byte_level: bool) -> None:
    """Unknown text must become something: a complete byte alphabet, byte fallback, or an unknown token."""
    if model.get("unk_token") is not None:
        return
    wanted = BYTE_LETTERS if byte_level else [f"<0x{byte:02X}>" for byte in range(256)]
    missing = [byte for byte, letter in enumerate(wanted) if letter not in tokens]
    if missing:
        raise InputError(
            f"the vocabulary lacks {len(missing)} of the 256 bytes (0x{missing[0]:02X} first) "
            "and has no unknown token: text would be lost silently"
        )
