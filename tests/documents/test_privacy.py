"""Addresses of people become addresses of nobody; everything else stays."""

from batchwright.documents.document import Document
from batchwright.documents.privacy import ReplacePersonalData


def after(text: str) -> str:
    answer = ReplacePersonalData()(Document(text.encode(), 0, 0, 0))
    assert isinstance(answer, Document)
    return answer.text


def test_addresses_are_replaced_in_turn() -> None:
    assert after("a@b.org, c.d@e.co.uk and x@y.net") == (
        "email@example.com, firstname.lastname@example.org and email@example.com"
    )
    assert after("from 8.8.8.8 to 1.1.1.1") == "from 22.214.171.124 to 126.96.36.199"


def test_private_and_reserved_addresses_stay() -> None:
    text = "127.0.0.1 10.1.2.3 192.168.0.1 version 1.2.3 and a @ b"
    assert after(text) == text


def test_an_unchanged_document_is_the_same_one() -> None:
    document = Document(b"8.5 @ home", 0, 0, 0)
    assert ReplacePersonalData()(document) is document


def test_the_replacement_depends_on_the_document_alone() -> None:
    step = ReplacePersonalData()
    assert [step(Document(b"a@b.org", 0, 0, 0)).utf8 for _ in range(3)] == [b"email@example.com"] * 3  # type: ignore[union-attr]
