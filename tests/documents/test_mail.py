"""A mail becomes its subject and what was written; what is no mail is left alone; no mail is too broken."""

from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwright.documents.document import Document
from batchwright.documents.mail import MailToText
from batchwright.documents.pipeline import Dropped

HEAD = "Return-Path: <a@b>\nFrom: a@b\nTo: c@d\nSubject: Hello\nMIME-Version: 1.0\n"


def through(mail: str, step: MailToText | None = None) -> str | None:
    """The text of a mail, None when it was dropped."""
    after = (step or MailToText())(Document(mail.encode("utf-8", "replace"), 0, 0, 0))
    return None if isinstance(after, Dropped) else after.text


def message(**parts: str) -> EmailMessage:
    built = EmailMessage()
    built["From"], built["To"], built["Subject"], built["Message-ID"] = "a@b.c", "d@e.f", "Grüße", "<1@b.c>"
    built.set_content(parts.get("plain", "") or "Ein Wörtchen.\n", cte=parts.get("encoding", "quoted-printable"))
    return built


@pytest.mark.parametrize("encoding", ["quoted-printable", "base64", "8bit"])
def test_encodings_and_encoded_subjects_are_read(encoding: str) -> None:
    assert through(message(encoding=encoding).as_string()) == "Grüße\n\nEin Wörtchen."


def test_of_alternatives_the_plain_one_is_read_and_attachments_are_not() -> None:
    mail = message()
    mail.add_alternative("<p>Ein <b>HTML</b></p>", subtype="html")
    mail.add_attachment(b"\x89PNG", maintype="image", subtype="png", filename="a.png")
    mail.add_attachment("secret", filename="a.txt")
    assert through(mail.as_string()) == "Grüße\n\nEin Wörtchen."


def test_html_alone_is_read_as_text_whatever_it_calls_itself() -> None:
    for kind in ("text/html", "text/plain"):
        body = "<html><p>One</p><p>two&nbsp;three</html>"
        assert through(f"{HEAD}Content-Type: {kind}\n\n{body}") == "Hello\n\nOne\n\ntwo three"


def test_bytes_that_came_as_latin_1_characters_are_read_in_their_own_set() -> None:
    body = "点击这里".encode("gb2312").decode("latin-1")
    assert through(f"{HEAD}Content-Type: text/plain; charset=gb2312\n\n{body}") == "Hello\n\n点击这里"
    assert through(f"{HEAD}Content-Type: text/plain; charset=no-such-set\n\n“already”") == "Hello\n\n“already”"


def test_quoted_lines_and_signatures_go_unless_they_are_asked_for() -> None:
    body = "Yes.\n\nOn Monday, A wrote:\n> Is it?\n> Really?\n\nIt is.\n-- \nB, Example Ltd\n"
    assert through(f"{HEAD}\n{body}") == "Hello\n\nYes.\n\n\nIt is."
    assert through(f"{HEAD}\n{body}", MailToText(quotes=True, signature=True, subject=False)) == body.strip("\n")


def test_a_mailbox_line_before_the_headers_is_no_header() -> None:
    assert through(f"From a@b  Thu Aug 22 12:36:23 2002\n{HEAD}\nText.") == "Hello\n\nText."


def test_a_mail_without_text_is_dropped_with_its_type() -> None:
    after = MailToText()(Document(f"{HEAD}Content-Type: image/png\n\nAAAA".encode(), 0, 0, 0))
    assert isinstance(after, Dropped)
    assert (after.reason, after.detail) == ("mail_without_text", "image/png")


@pytest.mark.parametrize(
    "text",
    [
        "From: Berlin\nTo: Paris\nDate: soon\n\nA timetable.",
        "Note: this\n\nis no mail",
        "From the beginning of this story\nthere was: nothing",
        "Subject: matter\n\nof a poem",
        "key: value\nlist:\n  - a\n",
        "GET / HTTP/1.1\nHost: x\n\n",
        "",
    ],
)
def test_what_is_no_mail_stays(text: str) -> None:
    document = Document(text.encode(), 0, 0, 0)
    assert MailToText()(document) is document


PARTS = [
    "--x\n", "--x--\n", "\n\n", "From ", "AAAA", "=", "<p>", "> q\n", "é\x85中", "=?utf-8?b?Zm9v?=", "=?x?q?=FF?=",
    "Content-Type: text/html\n", "Content-Type: message/rfc822\n", "Content-Type: multipart/mixed; boundary=x\n",
    "Content-Transfer-Encoding: base64\n", "Content-Transfer-Encoding: quoted-printable\n", "charset*=x''%FF",
    "Content-Type: text/plain; charset=utf-16\n", "Content-Type: text/plain; charset=idna\n",
    'Content-Type: text/plain; charset="\0"\n',
]  # fmt: skip


@given(st.lists(st.sampled_from(PARTS), max_size=20), st.text(max_size=20))
def test_any_wreck_of_a_mail_is_taken(parts: list[str], end: str) -> None:
    text = through(HEAD + "".join(parts) + end)
    assert text is None or text.encode()


def test_parts_in_parts_end_somewhere() -> None:
    assert through(HEAD + "Content-Type: message/rfc822\n\n" * 20_000 + "x") is None
    deep = "".join(f'Content-Type: multipart/mixed; boundary="{n}"\n\n--{n}\n' for n in range(3000))
    assert through(HEAD + deep) is None
    wide = HEAD + 'Content-Type: multipart/mixed; boundary="x"\n' + "\n--x\n\ntext" * 20_000
    assert (through(wide) or "").count("text") < 1500
