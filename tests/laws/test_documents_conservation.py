"""Law 1, the ledger of documents and bytes: what is read is kept, dropped for a reason, or edited away by name."""

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchwright.documents.cleaning import DEFAULT_STEPS
from batchwright.documents.deduplication import document_id, ids_to_pairs, keep_first
from batchwright.documents.document import Document
from batchwright.documents.inputs import InputFile, TextSource, discover
from batchwright.documents.partitions import Partition, partition
from batchwright.documents.pipeline import Dropped, Step, clean
from batchwright.documents.reading import read_partition
from batchwright.documents.tally import Tally
from tests.documents.corpus import compress, write_parquet

Cleaner = Callable[[Iterable[Document], Sequence[Step], Tally], Iterator[Document]]

nasty_text = st.lists(
    st.sampled_from(
        [b"word ", b"\r\n", b"\r", b"\0", b"\xff", "é".encode(), b"e\xcc\x81", b"\xef\xbb\xbf", b" ", b"\n"]
    ),
    max_size=8,
).map(b"".join)
nasty_line = st.one_of(
    nasty_text.map(lambda raw: b'{"text":"%b"}' % raw.translate(None, b"\n\0").replace(b"\r", b"\\r")),
    st.sampled_from([b'{"text":null}', b"[]", b"", b"{", b'{"text":"\\ud800"}', b'{"text":"\\u0000"}', b'{"a":NaN}',
                     b'{"text":"a","text":"b"}', b'{"text":1}', b"\xff"]),
)  # fmt: skip
corpus = st.fixed_dictionaries(
    {
        "a.txt": nasty_text,
        "b.jsonl": st.lists(nasty_line, max_size=8).map(b"\n".join),
        "c.jsonl.gz": st.lists(nasty_line, max_size=4).map(b"\n".join),
        "cut": st.integers(0, 40),
    }
)


def write(root: Path, files: dict[str, bytes]) -> None:
    """The files of one corpus, one of them cut short, beside a parquet file."""
    for name, content in files.items():
        if name.endswith(".gz"):
            whole = compress(root / name, content).read_bytes()
            (root / name).write_bytes(whole[: max(1, len(whole) - int(files["cut"]))])  # type: ignore[call-overload]
        elif name != "cut":
            (root / name).write_bytes(content)
    write_parquet(root / "d.parquet", ["kept", None, "a\r\nb", "word "])


def account(inputs: list[InputFile], parts: list[Partition], cleaner: Cleaner) -> tuple[Tally, list[Document]]:
    """Everything read, cleaned and deduplicated, as the store's build does it."""
    total = Tally()
    documents: list[Document] = []
    for part in parts:
        tally = Tally()
        documents += cleaner(read_partition(part, inputs=inputs, errors="skip", tally=tally), DEFAULT_STEPS, tally)
        total.merge(tally)
    kept = keep_first([ids_to_pairs(b"".join(document_id(document.utf8) for document in documents))])
    keep = kept.range(0, len(documents)).tolist()
    for document, stays in zip(documents, keep, strict=True):
        if not stays:
            total.drop_kept("duplicate", len(document.utf8))
    return total, [document for document, stays in zip(documents, keep, strict=True) if stays]


def conserved(total: Tally, documents: list[Document]) -> bool:
    """The law itself, recomputed here and not by the tally."""
    lost_documents = total.read.documents - len(documents) - sum(amount.documents for amount in total.dropped.values())
    kept_bytes = sum(len(document.utf8) for document in documents)
    gone_bytes = sum(amount.bytes for amounts in (total.dropped, total.edited) for amount in amounts.values())
    return lost_documents == 0 and total.read.bytes == kept_bytes + gone_bytes and total.kept.bytes == kept_bytes


@settings(max_examples=60)
@given(corpus, st.sampled_from([1, 20, 2**25]))
def test_every_document_and_byte_read_is_kept_or_dropped_or_edited_away(
    files: dict[str, bytes], target_bytes: int
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        write(Path(directory), files)
        inputs = discover([TextSource(name="nasty", paths=(directory,))])
        total, documents = account(inputs, partition(inputs, target_bytes), clean)
        total.check()
        assert conserved(total, documents)
        texts = [document.utf8 for document in documents]
        assert len(set(texts)) == len(texts)


def loses_empty_documents(documents: Iterable[Document], steps: Sequence[Step], tally: Tally) -> Iterator[Document]:
    """A broken twin: drops without a reason."""
    return clean((document for document in documents if document.utf8), steps, tally)


def hides_edits(documents: Iterable[Document], steps: Sequence[Step], tally: Tally) -> Iterator[Document]:
    """A broken twin: a step that changes a document in place, so that the runner cannot see it."""

    class Shorten:
        name = "shorten"

        def __call__(self, document: Document, /) -> Document | Dropped:
            document.utf8 = document.utf8[:2]
            return document

    return clean(documents, [*steps, Shorten()], tally)


def counts_twice(documents: Iterable[Document], steps: Sequence[Step], tally: Tally) -> Iterator[Document]:
    """A broken twin: yields a document again."""
    for document in clean(documents, steps, tally):
        yield document
        yield Document(document.utf8 + b"!", document.file, document.offset, document.source)


@pytest.mark.parametrize("broken", [loses_empty_documents, hides_edits, counts_twice])
def test_a_pipeline_that_loses_or_invents_is_caught(tmp_path: Path, broken: Cleaner) -> None:
    (tmp_path / "a.txt").write_text("")
    (tmp_path / "b.txt").write_text("some text")
    inputs = discover([TextSource(name="plain", paths=(str(tmp_path),))])
    parts = partition(inputs)
    assert conserved(*account(inputs, parts, clean))
    assert not conserved(*account(inputs, parts, broken))
