"""Whether this process is batchwright's alone: a command that runs no foreign code, or a worker of one.

There numba need not do what it does before its first function: import every installed package that extends it. awkward
is one, which gigatoken brings, and nothing of ours uses it. A library must not decide that for the program it is part
of, so whoever owns the process says so. Price: nothing; it saves 0.22 CPU-s in each process that runs a hot loop.
"""

_declared = False


def declare_own_process() -> None:
    """From here on nobody else's code runs in this process. To be said before the first hot loop is imported."""
    global _declared
    _declared = True


def is_own_process() -> bool:
    return _declared
