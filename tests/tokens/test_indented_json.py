import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as some

from batchwright.tokens.indented_json import indented

NOT_FINITE = {"allow_nan": False, "allow_infinity": False}
LEAVES = some.one_of(
    some.none(), some.booleans(), some.integers(), some.floats(**NOT_FINITE), some.text(some.characters(codec="utf-8"))
)
VALUES = some.recursive(
    LEAVES,
    lambda inner: some.one_of(some.lists(inner), some.dictionaries(some.text(some.characters(codec="utf-8")), inner)),
)


@given(VALUES)
def test_it_writes_what_the_standard_library_writes(value: Any) -> None:
    assert indented(value) == json.dumps(value, ensure_ascii=False, indent=1).encode()
