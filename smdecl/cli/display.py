"""Shows how far a run is: live on a terminal, and with `--verbose` each stage as it ends."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TypeAlias

from smdecl import progress
from smdecl.cli import report
from smdecl.cli.board import Board, shared
from smdecl.cli.screen import Screen
from smdecl.progress import Listener, Peak, Run

_STDERR = 2
_MEBIBYTE = 1 << 20

Cleared: TypeAlias = Callable[[], AbstractContextManager[None]]
"""Returns a context in which this process may print to the terminal."""


@contextmanager
def shown(is_verbose: bool) -> Iterator[Cleared]:
    """Shows how far the run within the block is.

    Args:
        is_verbose: Whether each stage is printed.
    """
    listeners: list[Listener] = [Stages()] if is_verbose else []
    if not _is_terminal():
        with progress.listening(listeners):
            yield nullcontext
        return
    board = Board()
    screen = Screen(board.lines)
    try:
        with progress.listening([*listeners, board]):
            yield screen.cleared
    finally:
        screen.close()


def _is_terminal() -> bool:
    """Returns whether standard error is a terminal that can remove lines."""
    is_terminal = os.isatty(_STDERR) and sys.stderr.isatty()
    return is_terminal and os.environ.get("TERM", "dumb") != "dumb"


class Stages(Listener):
    """Prints each stage with its seconds, as the record of a run has them."""

    def __init__(self) -> None:
        self._shared: set[str] = set()

    def planned(self, swept: Sequence[Sequence[str]]) -> None:
        """Keeps what the variants share, which is not part of their names."""
        self._shared = shared(swept)

    def took(self, run: Run, stage: str, seconds: float) -> None:
        """Prints a stage."""
        self._print(run, f"{stage} {seconds:.3f} s")

    def finished(self, run: Run, seconds: float, peak: Peak | None) -> None:
        """Prints the total, and the peak memory."""
        text = f"total {seconds:.3f} s"
        if peak is not None:
            memory = f"{peak.memory / _MEBIBYTE:,.0f} MiB"
            text = f"{text}, peak memory {memory} ({peak.process})"
        self._print(run, text)

    def _print(self, run: Run, text: str) -> None:
        own = [name for name in run.overrides if name not in self._shared]
        report.note([text], " ".join(own))
