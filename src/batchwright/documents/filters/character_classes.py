"""What each Unicode character is to the filters: one number of flag bits per code point.

The bits of Python itself (white space, letters, digits, punctuation) follow the Unicode version of the interpreter, as
they do for any Python program. The others are lists of the published pipelines, kept as ranges of code points
("a:c" takes every second one):

- spaCy 3.8, lang/char_classes.py and lang/punctuation.py (MIT): what can be cut off a word, and where words divide;
  pipeline/sentencizer.pyx: what ends a sentence.
- datatrove 0.10.1, utils/text.py (Apache 2.0): what counts as a symbol (`SYMBOL`) and as terminal punctuation.

Price: built once per process in ~0.1 s; 4.5 MB, of which English text touches 1 KB.
"""

import unicodedata
from collections.abc import Iterable, Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

SPACE = 1 << 0  # str.isspace
LINE_BREAK = 1 << 1  # ends a line for str.splitlines
LETTER = 1 << 2  # str.isalpha
DIGIT = 1 << 3  # \d
WORDLIKE = 1 << 4  # \w
PUNCTUATION = 1 << 5  # Unicode categories P*
SYMBOL = 1 << 6  # datatrove's PUNCTUATION_SET
TERMINAL = 1 << 7  # datatrove's TERMINAL_PUNCTUATION
SENTENCE_END = 1 << 8  # spaCy's sentencizer
CUT_BEFORE = 1 << 9  # a word may lose it at its beginning
CUT_AFTER = 1 << 10  # … at its end
ICON = 1 << 11  # divides a word wherever it stands
ALPHA = 1 << 12  # spaCy's letters: the scripts that it knows
LOWER = 1 << 13  # … lower case, or of a script without case
UPPER = 1 << 14  # … upper case, or of a script without case
QUOTE = 1 << 15
BEFORE_FULL_STOP = 1 << 16  # a full stop after it is a word of its own
HOST = 1 << 17  # may stand in the name of a host
UNIT = 1 << 18  # ends a unit or a currency: "5km", "3€"
UNSPACED = 1 << 19  # of a script that writes no blanks between words
CODE_POINTS = 0x110000

_CASELESS = """
591-5f4 620-64a 66e-6d5 6e5-6ff 750-77f 8a0-8bd 900-9ff b80-cff d80-dff 1100-137f 2e80-2fdf 2ff0-30ff
31c0-31ef 3200-4dbf 4e00-9fff ac00-d7af f900-faff fb1d-fbb1 fbd3-fd3d fd50-fdc7 fdf0-fdfb fe30-fe4f fe70-fefc
1ee00-1eebb 1f200-1f2ff 20000-2a6df 2a700-2ebef 2f800-2fa1f
"""
_LOWER = """
61-7a df-f6 f8-ff 101:137 138:148 149:177 17a 17c 17e-180 183 185 188 18c-18d 192 195 199-19b 19e 1a1 1a3 1a5
1a8 1aa-1ab 1ad 1b0 1b4 1b6 1b9-1ba 1bd-1bf 1c6 1c9 1cc:1dc 1dd:1ef 1f0 1f3 1f5 1f9:233 234-239 23c 23f-240
242 247:24f 250-2af 3ac-3af 3b1-3c9 3cc-3ce 430-451 453-45a 45c-45d 491 497 4a3 4af 4bb 4d9 4e9 1d00-1d25
1d6b-1d77 1d79-1d9a 1e01:1e95 1e96-1e9d 1e9f:1eff 2c61 2c65-2c66 2c68 2c6a 2c6c 2c71 2c73-2c74 2c76-2c7b
a723:a72f a730-a731 a733:a771 a772-a778 a77a a77c a77f:a787 a78c a78e a791 a793-a795 a797:a7a9 a7af a7b5 a7b7
a7b9 a7fa ab30-ab5a ab60-ab64 ff41-ff5a
"""
_UPPER = """
41-5a c0-d6 d8-de 100:136 139:147 14a:178 179 17b 17d 181-182 184 186-187 189-18b 18e-191 193-194 196-198
19c-19d 19f-1a0 1a2 1a4 1a6-1a7 1a9 1ac 1ae-1af 1b1-1b3 1b5 1b7-1b8 1bc 1c4 1c7 1ca 1cd:1db 1de:1ee 1f1 1f4
1f6-1f8 1fa:232 23a-23b 23d-23e 241 243-246 248:24e 386 388-38a 38c 38e-38f 391-3a9 400-401 403-40a 40c-40d
410-42f 490 496 4a2 4ae 4ba 4d8 4e8 1e00:1e94 1e9e:1efe 2c60 2c62-2c64 2c67:2c6d 2c6e-2c70 2c72 2c75 2c7e-2c7f
a722:a72e a732:a76e a779 a77b a77d-a77e a780:a786 a78b a78d a790 a792 a796:a7aa a7ab-a7ae a7b0-a7b4 a7b6 a7b8
ff21-ff3a
"""
_ICONS = """
a6 a9 ae b0 482 58d-58e 60e-60f 6de 6e9 6fd-6fe 7f6 9fa b70 bf3-bf8 bfa c7f d4f d79 f01-f03 f13 f15-f17
f1a-f1f f34 f36 f38 fbe-fc5 fc7-fcc fce-fcf fd5-fd8 109e-109f 1390-1399 1940 19de-19ff 1b61-1b6a 1b74-1b7c
2100-2101 2103-2106 2108-2109 2114 2116-2117 211e-2123 2125 2127 2129 212e 213a-213b 214a 214c-214d 214f
218a-218b 2195-2199 219c-219f 21a1-21a2 21a4-21a5 21a7-21ad 21af-21cd 21d0-21d1 21d3 21d5-21f3 2300-2307
230c-231f 2322-2328 232b-237b 237d-239a 23b4-23db 23e2-2426 2440-244a 249c-24e9 2500-25b6 25b8-25c0 25c2-25f7
2600-266e 2670-2767 2794-27bf 2800-28ff 2b00-2b2f 2b45-2b46 2b4d-2b73 2b76-2b95 2b98-2bc8 2bca-2bfe 2ce5-2cea
2e80-2e99 2e9b-2ef3 2f00-2fd5 2ff0-2ffb 3004 3012-3013 3020 3036-3037 303e-303f 3190-3191 3196-319f 31c0-31e3
3200-321e 322a-3247 3250 3260-327f 328a-32b0 32c0-32fe 3300-33ff 4dc0-4dff a490-a4c6 a828-a82b a836-a837 a839
aa77-aa79 fdfd ffe4 ffe8 ffed-ffee fffc-fffd 10137-1013f 10179-10189 1018c-1018e 10190-1019b 101a0 101d0-101fc
10877-10878 10ac8 1173f 16b3c-16b3f 16b45 1bc9c 1d000-1d0f5 1d100-1d126 1d129-1d164 1d16a-1d16c 1d183-1d184
1d18c-1d1a9 1d1ae-1d1e8 1d200-1d241 1d245 1d300-1d356 1d800-1d9ff 1da37-1da3a 1da6d-1da74 1da76-1da83
1da85-1da86 1ecac 1f000-1f02b 1f030-1f093 1f0a0-1f0ae 1f0b1-1f0bf 1f0c1-1f0cf 1f0d1-1f0f5 1f110-1f16b
1f170-1f1ac 1f1e6-1f202 1f210-1f23b 1f240-1f248 1f250-1f251 1f260-1f265 1f300-1f3fa 1f400-1f6d4 1f6e0-1f6ec
1f6f0-1f6f9 1f700-1f773 1f780-1f7d8 1f800-1f80b 1f810-1f847 1f850-1f859 1f860-1f887 1f890-1f8ad 1f900-1f90b
1f910-1f93e 1f940-1f970 1f973-1f976 1f97a 1f97c-1f9a2 1f9b0-1f9b9 1f9c0-1f9c2 1f9d0-1f9ff 1fa60-1fa6d
"""
_SENTENCE_END = """
21 2e 3f 589 61f 6d4 700-702 7f9 964-965 104a-104b 1362 1367-1368 166e 1735-1736 1803 1809 1944-1945 1aa8-1aab
1b5a-1b5b 1b5e-1b5f 1c3b-1c3c 1c7e-1c7f 203c-203d 2047-2049 2e2e 2e3c 3002 a4ff a60e-a60f a6f3 a6f7 a876-a877
a8ce-a8cf a92f a9c8-a9c9 aa5d-aa5f aaf0-aaf1 abeb fe52 fe56-fe57 ff01 ff0e ff1f ff61 10a56-10a57 11047-11048
110be-110c1 11141-11143 111c5-111c6 111cd 111de-111df 11238-11239 1123b-1123c 112a9 1144b-1144c 115c2-115c3
115c9-115d7 11641-11642 1173c-1173e 11a42-11a43 11a9b-11a9c 11c41-11c42 16a6e-16a6f 16af5 16b37-16b38 16b44
1bc9f 1da88
"""
_ALSO_TERMINAL = """
61d-61e 837 839 83d-83e 17d4-17d6 17d9-17da 1b7d-1b7e 2e53-2e54 10f55-10f59 10f86-10f89 11944 11946
11ef7-11ef8 11f43-11f44 16e98
"""
# Han, kana, Thai, Lao, Burmese, Khmer (our choice; Hangul and Tibetan divide their words)
_UNSPACED = """
e01-e3a e40-e4e e80-edf 1000-103f 1050-109f 1780-17d3 3005-3007 3040-30ff 31f0-31ff 3400-4dbf 4e00-9fff f900-faff
ff66-ff9f 20000-323af
"""

_LETTERS_WITHOUT_CASE_RULES = "1bb 1c5 1c8 1cb 1f2"  # in spaCy's Latin, but neither in its upper nor its lower case
_QUOTES = "'\"”“`‘´’‚,„»«「」『』（）〔〕【】《》\u2329\u232a\u3008\u3009⟦⟧"
_MARKS = "…,:;!?¿؟¡()[]{}<>_#*&。？！，、；：～·।،۔؛٪"
_CURRENCY = "$£€¥฿₽﷼₴₠₡₢₣₤₥₦₧₨₩₪₫₭₮₯₰₱₲₳₵₶₷₸₹₺₻₼₾₿"
_SYMBOLS = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~«´»–—’“”„…∶━►、。〈〉《》「」【】！％（），．１：；？～"

_UNITS = (
    "km km² km³ m m² m³ dm dm² dm³ cm cm² cm³ mm mm² mm³ ha µm nm yd in ft kg g mg µg t lb oz m/s km/h kmh mph hPa Pa "
    "mbar mb MB kb KB gb GB tb TB T G M K % км км² км³ м м² м³ дм дм² дм³ см см² см³ мм мм² мм³ нм кг г мг м/с км/ч "
    "кПа Па мбар Кб КБ кб Мб МБ мб Гб ГБ гб Тб ТБ тбكم كم² كم³ م م² م³ سم سم² سم³ مم مم² مم³ كم غرام جرام جم كغ ملغ "
    "كوب اكواب US$ C$ A$"
)
UNITS = (*_UNITS.split(), *_CURRENCY)


def _points(ranges: str) -> Iterator[int]:
    """The code points of "a1-a3 b0:b4": a1, a2, a3, b0, b2, b4."""
    for part in ranges.split():
        step = 2 if ":" in part else 1
        bounds = [int(bound, 16) for bound in part.replace(":", "-").split("-")]
        yield from range(bounds[0], bounds[-1] + 1, step)


def _is_wordlike(character: str) -> bool:
    return character.isalnum() or character == "_"


def _is_punctuation(character: str) -> bool:
    return unicodedata.category(character)[0] == "P"


@lru_cache(maxsize=1)
def character_classes() -> NDArray[np.uint32]:
    """(0x110000,) uint32: the bits of every code point."""
    classes = np.zeros(CODE_POINTS, np.uint32)
    # Beyond the third plane Unicode has no character for which these hold.
    characters = list(map(chr, range(0x40000)))
    for bit, test in (
        (SPACE, str.isspace),
        (LETTER, str.isalpha),
        (DIGIT, str.isdecimal),
        (WORDLIKE, _is_wordlike),
        (PUNCTUATION, _is_punctuation),
    ):
        found = np.fromiter(map(test, characters), np.bool_, len(characters))
        classes[: len(characters)] |= found * np.uint32(bit)

    def mark(bit: int, points: Iterable[int]) -> None:
        classes[list(points)] |= np.uint32(bit)

    mark(LINE_BREAK, map(ord, "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"))
    mark(SYMBOL, map(ord, _SYMBOLS))
    mark(SYMBOL, [*range(9), 11, 12, *range(13, 32), *range(127, 160)])
    for ranges in (_SENTENCE_END, _ALSO_TERMINAL):
        mark(SYMBOL | TERMINAL, _points(ranges))
    mark(SENTENCE_END, _points(_SENTENCE_END))
    mark(ICON | CUT_BEFORE | CUT_AFTER, _points(_ICONS))
    mark(CUT_BEFORE, map(ord, "§%=—–" + _MARKS + _QUOTES + _CURRENCY))
    mark(CUT_AFTER, map(ord, "—–" + _MARKS + _QUOTES))
    mark(ALPHA | LOWER | UPPER, _points(_CASELESS))
    mark(ALPHA | LOWER, _points(_LOWER))
    mark(ALPHA | UPPER, _points(_UPPER))
    mark(ALPHA, _points(_LETTERS_WITHOUT_CASE_RULES))
    mark(QUOTE, map(ord, _QUOTES))
    # The class holds "|", "(", "?" and ":" because the original writes alternatives inside brackets.
    mark(BEFORE_FULL_STOP, map(ord, "0123456789%²-+|" + _MARKS + _QUOTES))
    mark(BEFORE_FULL_STOP, np.flatnonzero(classes & LOWER).tolist())
    mark(HOST, [*map(ord, "0123456789"), *range(65, 91), *range(97, 123), *range(0xA1, 0x10000)])
    mark(UNIT, (ord(unit[-1]) for unit in UNITS))
    unspaced = np.zeros(CODE_POINTS, np.bool_)
    unspaced[list(_points(_UNSPACED))] = True
    classes[unspaced & (classes & (PUNCTUATION | DIGIT) == 0)] |= np.uint32(UNSPACED)
    classes.flags.writeable = False
    return classes
