"""What the live view of a run shows: its stage, or a line for each running variant of a sweep."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from smdecl import progress
from smdecl.cli.output import text_width
from smdecl.printing import as_line
from smdecl.progress import COUNTS_BYTES, Listener, Run, Step

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
_UNIT = 1024
_MINUTE = 60  # seconds
_PRECISE = 10  # seconds; longer times have no decimals


@dataclass
class _Row:
    """A run that is shown.

    Attributes:
        overrides: The overrides of a variant.
        step: Where it is.
        since: When its stage began.
    """

    overrides: Sequence[str]
    step: Step
    since: float


@dataclass
class Board(Listener):
    """Collects how far runs are, from several threads, and returns it as lines of text.

    Attributes:
        clock: Returns the time, in seconds.
    """

    clock: Callable[[], float] = time.monotonic
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _rows: dict[int, _Row] = field(default_factory=dict)
    _swept: Sequence[Sequence[str]] = ()
    _done: int = 0
    _failed: int = 0

    def planned(self, swept: Sequence[Sequence[str]]) -> None:
        """Shows the counts of a sweep."""
        with self._lock:
            self._swept = swept
            self._rows.clear()

    def reached(self, run: Run, step: Step) -> None:
        """Shows where a run is."""
        with self._lock:
            row = self._rows.get(run.number)
            if row is None or row.step.stage != step.stage:
                now = self.clock()
                self._rows[run.number] = _Row(run.overrides, step, now)
            else:
                row.step = step

    def ended(self, run: Run, has_failed: bool) -> None:
        """Counts a variant, and shows it no longer."""
        with self._lock:
            self._rows.pop(run.number, None)
            self._done += not has_failed
            self._failed += has_failed

    def lines(self, columns: int, rows: int) -> list[str]:
        """Returns what to show now, on a terminal of this size.

        Args:
            columns: The columns of the terminal. A line leaves the last one free, so that no
                terminal wraps it.
            rows: The rows of the terminal. The first one is left for what was printed before.
        """
        with self._lock:
            found = list(self._texts(columns - 1))
        most = max(1, rows - 1)
        if len(found) > most:
            found = [
                *found[: most - 1],
                f"... and {len(found) - most + 1} more",
            ]
        return [text_width.cut(text, columns - 1) for text in found[:most]]

    def _texts(self, columns: int) -> Iterator[str]:
        now = self.clock()
        if not self._swept:
            for row in self._rows.values():
                yield f"smdecl: {_text(row, now)}"
            return
        left = len(self._swept) - self._done - self._failed
        counts = f"{self._done} done, {self._failed} failed, {left} left"
        yield f"smdecl: {counts}"
        hidden = progress.shared(self._swept)
        for _, row in sorted(self._rows.items()):
            own = [name for name in row.overrides if name not in hidden]
            text = f"  {_text(row, now)}: "
            names = text_width.fit([*map(as_line, own)], columns - len(text))
            yield f"{text}{names}"


def _text(row: _Row, now: float) -> str:
    step = row.step
    text = f"{step.stage} {_seconds(now - row.since)}"
    if step.done is None or not step.total:
        return text
    if step.stage in COUNTS_BYTES:
        return f"{text}, {_bytes(step.done, step.total)}"
    return f"{text}, {step.done} of {step.total} examples"


def _seconds(value: float) -> str:
    if value < _PRECISE:
        return f"{value:.1f} s"
    minutes, seconds = divmod(int(value), _MINUTE)
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"


def _bytes(done: int, total: int) -> str:
    """Returns both sizes in the unit of the total."""
    size, unit = 1, 0
    while total >= size * _UNIT and unit < len(_UNITS) - 1:
        size, unit = size * _UNIT, unit + 1
    digits = 1 if unit else 0
    return (
        f"{done / size:.{digits}f} of {total / size:.{digits}f} {_UNITS[unit]}"
    )
