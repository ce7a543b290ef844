"""One file per verb: parse, call, show."""
