"""Measures the stages of a run."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from smdecl import progress
from smdecl.isolation.reports import Report
from smdecl.progress import Peak

# The stages that a child may report. It may run any code, so it may claim any stage.
_OF_CHILDREN = frozenset(
    {"build", "trace", "save", "inspect", "examples", "sources"}
)
_KIBIBYTE = 1024
# See proc(5). The path of the thread, because a confined process may write there.
_PEAK = Path("/proc/thread-self/clear_refs")
_LARGEST = sys.float_info.max  # smaller than inf, and NaN is not below it


class Clock:
    """Measures the stages of a run, and reports them.

    Args:
        composed: The seconds of composing, which happens before the run.

    Attributes:
        seconds: Stage to its seconds, for the stages that have ended.
    """

    def __init__(self, composed: float = 0.0) -> None:
        self.seconds: dict[str, float] = {}
        self._started = time.perf_counter() - composed
        if composed:
            self._end("compose", composed)

    @property
    def total(self) -> float:
        """The seconds of the run until now."""
        return time.perf_counter() - self._started

    def finish(self, peak: Peak | None = None) -> None:
        """Reports that the run has succeeded, and ends `total`."""
        self.seconds["total"] = self.total
        progress.finished(self.seconds["total"], peak)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measures a stage, also if it fails."""
        progress.reached(name)
        started = time.perf_counter()
        try:
            yield
        finally:
            self._end(name, time.perf_counter() - started)

    def add(self, seconds: Mapping[str, float]) -> None:
        """Adds stages that a child has measured, if their seconds are finite."""
        for name, value in seconds.items():
            if name in _OF_CHILDREN and abs(value) <= _LARGEST:
                self._end(name, max(0.0, value))

    def starting(self) -> Callable[[Report], None]:
        """Begins the stage `start`, and returns what ends it with the first report of a child."""
        progress.reached("start")
        started = time.perf_counter()

        def reported(report: Report) -> None:
            if "start" not in self.seconds:
                self._end("start", time.perf_counter() - started)
            if report.stage in _OF_CHILDREN:
                progress.reached(report.stage, report.done, report.total)

        return reported

    @contextmanager
    def stage_of_child(self, name: str) -> Iterator[Callable[[], None]]:
        """Measures the stage `start` and, from the call of what it yields on, another stage."""
        stage = "start"
        progress.reached(stage)
        since = time.perf_counter()

        def begin() -> None:
            nonlocal stage, since
            if stage == name:
                return
            now = time.perf_counter()
            self._end(stage, now - since)
            stage, since = name, now
            progress.reached(stage)

        try:
            yield begin
        finally:
            self._end(stage, time.perf_counter() - since)

    def _end(self, name: str, seconds: float) -> None:
        self.seconds[name] = seconds
        progress.took(name, seconds)


def forget_peak() -> None:
    """Lets `peak_memory` begin again with the memory that this process has now, on Linux."""
    with suppress(OSError):
        _PEAK.write_text("5")


def peak_memory() -> int:
    """Returns the largest memory of this process so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _KIBIBYTE
