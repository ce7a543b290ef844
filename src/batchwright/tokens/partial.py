"""Phase 1 of a store: one partition of the input becomes cleaned, named, tokenized documents in a folder of unfinished
work.

    partition ─read─ clean─▶ blocks of ~1 MiB ─tokenize─▶ KEY.tokens      ids, every document closed by <endoftext>
                                       └─name (xxh3-128)─▶ KEY.documents   exclusive ends
                                                           KEY.provenance  one record per document
                                                           KEY.signatures, KEY.bands  where near-duplicates are sought

Guarantee: the files depend on the partition's text, the steps and the vocabulary alone. Where a fast engine is used,
the first documents of the partition and one in a thousand after (chosen by their hash) are compared with `tokenizers`;
a difference stops the job and names the document. Price: ~60 MB of text per CPU-second with GPT-2's vocabulary; memory
of one block, or where a document is longer, about 4 to 8 times that document (64 MiB at most).
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, fields, is_dataclass
from functools import lru_cache
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import numpy as np
import orjson
from numpy.typing import NDArray

from batchwright.documents.decontamination import Decontamination
from batchwright.documents.deduplication import document_id
from batchwright.documents.document import Document
from batchwright.documents.inputs import InputFile
from batchwright.documents.near_duplicates import NearDuplicates
from batchwright.documents.partitions import Partition
from batchwright.documents.pipeline import Step, clean
from batchwright.documents.reading import read_partition
from batchwright.documents.tally import Tally
from batchwright.foundation.array_file import ArrayFileWriter
from batchwright.foundation.errors import InputError
from batchwright.foundation.execution import Manifest
from batchwright.foundation.files import AtomicFile, translated
from batchwright.foundation.units import KiB, MiB
from batchwright.tokens.deciding_versions import deciding_versions, require_versions
from batchwright.tokens.fast import GigatokenTokenizer
from batchwright.tokens.infilling import Infiller, Infilling, pieces_of
from batchwright.tokens.probe import first_difference
from batchwright.tokens.rejected import REJECTED, RejectedWriter
from batchwright.tokens.repetition import Repetition
from batchwright.tokens.shard import ENDS_DTYPE, PROVENANCE, dtype_for, require_ids_below
from batchwright.tokens.tokenizer import Engine, Tokenizer, from_file
from batchwright.tokens.vocabulary import Vocabulary

FUNCTION = "batchwright.tokens.partial:tokenize_partition"
BLOCK_BYTES = MiB
BLOCK_DOCUMENTS = 8192
AUDITED_FIRST = 3
AUDITED_SHARE = 1 / 1000
AUDITED_BYTES = 64 * KiB
_AUDITED_BELOW = int(AUDITED_SHARE * 2**64)


def tokenize_partition(parameters: Mapping[str, Any], prefix: Path) -> Manifest:
    """The task: write PREFIX.tokens, .documents and .provenance; return counts and the tally."""
    inputs = {int(number): InputFile.from_dict(value) for number, value in parameters["inputs"].items()}
    inputs = {number: _at(file, parameters["locations"][str(number)]) for number, file in inputs.items()}
    for file in inputs.values():
        _require_seen(file)
    tokenizer = _tokenizer(parameters["tokenizer_file"], **parameters["tokenizer"])
    tally = Tally()
    read = read_partition(
        Partition.from_dict(parameters["partition"]), inputs=inputs, errors=parameters["errors"], tally=tally
    )
    auditor = Auditor(tokenizer=tokenizer, inputs=inputs)
    near = NearDuplicates.from_json(parameters["near_duplicates"]) if "near_duplicates" in parameters else None
    infiller = None
    if "infilling" in parameters:
        settings = dict(parameters["infilling"])
        infiller = Infiller(Infilling(**settings["shares"]), seed=settings["seed"], tokenizer=tokenizer)
    with PartialWriter(prefix, tokenizer, infiller, near) as writer, ExitStack() as stack:
        rejected = None
        if "rejected" in parameters:
            file = stack.enter_context(AtomicFile(prefix.with_name(f"{prefix.name}.{REJECTED}")))
            rejected = RejectedWriter(file, inputs, parameters["rejected"])
        steps = [
            step_from_json(step, locations)
            for step, locations in zip(parameters["steps"], parameters["step_locations"], strict=True)
        ]
        require_versions(parameters["versions"], deciding_versions(steps), where=os.uname().nodename)
        if "decontamination" in parameters:
            steps.append(Decontamination.located(parameters["decontamination"], parameters["evaluation_files"]))
        documents = clean(read, steps, tally, rejected)
        if "repetition" in parameters:
            documents = Repetition.from_json(parameters["repetition"]).repeated(documents)
        for block in blocks(documents):
            writer.append(block, auditor)
    tally.check()
    return {**writer.counts(), "audited": auditor.count, "tally": tally.to_dict()}


def _at(file: InputFile, location: str) -> InputFile:
    return InputFile.from_dict({**file.to_dict(), "location": location})


def _require_seen(file: InputFile) -> None:
    """A file that was named is there. To a reader that skips what it cannot open, another machine's disk would look
    like a corpus without this file."""
    try:
        size = os.stat(file.location).st_size
    except OSError:
        size = -1
    if size != file.size:
        found = "it is not there" if size < 0 else f"here it has {size:,} bytes"
        raise InputError(
            f"a worker on {os.uname().nodename} does not see an input file as named: {file.size:,} bytes; {found}",
            where=file.location,
            remedy="do not change it while it is being prepared; on a cluster, put it where all nodes see it",
        )


@lru_cache(maxsize=1)
def _tokenizer(path: str, *, hash: str, eot_token: str, engine: str) -> Tokenizer:
    """The job's tokenizer in this process, loaded once: the engine that the driver proved, or none."""
    proven = GigatokenTokenizer.known(hash, engine)
    if proven is not None:  # the driver's own, where tasks run in its process
        return proven
    name = cast(Engine, engine.split(" ")[0])
    with translated(path):
        content = Path(path).read_bytes()
    if name == GigatokenTokenizer.name:
        # The driver proved this version; what it makes here is audited.
        tokenizer = GigatokenTokenizer(Vocabulary.parse(content, where=path, eot_token=eot_token))
    else:
        tokenizer = from_file(content, name, eot_token, where=path)
    if (tokenizer.hash, tokenizer.engine) != (hash, engine):
        raise InputError(
            f"this process would tokenize with {tokenizer.engine} (vocabulary {tokenizer.hash}), "
            f"the job began with {engine} ({hash})",
            remedy="install the same versions on every machine, or prepare into a new directory",
        )
    return tokenizer


def blocks(documents: Iterable[Document]) -> Iterator[list[Document]]:
    """Documents in groups of about BLOCK_BYTES: long enough to pay for a call, short enough to hold."""
    block: list[Document] = []
    size_bytes = 0
    for document in documents:
        block.append(document)
        size_bytes += len(document.utf8)
        if size_bytes >= BLOCK_BYTES or len(block) == BLOCK_DOCUMENTS:
            yield block
            block, size_bytes = [], 0
    if block:
        yield block


class PartialWriter:
    """The files of a partition, appended block by block."""

    def __init__(
        self,
        prefix: Path,
        tokenizer: Tokenizer,
        infiller: Infiller | None = None,
        near: NearDuplicates | None = None,
    ) -> None:
        self._tokenizer, self._infiller = tokenizer, infiller
        self._dtype = dtype_for(tokenizer.vocabulary_size)
        self._writers = {
            kind: ArrayFileWriter(prefix.with_name(f"{prefix.name}.{kind}"), kind, dtype)
            for kind, dtype in (("tokens", self._dtype), ("documents", ENDS_DTYPE), ("provenance", PROVENANCE))
        }
        self._signatures = None
        if near is not None:
            from batchwright.tokens.near import SignatureWriter  # numba: 0.4 s, only where it is needed

            self._signatures = SignatureWriter(prefix, near)
        self._text_bytes = 0

    def __enter__(self) -> "PartialWriter":
        with ExitStack() as stack:
            for writer in self._writers.values():
                stack.enter_context(writer)
            if self._signatures is not None:
                stack.enter_context(self._signatures)
            self._open = stack.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        self._open.__exit__(*error)

    def append(self, block: Sequence[Document], auditor: "Auditor") -> None:
        """Tokenize and write a block of documents."""
        texts = [document.utf8 for document in block]
        names = list(map(document_id, texts))
        if self._infiller is None:
            ids, offsets = self._encode(block, names, auditor)
        else:
            cuts = self._infiller.cut(block, names)
            pieces = list(pieces_of(block, names, cuts))
            encoded = self._encode([piece for piece, _ in pieces], [name for _, name in pieces], auditor)
            ids, offsets = self._infiller.arrange(cuts, *encoded)
            for document, cut in zip(block, cuts, strict=True):
                document.flags |= 0 if cut is None else cut.flag
        require_ids_below(self._tokenizer.vocabulary_size, ids)
        closed, ends = close_documents(ids, offsets, self._tokenizer.eot_id, self._dtype)
        self._writers["documents"].append(ends + self._writers["tokens"].count)
        self._writers["tokens"].append(closed)
        self._writers["provenance"].append(_records(block, b"".join(names)))
        if self._signatures is not None:
            self._signatures.append(texts)
        self._text_bytes += sum(map(len, texts))

    def _encode(
        self, documents: Sequence[Document], names: Sequence[bytes], auditor: "Auditor"
    ) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
        ids, offsets = self._tokenizer.encode_batch([document.utf8 for document in documents])
        auditor.check(documents, b"".join(names), ids, offsets)
        return ids, offsets

    def counts(self) -> Manifest:
        """Documents, tokens and bytes of text written so far."""
        return {
            "documents": self._writers["documents"].count,
            "tokens": self._writers["tokens"].count,
            "text_bytes": self._text_bytes,
        }


def close_documents(
    ids: NDArray[Any], offsets: NDArray[np.int64], eot_id: int, dtype: np.dtype[Any]
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """(ids as `dtype`, with <endoftext> after every document; exclusive ends)."""
    closed = np.full(ids.shape[0] + offsets.shape[0] - 1, eot_id, dtype)
    bounds = offsets.tolist()
    for number, (first, stop) in enumerate(pairwise(bounds)):
        closed[first + number : stop + number] = ids[first:stop]
    return closed, offsets[1:] + np.arange(1, offsets.shape[0], dtype=np.int64)


def _records(block: Sequence[Document], names: bytes) -> NDArray[Any]:
    records = np.zeros(len(block), PROVENANCE)
    records["id"] = np.frombuffer(names, np.uint8).reshape(-1, 16)
    records["offset"] = [document.offset for document in block]
    records["file"] = [document.file for document in block]
    records["text_bytes"] = [len(document.utf8) for document in block]
    records["source"] = [document.source for document in block]
    records["flags"] = [int(document.flags) for document in block]
    records["copy"] = [document.copy for document in block]
    return records


@dataclass(kw_only=True)
class Auditor:
    """Compares a share of the documents with `tokenizers` when something faster tokenizes."""

    tokenizer: Tokenizer
    inputs: Mapping[int, InputFile]
    count: int = 0

    def check(
        self, block: Sequence[Document], names: bytes, ids: NDArray[np.uint32], offsets: NDArray[np.int64]
    ) -> None:
        """Raises InputError naming the first audited document whose ids are not the reference's."""
        if not isinstance(self.tokenizer, GigatokenTokenizer):
            return
        heads = np.frombuffer(names, "<u8")[::2]
        chosen = set(np.flatnonzero(heads < _AUDITED_BELOW).tolist()) | set(
            range(min(len(block), AUDITED_FIRST - self.count))
        )
        for number in sorted(chosen):
            self._check_one(block[number], ids[offsets[number] : offsets[number + 1]])
            self.count += 1

    def _check_one(self, document: Document, ids: NDArray[np.uint32]) -> None:
        tokenizer = cast(GigatokenTokenizer, self.tokenizer)
        text, engine = document.utf8, cast(Any, _Given(ids))
        if len(text) > AUDITED_BYTES:
            # A whole book would cost the reference seconds; its beginning is encoded again by both.
            text, engine = text[:AUDITED_BYTES].decode(errors="ignore").encode(), tokenizer
        if first_difference(engine, [text], *tokenizer.reference.encode_batch([text])) is not None:
            raise InputError(
                f"{tokenizer.engine} and `tokenizers` differ on a document, so nothing more is written",
                where=f"{self.inputs[document.file].location}, offset {document.offset:,}",
                remedy="use the slower engine: --tokenizer-engine tokenizers",
            )


@dataclass(frozen=True)
class _Given:
    """Ids already made, in the place of an engine."""

    ids: NDArray[np.uint32]

    def encode_batch(self, texts: Sequence[str | bytes]) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
        return self.ids, np.array([0, self.ids.shape[0]], np.int64)


def step_to_json(step: Step) -> dict[str, Any]:
    """A cleaning step as JSON: the class's place and its settings, without what is only a location."""
    if not is_dataclass(step):
        raise InputError(f"the step {step!r} cannot travel to a worker: steps are frozen dataclasses")
    kind, values = type(step), asdict(step)
    named = [field.name for field in fields(step) if "location" not in field.metadata]
    settings = {name: values[name] for name in named if values[name] is not None}
    # As it will be read again: a tuple is a list, so that the job that goes on equals the one that began.
    return {"step": f"{kind.__module__}:{kind.__qualname__}", "settings": orjson.loads(orjson.dumps(settings))}


def step_locations(step: Step) -> dict[str, str]:
    """The rest: where on this machine lies what the step reads."""
    return {field.name: getattr(step, field.name) for field in fields(cast(Any, step)) if "location" in field.metadata}


def step_from_json(value: Mapping[str, Any], locations: Mapping[str, str] | None = None) -> Step:
    """The step that `step_to_json` wrote, with its `step_locations` if it has any."""
    module, _, name = value["step"].partition(":")
    return cast(Step, getattr(import_module(module), name)(**value["settings"], **(locations or {})))
