"""Strategies for texts on which the filters' rules meet."""

from hypothesis import strategies as st

from batchwright.documents.filters.english_exceptions import EXCEPTIONS

_WORDS = (
    "the be to of and that have with word Word U.S. don't http://a.b.org/x?y foo@x.org 8.8.8.8:80 10.0.0.1 5km 3€ US$5 "
    "... … .. -- — - • # [1] [edit] [citation] { javascript JavaScript lorem ipsum uses cookies 's ’s . ! ? , ; : ( ) "
    '" 。 中 文 é 😀 a-b a.B x,y 1-2 °C. e.g. :-) Kelvin'
)
_ORDINARY = "the of and with people have ordinary words that were seen"
PIECES = st.one_of(
    st.sampled_from(sorted(EXCEPTIONS)),
    st.sampled_from(_WORDS.split()),
    st.text(max_size=4),
    st.text(alphabet="abAB01.-'’/:@°$+(),", max_size=8),
)
GAPS = st.sampled_from(["", "", " ", " ", " ", "  ", "\n", "\n\n", "\r\n", "\t", "\u2028", "\xa0", ".\n", ". "])
ANY = st.lists(st.tuples(PIECES, GAPS), max_size=30).map(lambda parts: "".join(a + b for a, b in parts))


@st.composite
def prose(draw: st.DrawFn) -> str:
    """Long enough for every rule to be asked, with repetition of drawn strength."""
    words = draw(st.lists(st.sampled_from(_ORDINARY.split()), min_size=40))
    extra = draw(st.lists(ANY, max_size=4))
    ends = st.sampled_from([".", "", "...", "!"])
    lines = [" ".join(words[first : first + 9]) + draw(ends) for first in range(0, 40, 9)]
    lines += extra + lines[: draw(st.integers(0, 3))]
    separator = draw(st.sampled_from(["\n", "\n\n", " "]))
    return separator.join(draw(st.permutations(lines)))


TEXTS = st.one_of(ANY, prose(), st.tuples(ANY, prose()).map("\n".join))
