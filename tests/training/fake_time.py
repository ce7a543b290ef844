"""A clock that a test sets, in the place of a module's `time`."""


class FakeTime:
    now = 0.0

    def monotonic(self) -> float:
        return self.now
