"""Every line of JSON is read as JSON says, or refused with its byte offset."""

import tempfile
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwright.documents import json_values, read_jsonl
from batchwright.documents.document import DocumentFlag
from batchwright.documents.lines import lines
from batchwright.foundation.errors import BatchwrightError, InputError
from tests.documents.corpus import dropped, edited, read_all, texts_of, write_jsonl


def read_lines(tmp_path: Path, *content: bytes, **options: object) -> tuple[list[str], dict[str, int]]:
    """Texts and drops of a .jsonl file with these lines."""
    file = tmp_path / "a.jsonl"
    file.write_bytes(b"\n".join(content))
    documents, tally = read_all(file, **options)  # type: ignore[arg-type]
    return texts_of(documents), dropped(tally)


def test_the_offset_of_a_document_is_the_byte_where_its_line_begins(tmp_path: Path) -> None:
    content = b'{"text":"a"}\n\n{"text":"\\u00e9"}\r\n{"text":"b"}'
    (tmp_path / "a.jsonl").write_bytes(content)
    documents, _ = read_all(tmp_path)
    assert [(document.text, document.offset) for document in documents] == [
        ("a", 0), ("é", content.index(b'{"text":"\\u00e9')), ("b", content.index(b'{"text":"b"')),
    ]  # fmt: skip


def test_only_a_newline_ends_a_line(tmp_path: Path) -> None:
    texts, _ = read_lines(tmp_path, '{"text":"a\u2028b\u0085c"}'.encode())
    assert texts == ["a\u2028b\u0085c"]


def test_a_byte_order_mark_before_the_first_line_does_not_disturb(tmp_path: Path) -> None:
    assert read_lines(tmp_path, b'\xef\xbb\xbf{"text":"a"}', b'{"text":"b"}')[0] == ["a", "b"]


def test_nan_in_another_field_is_read_as_other_tools_wrote_it(tmp_path: Path) -> None:
    assert read_lines(tmp_path, b'{"score":NaN,"text":"a","max":-Infinity}')[0] == ["a"]


def test_lone_surrogates_are_repaired_and_counted_and_pairs_are_not_touched(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"text":"x\\ud800y"}\n{"text":"\\ud83d\\ude00"}\n')
    documents, tally = read_all(tmp_path)
    assert texts_of(documents) == ["x\ufffdy", "\U0001f600"]
    assert edited(tally) == {"lone_surrogates": 1}
    assert documents[0].flags & DocumentFlag.REPAIRED


def test_null_and_blank_texts_are_empty_documents(tmp_path: Path) -> None:
    assert read_lines(tmp_path, b'{"text":null}', b'{"text":""}', b'{"text":"  "}', b"  ") == ([], {"empty": 3})


def test_a_text_with_nul_is_binary(tmp_path: Path) -> None:
    assert read_lines(tmp_path, b'{"text":"a\\u0000b"}', b'{"text":"c"}') == (["c"], {"binary": 1})


@pytest.mark.parametrize(
    ("line", "reason", "message"),
    [
        (b"{'text': 'a'}", "not_json", "not JSON"),
        (b'{"text":"cut', "not_json", "not JSON"),
        (b'["text"]', "not_json", "no object"),
        (b'"text"', "not_json", "no object"),
        (b"12", "not_json", "no object"),
        (b'{"texts":"a","id":1}', "no_text", "no key 'text'; it has: texts, id"),
        (b"{}", "no_text", "it has: none"),
        (b'{"text":5}', "no_text", "is int, not text"),
        (b'{"text":["a"]}', "no_text", "is list, not text"),
        (b'{"text":"a","text":"b"}', "no_text", "stands 2 times"),
        (rb'{"text":"a","te\u0078t":"b"}', "no_text", "stands 2 times"),
        (b'{"text":"a\xff"}', "invalid_utf8", "not UTF-8"),
        (b'{"text":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "not_json", "nested too deeply"),
    ],
)
def test_a_line_that_is_no_document_is_refused_with_its_offset(
    tmp_path: Path, line: bytes, reason: str, message: str
) -> None:
    first = b'{"text":"good"}'
    with pytest.raises(InputError, match=message) as caught:
        read_lines(tmp_path, first, line)
    where = len(first) + 1 + (line.index(b"\xff") if b"\xff" in line else 0)
    assert caught.value.where == f"{tmp_path / 'a.jsonl'}, byte {where}"
    assert read_lines(tmp_path, first, line, b'{"text":"last"}', errors="skip") == (["good", "last"], {reason: 1})


def test_the_nearest_key_is_suggested_and_can_be_chosen(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        read_lines(tmp_path, b'{"texte":"a"}')
    assert caught.value.remedy == "--text-column texte"
    assert read_lines(tmp_path, b'{"texte":"a"}', text_column="texte")[0] == ["a"]


def test_the_same_key_in_a_nested_object_is_no_duplicate(tmp_path: Path) -> None:
    line = b'{"meta":{"text":"x","text":"y"},"text":"a","kind":"text"}'
    assert read_lines(tmp_path, line)[0] == ["a"]


def test_a_line_of_more_values_than_text_needs_is_refused_before_it_is_parsed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marks = b'{"text":"' + b'[{,\\"' * 2**18 + b'"}'  # as many in a text are text
    many, few = (b'{"text":"a","x":[' + b"[]," * count + b"0]}" for count in (2**18, 2**17))
    assert len(few) < json_values.COUNTED_FROM_BYTES < len(many)
    with monkeypatch.context() as patched:
        patched.setattr(read_jsonl.orjson, "loads", None)
        with pytest.raises(InputError, match="more than 524,288 brackets and commas"):
            read_lines(tmp_path, many)
    texts, drops = read_lines(tmp_path, marks, few, many, b'{"text":"after"}', errors="skip")
    assert [text[:9] for text in texts] == ['[{,"[{,"[', "a", "after"]
    assert drops == {"too_many_values": 1}


JSON = st.recursive(
    st.none() | st.text(alphabet='[{,"\\a', max_size=6) | st.integers(-9, 9),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(alphabet='[,"\\b', max_size=3), inner, max_size=4)
    ),
    max_leaves=30,
)


@given(JSON)
def test_values_are_never_counted_as_fewer_than_there_are(value: object) -> None:
    def size(value: object) -> int:
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        return 1 + sum(map(size, inner))

    line = orjson.dumps(value)
    assert size(value) <= json_values.value_count(line) <= 2 * size(value)


def test_a_record_with_many_keys_names_some(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"it has: k0, .*, k19 and 80 more\n"):
        read_lines(tmp_path, orjson.dumps({f"k{number}": 0 for number in range(100)}))


def test_invalid_bytes_are_replaced_where_that_is_the_policy(tmp_path: Path) -> None:
    assert read_lines(tmp_path, b'{"text":"a\xffb"}', errors="replace")[0] == ["a\ufffdb"]


def test_a_line_above_the_cap_is_refused_or_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def capped(chunks: object, **options: object) -> object:
        return lines(chunks, **options, cap_bytes=100)  # type: ignore[arg-type]

    monkeypatch.setattr(read_jsonl, "lines", capped)
    content = (b'{"text":"a"}', b'{"text":"' + b"x" * 200 + b'"}', b'{"text":"b"}')
    with pytest.raises(InputError, match="longer than") as caught:
        read_lines(tmp_path, *content)
    assert caught.value.where == f"{tmp_path / 'a.jsonl'}, byte 13"
    assert read_lines(tmp_path, *content, errors="skip") == (["a", "b"], {"too_long": 1})


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=30), max_size=20), st.integers(1, 300))
def test_whatever_stands_in_json_comes_out_for_every_partition_size(texts: list[str], target_bytes: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        file = write_jsonl(Path(directory, "a.jsonl"), texts)
        whole, _ = read_all(file, steps=())
        cut, tally = read_all(file, steps=(), target_bytes=target_bytes)
        assert texts_of(whole) == texts
        assert cut == whole
        assert tally.read.bytes == sum(len(text.encode()) for text in texts)


FRAGMENTS = [
    *(b'{"text":', b'"a"', b"}", b"{", b"[", b"]", b'"', b"\\", b"\\ud800", b"\n", b"\xff", b"\0", b"NaN", b"1e999"),
    *(b",", b":", b"null", b"\xef\xbb\xbf", b'"text"', b"\r"),
]


@given(st.lists(st.sampled_from(FRAGMENTS), max_size=30).map(b"".join))
def test_no_bytes_whatever_make_the_reader_fail_otherwise_than_by_its_own_errors(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory, "a.jsonl")
        file.write_bytes(content + b'\n{"text":"the rest is unharmed"}')
        documents, _ = read_all(file, errors="skip")
        assert texts_of(documents)[-1] == "the rest is unharmed"
        for errors in ("strict", "replace"):
            try:
                read_all(file, errors=errors)
            except BatchwrightError as error:
                assert str(file) in str(error)


def test_the_fast_parser_and_the_careful_one_agree(tmp_path: Path) -> None:
    texts = ["plain", "naïve\n", 'quo"te\\', "\U0001f600", "\u2028"]
    plain = b"\n".join(orjson.dumps({"text": text}) for text in texts)
    careful = b"\n".join(b'{"n":NaN,' + orjson.dumps({"text": text})[1:] for text in texts)
    assert read_lines(tmp_path, plain) == read_lines(tmp_path, careful)
