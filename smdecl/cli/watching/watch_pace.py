"""Limits how much of the time is spent on work that events cause."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

_SHARE = 10  # the work takes at most a tenth of the time
_LONGEST = 5.0  # seconds


@dataclass
class Pace:
    """Decides when work may be done again.

    Attributes:
        clock: Returns the time, in seconds.
        due: When it may be done again.
    """

    clock: Callable[[], float] = time.monotonic
    due: float = 0.0

    def left(self) -> float:
        """Returns the seconds until the work may be done again."""
        return max(0.0, self.due - self.clock())

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Measures the work in the block."""
        began = self.clock()
        yield
        ended = self.clock()
        self.due = ended + min(_LONGEST, _SHARE * (ended - began))
