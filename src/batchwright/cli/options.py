"""Options that several verbs share."""

from typing import Annotated

from cyclopts import Parameter

Settings = Annotated[list[str] | None, Parameter(name="--set", negative=(), consume_multiple=False)]
"""`--set table.key=value`, any number of times."""

Sizes = Annotated[tuple[int, ...], Parameter(negative=())]
"""Several whole numbers: `--batch 8 --batch 32`, or `--batch 8 32`."""
