r"""A `.tiktoken` file as a `tokenizer.json`: the ranks say which merges were learned, and in which order.

Such a file is lines of `base64(token) rank` and nothing else. Where words are cut and which special tokens there are
lives in the code of who published it; here, in `ENCODINGS`, found by the file's sha256, by its name, or named by the
caller. tiktoken joins any two neighbours that make a token, lowest rank first, so every split of a token into two is a
merge:

    rank 262  " the"  ─▶  " t" + "he", " th" + "e", " " + "the"

Guarantee: the ids of tiktoken (`python -m benchmarks.tokenizers`), with the published ids for the special tokens of a
known file, which text can never produce; a file without one of the 256 bytes is refused. Price: once, 0.5 s for r50k,
2.4 s for o200k.

`tokenizers` has no possessive {1,3}+ and no end of text in `$`, so cl100k is written in Llama 3's form. tiktoken's own
pattern takes white space that ends a text as one word, Llama 3's cuts after its last newline; the ids are the same as
long as no token goes on after a newline with other white space (`_crosses_lines`).
"""

import base64
import binascii
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import orjson

from batchwright.foundation.errors import InputError, nearest
from batchwright.tokens.vocabulary import BYTE_LETTERS, ENDOFTEXT, byte_level_body

SUFFIX = ".tiktoken"
_CL100K = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_O200K = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_FIM = ("<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>")


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """What a rank file leaves out: where words are cut (None: GPT-2's pattern), and the special tokens of the published
    file, known by its sha256."""

    pattern: str | None
    sha256: str
    special_tokens: Mapping[str, int] = field(default_factory=dict[str, int])


ENCODINGS: Mapping[str, Encoding] = {
    "r50k": Encoding(
        pattern=None,
        sha256="306cd27f03c1a714eca7108e03d66b7dc042abe8c258b44c199a7ed9838dd930",
        special_tokens={ENDOFTEXT: 50256},
    ),
    "p50k": Encoding(
        pattern=None,
        sha256="94b5ca7dff4d00767bc256fdd1b27e5b17361d7b8a5f968547f9f23eb70d2069",
        special_tokens={ENDOFTEXT: 50256},
    ),
    "cl100k": Encoding(
        pattern=_CL100K,
        sha256="223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
        special_tokens={
            ENDOFTEXT: 100257,
            **dict(zip(_FIM, range(100258, 100261), strict=True)),
            "<|endofprompt|>": 100276,
        },
    ),
    "o200k": Encoding(
        pattern=_O200K,
        sha256="446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
        special_tokens={ENDOFTEXT: 199999, "<|endofprompt|>": 200018},
    ),
}
_ALIASES = {"gpt2": "r50k"}
ENCODING_NAMES = (*ENCODINGS, *_ALIASES)


def tokenizer_json(content: bytes, name: str, encoding: str | None = None) -> bytes:
    """The `tokenizer.json` of a rank file called `name`.

    Raises InputError: not such a file, or no way to know where its words are cut.
    """
    chosen, special = _encoding(content, name, encoding)
    ranks = _ranks(content)
    if chosen.pattern is not None and any(map(_crosses_lines, ranks)):
        raise InputError("a token goes on after a newline with other white space, which this split pattern never makes")
    letters = {token: "".join(BYTE_LETTERS[byte] for byte in token) for token in ranks}
    merges = [[letters[left], letters[right]] for left, right in _merges(ranks)]
    body = byte_level_body({letters[token]: rank for token, rank in ranks.items()}, merges)
    # A word that is a token is that token, whatever its merges would make of it: as in tiktoken.
    body["model"]["ignore_merges"] = True
    # Named in the vocabulary too, so that `tokenizers` keeps these ids when somebody opens the file with it.
    body["model"]["vocab"] |= special
    flags = {"special": True, "normalized": False, "single_word": False, "lstrip": False, "rstrip": False}
    body["added_tokens"] = [{"id": number, "content": token, **flags} for token, number in special.items()]
    if chosen.pattern is not None:
        split = {"type": "Split", "pattern": {"Regex": chosen.pattern}, "behavior": "Isolated", "invert": False}
        level = {**body["pre_tokenizer"], "use_regex": False}
        body["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [split, level]}
    return orjson.dumps(body)


def _encoding(content: bytes, name: str, wanted: str | None) -> tuple[Encoding, Mapping[str, int]]:
    """The encoding, and its special tokens if this is the published file itself (another's ids mean other things)."""
    sha256 = hashlib.sha256(content).hexdigest()
    if wanted is not None:
        key = _ALIASES.get(wanted, wanted)
        if key not in ENCODINGS:
            guess = nearest(key, ENCODINGS)
            raise InputError(
                f"there is no split pattern {wanted!r}",
                remedy=f"{guess!r}" if guess else "one of " + ", ".join(ENCODING_NAMES),
            )
    else:
        key = next((key for key, each in ENCODINGS.items() if each.sha256 == sha256), "")
        key = key or next((_ALIASES.get(each, each) for each in ENCODING_NAMES if each in name), "")
        if not key:
            raise InputError(
                "a .tiktoken file does not say where words are cut, and this is none of the published ones",
                remedy=f"name its split pattern: {'|'.join(ENCODINGS)}:PATH",
            )
    encoding = ENCODINGS[key]
    return encoding, encoding.special_tokens if encoding.sha256 == sha256 else {}


def _ranks(content: bytes) -> dict[bytes, int]:
    """Tokens in the order of their ranks."""
    ranks: dict[bytes, int] = {}
    for number, line in enumerate(content.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            token, rank = line.split()
            ranks[base64.b64decode(token, validate=True)] = int(rank)
        except (ValueError, binascii.Error) as error:
            raise InputError(f"line {number:,} is not base64(token) and a rank ({error})") from error
    if len(set(ranks.values())) != len(ranks) or b"" in ranks:
        raise InputError("two tokens have one rank, or one is empty")
    missing = [byte for byte in range(256) if bytes([byte]) not in ranks]
    if missing:
        raise InputError(f"{len(missing)} of the 256 bytes are no tokens (0x{missing[0]:02X} first), so text is lost")
    return dict(sorted(ranks.items(), key=lambda item: item[1]))


def _merges(ranks: Mapping[bytes, int]) -> Iterator[tuple[bytes, bytes]]:
    """Every two tokens that lie side by side in a token, token by token: tiktoken joins whatever makes a token."""
    for token in ranks:
        splits = ((token[:place], token[place:]) for place in range(1, len(token)))
        whole = [(left, right) for left, right in splits if left in ranks and right in ranks]
        yield from sorted(whole, key=lambda pair: (ranks[pair[0]], ranks[pair[1]]))


def _crosses_lines(token: bytes) -> bool:
    text = token.decode("utf-8", "replace")
    return text.isspace() and "\n" in text.replace("\r", "\n") and text[-1] not in "\r\n"
