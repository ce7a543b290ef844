"""HTML becomes what a reader sees; what is no HTML is left alone; nothing makes it slow, deep or wrong."""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwright.documents.document import Document
from batchwright.documents.html import HtmlToText, html_to_text, is_html
from batchwright.documents.html_elements import ELEMENTS, element_table, hash_name, kind_of
from batchwright.documents.pipeline import Dropped
from batchwright.documents.presets import preset


def text_of(html: str, *, furniture: bool = True) -> str:
    return html_to_text(html.encode(), furniture=furniture)


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>One <b>bold</b>   word<br>next", "One bold word\nnext"),
        ("a<br><br>b<br>c", "a\n\nb\nc"),
        ("<div>a</div><div><div>b</div></div>", "a\nb"),
        ("<h1>T</h1>x<p>y</p><p>z", "T\n\nx\n\ny\n\nz"),
        ("<table><tr><td>1<td>2</tr><tr><td>3</td>\n<td>4</table>", "1\t2\n3\t4"),
        (
            "<table><tr><td><p>1</p></td>\n<td><div><p>2</p></div></td></tr>\n<tr><td>3</td><td></td><td><p>4</p></table>x",
            "1\t2\n3\t4\n\nx",
        ),
        ("<table><tr><td><p>a</p><p>b</p></td><td><p>c</p></td></tr></table>", "a\n\nb\n\nc"),
        ("<tr><td><pre>1\n2</pre></td><td><pre>x = 1\ny</pre></td></tr>", "1\n2\n\nx = 1\ny"),
        ("<td><table><tr><td>in</td></tr></table></td><td>out</td>", "in\n\nout"),
        ("<h1>Title<a href=#t>¶</a></h1>one ¶ two", "Title\n\none ¶ two"),
        ("a<script>if (x < y) '</p>'</script>b<style>p{}</style>c", "abc"),
        ("<title>T</title>b", "b"),
        ("<!-- <p>no</p> -->yes<!doctype x><?php no ?>", "yes"),
        ("<pre>\n  a\n    b</pre>c", "a\n    b\n\nc"),
        ("&lt;b&gt; &eacute;&#8217;&nbsp;x &amp;amp;", "<b> é’ x &amp;"),
        ("1 < 2 && a<3 <a href='>' title=it's>link</a>", "1 < 2 && a<3 link"),
        ("<ul><li>a<li>b</ul>", "a\nb"),
        ("<p>only<p>", "only"),
        ("&#0;&#xD800;", "\ufffd\ufffd"),
        ("<p", ""),
        ("x</", "x</"),
    ],
)
def test_a_page_reads_as_a_browser_shows_it(html: str, text: str) -> None:
    assert text_of(html) == text


def test_furniture_goes_where_that_is_asked_and_only_where_it_is_closed() -> None:
    page = "<nav>menu<nav>inner</nav></nav>text<footer>foot</footer><nav>open"
    assert text_of(page, furniture=False) == "text\nopen"
    assert "menu" in text_of(page)


def test_furniture_is_known_by_its_role_too() -> None:
    page = (
        '<div class="bar" role="navigation"><div>menu</div></div><div role="main">text</div><ul role=search>find</ul>'
        '<div data-role="navigation">stays</div><form role="search">find</form><p role="note">note</p><p>role="search"'
    )
    assert text_of(page, furniture=False) == 'text\n\nstays\n\nnote\n\nrole="search"'
    assert "menu" in text_of(page)


@pytest.mark.parametrize("name", ["fineweb", "gopher", "c4", "repairs"])
def test_web_text_is_filtered_without_furniture_and_a_repair_alone_keeps_it(name: str) -> None:
    step = next(step for step in preset(name) if isinstance(step, HtmlToText))
    assert step.furniture == (name == "repairs")


@pytest.mark.parametrize(
    "html",
    [
        "<!DOCTYPE html>\n<p>x",
        "\ufeff <?xml version='1.0'?><!-- c --> <html lang=en>x",
        "<body>x",
        "<p>one</p><p>two</p><p>three</p><p>four</p>",
    ],
)
def test_a_page_or_fragment_is_known(html: str) -> None:
    assert is_html(html.encode())


@pytest.mark.parametrize(
    "text",
    [
        "if x < y and y > z: return x << 2\n" * 40,
        "std::vector<std::map<int, A>> v; for (auto<T> a : b) f<int>(a);\n" * 40,
        "#include <map>\n#include <body.h>\nList<b> x;\n" * 10,
        'import React\nconst App = () => { return <div className="app"><Menu items={items} /></div> }\n'
        + "const value = compute(state, props);\n" * 20,
        "<p align=center><img src=logo.png></p>\n\n# A project\n\n" + "It does what it says, in plain words.\n" * 20,
        "The <b> tag makes text bold, <p> begins a paragraph. " + "And so on, at some length. " * 9,
        "<?xml version='1.0'?><feed><entry><id>1</id></entry></feed>" * 9,
        "Mail me: <someone@example.com> or <https://example.com/> > quoted\n" * 30,
    ],
)
def test_what_is_no_page_stays(text: str) -> None:
    document = Document(text.encode(), 0, 0, 0)
    assert HtmlToText()(document) is document


def test_a_page_without_text_is_dropped_by_name() -> None:
    dropped = HtmlToText()(Document(b"<html><script>x</script></html>", 0, 0, 0))
    assert isinstance(dropped, Dropped)
    assert dropped.reason == "html_without_text"


MARKUP = [
    "<",
    ">",
    "</",
    "<p",
    "<nav>",
    "</nav>",
    "<pre>",
    "</pre>",
    "<script",
    "<!--",
    "-->",
    "'",
    '"',
    "=",
    "&",
    "&nbsp;",
]
MARKUP += ["&#", " ", "\n", "é", "中", "x", "/", "\xa0", "<b>"]


@given(st.lists(st.sampled_from(MARKUP)))
def test_anything_is_taken_and_grows_by_nothing(parts: list[str]) -> None:
    html = "".join(parts)
    for furniture in (True, False):
        text = text_of(html, furniture=furniture)
        assert len(text.encode()) <= len(html.encode()) + 2
        assert text == text.strip()


@given(st.text(st.characters(exclude_characters="<&", exclude_categories=["Cs"])))
def test_text_without_markup_loses_only_its_white_space(text: str) -> None:
    assert "".join(text_of(text).split()) == "".join(text.split())


NASTY = (  # each repeated to 4 MB
    "<div>",
    "<",
    "a<b>",
    "<script>",
    "<nav>",
    "<nav",
    "<!--",
    "&nbsp;",
    "</script",
    "<a href='",
    "<pre>\n",
    "&lt",
    "</nav",
)


@pytest.mark.parametrize("part", NASTY)
def test_depth_and_repetition_cost_linear_time(part: str) -> None:
    text_of(part, furniture=False)  # compiled
    began = time.process_time()
    text_of("<nav>" + part * (4_000_000 // len(part)), furniture=False)
    assert time.process_time() - began < 4.0, "a quadratic scan of 4 MB takes hours"


def test_every_element_of_the_table_is_found_in_any_case() -> None:
    names, kinds = element_table()
    for kind, listed in ELEMENTS.items():
        for element in (*listed.split(), *listed.upper().split()):
            name = hash_name(np.frombuffer(element.encode(), np.uint8), 0, len(element))
            assert kind_of(names, kinds, np.uint64(name)) == kind
    unknown = hash_name(np.frombuffer(b"router-link", np.uint8), 0, 11)
    assert kind_of(names, kinds, np.uint64(unknown)) == 0
