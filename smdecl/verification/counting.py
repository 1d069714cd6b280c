"""Reports how many examples have run to the process that waits for them."""

from __future__ import annotations

import time

from smdecl.isolation import reports

# The caller may wait for something else first, and a pipe that is full stops this process.
_MOST_REPORTS = 100
# A report wakes the caller up, and a person cannot follow more than 20 a second.
_SECONDS_BETWEEN = 0.05


class Counter:
    """Counts examples, and reports them at most a hundred times, and the last one.

    Args:
        stage: The stage that runs them.
        total: How many there are, as far as that is known.
    """

    def __init__(self, stage: str, total: int = 0) -> None:
        self._stage = stage
        self._total = total
        self._done = 0
        self._reported = 0
        self._time = time.monotonic()

    def expect(self, more: int) -> None:
        """Adds examples to the total."""
        self._total += more

    def count(self) -> None:
        """Counts an example that has run."""
        self._done += 1
        if self._done == self._total or self._is_due():
            reports.report(self._stage, self._done, self._total)

    def _is_due(self) -> bool:
        part = self._done * _MOST_REPORTS // max(1, self._total)
        now = time.monotonic()
        if part <= self._reported or now - self._time < _SECONDS_BETWEEN:
            return False
        self._reported = part
        self._time = now
        return True
