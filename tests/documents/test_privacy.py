"""Addresses of people become addresses of nobody; everything else stays."""

from hypothesis import given
from hypothesis import strategies as some

from batchwright.documents import privacy
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


ALPHABET = [*"ab.@-=[]1 :", "é", "a@b.c", "a.b@c-d.e", "@[1.2.3.4]", "..", "@@", "1.2.3.4"]


@given(some.lists(some.sampled_from(ALPHABET), max_size=40).map("".join))
def test_addresses_are_found_where_the_pattern_alone_finds_them(text: str) -> None:
    found = [match.span() for match in privacy.emails_in(text)]
    assert found == [match.span() for match in privacy._EMAIL.finditer(text)]


@given(some.lists(some.sampled_from([*"0123456789. x", "255."]), max_size=24).map("".join))
def test_no_address_of_four_numbers_is_overlooked(text: str) -> None:
    found = privacy._FOUR_NUMBERS.search(text.encode()) is not None
    assert found or privacy._IP.search(text) is None
