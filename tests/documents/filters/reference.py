"""Plain-Python twins of the filters' native loops: strings, sets and regular expressions, as the rules read."""

import re
from collections import Counter
from functools import cache
from itertools import pairwise

import numpy as np

from batchwright.documents.filters import character_classes as kinds
from batchwright.documents.filters.english_exceptions import EXCEPTIONS

HYPHENS = r"-|–|—|--|---|——|~"
URL = (
    r"^(?:(?:[\w\+\-\.]{2,})://)?(?:\S+(?::\S*)?@)?(?:"
    r"(?!(?:10|127)(?:\.\d{1,3}){3})(?!(?:169\.254|192\.168)(?:\.\d{1,3}){2})"
    r"(?!172\.(?:1[6-9]|2\d|3[0-1])(?:\.\d{1,3}){2})(?:[1-9]\d?|1\d\d|2[01]\d|22[0-3])"
    r"(?:\.(?:1?\d{1,2}|2[0-4]\d|25[0-5])){2}(?:\.(?:[1-9]\d?|1\d\d|2[0-4]\d|25[0-4]))"
    r"|(?:(?:[A-Za-z0-9\u00a1-\uffff][A-Za-z0-9\u00a1-\uffff_-]{0,62})?[A-Za-z0-9\u00a1-\uffff]\.)+"
    r"(?:[LOWER]{2,63}))(?::\d{2,5})?(?:[/?#]\S*)?$"
)


@cache
def characters(bit: int) -> str:
    """The characters with a bit, as the inside of brackets in a regular expression."""
    points = np.flatnonzero(kinds.character_classes() & bit)
    runs = np.split(points, np.flatnonzero(np.diff(points) > 1) + 1)
    return "".join(f"{re.escape(chr(run[0]))}-{re.escape(chr(run[-1]))}" for run in runs)


@cache
def patterns() -> dict[str, re.Pattern[str]]:
    a, lower, upper, quote = (characters(bit) for bit in (kinds.ALPHA, kinds.LOWER, kinds.UPPER, kinds.QUOTE))
    icon = f"[{characters(kinds.ICON)}]"
    units = "|".join(re.escape(unit) for unit in kinds.UNITS)
    suffixes = [
        rf"[{characters(kinds.CUT_AFTER)}]", "……", r"\.\.+", "'s", "'S", "’s", "’S", r"(?<=[0-9])\+",
        rf"(?<=[0-9])(?:{units})", r"(?<=°[FfCcKk])\.", rf"(?<=[{characters(kinds.BEFORE_FULL_STOP)}])\.",
        rf"(?<=[{upper}][{upper}])\.",
    ]  # fmt: skip
    infixes = [
        r"\.\.+", "…", icon, r"(?<=[0-9])[+\-\*^](?=[0-9-])", rf"(?<=[{lower}{quote}])\.(?=[{upper}{quote}])",
        rf"(?<=[{a}]),(?=[{a}])", rf"(?<=[{a}0-9])(?:{HYPHENS})(?=[{a}])", rf"(?<=[{a}0-9])[:<>=/](?=[{a}])",
    ]  # fmt: skip
    return {
        "prefix": re.compile(rf"^(?:[{characters(kinds.CUT_BEFORE)}]|\+(?![0-9])|\.\.+|US\$|[CA]\$)"),
        "suffix": re.compile("|".join(f"(?:{suffix})$" for suffix in suffixes)),
        "infix": re.compile("|".join(infixes)),
        "url": re.compile(URL.replace("LOWER", lower)),
    }


def _length(match: re.Match[str] | None) -> int:
    return len(match.group()) if match else 0


def cut(text: str, exceptions: dict[str, tuple[str, ...]]) -> list[str]:
    """One chunk without white space."""
    if text in exceptions:
        return list(exceptions[text])
    before: list[str] = []
    after: list[str] = []
    rules = patterns()
    while text and text not in exceptions:
        prefix = _length(rules["prefix"].search(text))
        if prefix and text[prefix:] in exceptions:
            before.append(text[:prefix])
            text = text[prefix:]
            break
        suffix = _length(rules["suffix"].search(text[prefix:]))
        if suffix and text[:-suffix] in exceptions:
            after.insert(0, text[-suffix:])
            text = text[:-suffix]
            break
        if not prefix and not suffix:
            break
        before += [text[:prefix]] * bool(prefix)
        after = [text[len(text) - suffix :]] * bool(suffix) + after
        text = text[prefix : len(text) - suffix]
    if text in exceptions:
        middle = list(exceptions[text])
    elif not text or rules["url"].match(text):
        middle = [text] * bool(text)
    else:
        inside = [match.span() for match in rules["infix"].finditer(text) if match.start()]
        cuts = sorted({0, len(text), *(bound for span in inside for bound in span)})
        middle = [text[first:stop] for first, stop in pairwise(cuts)]
    return before + middle + after


@cache
def phrases() -> dict[tuple[str, ...], str]:
    cuts = {text: tuple(cut(text, {})) for text in EXCEPTIONS}
    return {words: text for text, words in cuts.items() if len(words) > 1}


def words(text: str) -> list[str]:
    """What `english_words.split` finds."""
    found: list[str] = []
    blank_before: list[bool | None] = []  # whether nothing (False), one blank (True) or more (None) stands before
    for gap, chunk in re.findall(r"(\s*)(\S+)", re.sub(r"[\x1c-\x1f]", "\n", text)):
        pieces = cut(chunk, EXCEPTIONS)
        found += pieces
        blank_before += [{"": False, " ": True}.get(gap)] + [False] * (len(pieces) - 1)
    longest = max(map(len, phrases()))
    matches = [
        (size, first)
        for first in range(len(found))
        for size in range(2, min(longest, len(found) - first) + 1)
        if tuple(found[first : first + size]) in phrases() and None not in blank_before[first + 1 : first + size]
    ]
    taken: set[int] = set()
    chosen: dict[int, int] = {}
    for size, first in sorted(matches, key=lambda match: (-match[0], match[1])):
        if first not in taken and first + size - 1 not in taken:
            chosen[first] = size
        taken.update(range(first, first + size))
    out: list[str] = []
    place = 0
    while place < len(found):
        size = chosen.get(place, 1)
        spelled = "".join(found[place : place + size])
        if size > 1 and not any(blank_before[place + 1 : place + size]):
            out += EXCEPTIONS[spelled]
        else:
            out += found[place : place + size]
        place += size
    return out


def is_a(bit: int, character: str) -> bool:
    return bool(kinds.character_classes()[ord(character)] & bit)


def _seen_before(pieces: list[str]) -> tuple[int, int]:
    seen: set[str] = set()
    count = length = 0
    for piece in pieces:
        if piece in seen:
            count, length = count + 1, length + len(piece)
        seen.add(piece)
    return count, length


def gopher_repetition(text: str) -> str:
    if not text:
        return "empty"
    for name, pieces in (("para", re.split(r"\n{2,}", text.strip())), ("line", re.split(r"\n+", text))):
        count, length = _seen_before(pieces)
        if count / len(pieces) > 0.3:
            return f"dup_{name}_frac"
        if length / len(text) > 0.2:
            return f"dup_{name}_char_frac"
    found = words(text)
    for n, limit in ((2, 0.2), (3, 0.18), (4, 0.16)):
        grams = Counter(" ".join(found[first : first + n]) for first in range(len(found) - n + 1))
        if grams:
            gram, times = grams.most_common(1)[0]
            if len(gram) * times / len(text) > limit:
                return f"top_{n}_gram"
    for n, limit in ((5, 0.15), (6, 0.14), (7, 0.13), (8, 0.12), (9, 0.11), (10, 0.1)):
        seen: set[str] = set()
        first = length = 0
        while first <= len(found) - n:
            gram = "".join(found[first : first + n])
            if gram in seen:
                length, first = length + len(gram), first + n
            else:
                seen.add(gram)
                first += 1
        if length / len(text) > limit:
            return f"duplicated_{n}_n_grams"
    return ""


def gopher_quality(text: str, *, min_words: int = 50) -> str:
    found = words(text)
    prose = [word for word in found if not all(is_a(kinds.SYMBOL, character) for character in word)]
    if len(prose) < min_words:
        return "gopher_short_doc"
    mean = sum(map(len, prose)) / len(prose) if prose else 0
    if mean < 3:
        return "gopher_below_avg_threshold"
    if mean > 10:
        return "gopher_above_avg_threshold"
    if text.count("#") / len(found) > 0.1:
        return "gopher_too_many_hashes"
    if (text.count("...") + text.count("…")) / len(found) > 0.1:
        return "gopher_too_many_ellipsis"
    lines = text.splitlines()
    if sum(line.lstrip().startswith(("•", "-")) for line in lines) / len(lines) > 0.9:
        return "gopher_too_many_bullets"
    if sum(line.rstrip().endswith(("...", "…")) for line in lines) / len(lines) > 0.3:
        return "gopher_too_many_end_ellipsis"
    if sum(any(map(str.isalpha, word)) for word in found) / len(found) < 0.8:
        return "gopher_below_alpha_threshold"
    if len({"the", "be", "to", "of", "and", "that", "have", "with"} & set(found)) < 2:
        return "gopher_enough_stop_words"
    return ""


def sentences(line: str) -> int:
    """Sentences of a line, white space that spaCy makes a word being one."""
    tokens: list[str] = []
    place = 0
    for word in words(line):
        start = line.index(word, place)
        tokens += [" "] * (line[place:start] not in ("", " ")) + [word]
        place = start + len(word)
    tokens += [" "] * (line[place:] not in ("", " "))
    count, ended = 1, False
    for token in tokens:
        if len(token) == 1 and is_a(kinds.SENTENCE_END, token):
            ended = True
        elif ended and not all(is_a(kinds.PUNCTUATION, character) for character in token):
            count, ended = count + 1, False
    return count


def c4(text: str, *, terminal_punctuation: bool) -> tuple[str, str]:
    """(reason, text)."""
    kept: list[str] = []
    total = 0
    for stripped in map(str.strip, text.splitlines()):
        pieces = stripped.split()
        if any(len(piece) > 1000 for piece in pieces):
            continue
        line = re.sub(r"\[\d*]|\[edit]|\[citation needed]", "", stripped)
        if terminal_punctuation and (not line.endswith((".", "?", "!", '"', "'")) or line.endswith("...")):
            continue
        if len(pieces) < 3:
            continue
        lower = line.lower()
        if "lorem ipsum" in lower:
            return "lorem_ipsum", text
        if "javascript" in lower:
            continue
        if "{" in line:
            return "curly_bracket", text
        policy = ("terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies")
        if any(phrase in lower for phrase in policy):
            continue
        total += sentences(line)
        kept.append(line)
    return ("too_few_sentences", text) if total < 5 else ("", "\n".join(kept).strip())


def fineweb(text: str) -> str:
    lines = [line for line in text.split("\n") if line.strip()]
    if not lines:
        return "empty"
    if sum(is_a(kinds.TERMINAL, line[-1]) for line in lines) / len(lines) < 0.12:
        return "line_punct_ratio"
    if sum(len(line) <= 30 for line in lines) / len(lines) > 0.67:
        return "short_line_ratio"
    if _seen_before(lines)[1] / len(text.replace("\n", "")) > 0.01:
        return "char_dup_ratio"
    return "list_ratio" if text.count("\n") / len(words(text)) > 0.3 else ""
