"""Sentences break where their language breaks: English at spaces, Chinese between characters."""

import pytest
from rich.cells import cell_len

from batchwright.cli.prose import lines_of

ENGLISH = "A model reads no files. It reads batches: B rows of T token ids each, an array of shape (B, T)."
CHINESE = "模型读的是批次（batch）：B 行，每行 T 个 token 编号，即形状为 (B, T) 的数组。T = 128。每个字母代表一篇文档。"


@pytest.mark.parametrize("width", [12, 20, 41, 80])
@pytest.mark.parametrize("text", [ENGLISH, CHINESE])
def test_lines_are_full_and_within_the_width_and_lose_nothing(text: str, width: int) -> None:
    lines = lines_of(text, width)
    assert max(map(cell_len, lines)) <= width
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert not any(line[0] in "，。：）、" or line[-1] in "（“「" for line in lines)
    if text == CHINESE and width >= 20:
        assert min(map(cell_len, lines[:-1])) >= width - 9, "no line half empty"


def test_english_breaks_as_words_do() -> None:
    assert lines_of("one two_(three) four", 11) == ["one", "two_(three)", "four"]
    assert lines_of("", 11) == [""]
