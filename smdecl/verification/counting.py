"""Reports how many examples have run to the process that waits for them."""

from __future__ import annotations

from smdecl.isolation import reports

# The caller may wait for something else first, and a pipe that is full stops this process.
_MOST_REPORTS = 100


class Counter:
    """Counts examples, and reports them at most a hundred times.

    Args:
        stage: The stage that runs them.
        total: How many there are, as far as that is known.
    """

    def __init__(self, stage: str, total: int = 0) -> None:
        self._stage = stage
        self._total = total
        self._done = 0
        self._reported = 0

    def expect(self, more: int) -> None:
        """Adds examples to the total."""
        self._total += more

    def count(self) -> None:
        """Counts an example that has run."""
        self._done += 1
        part = self._done * _MOST_REPORTS // max(1, self._total)
        if part > self._reported:
            self._reported = part
            reports.report(self._stage, self._done, self._total)
