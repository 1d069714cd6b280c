"""Shows how far a run is: live on a terminal, and with `--verbose` each stage as it ends."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TypeAlias

from smdecl import progress
from smdecl.isolation import lines
from smdecl.progress import Listener

_STDERR = 2

Cleared: TypeAlias = Callable[[], AbstractContextManager[None]]
"""Returns a context in which this process may print to the terminal."""


@contextmanager
def shown(is_verbose: bool) -> Iterator[Cleared]:
    """Shows how far the run within the block is.

    Args:
        is_verbose: Whether each stage is printed.
    """
    if not _is_terminal():
        with progress.listening(_stages(is_verbose, lines.between)):
            yield lines.between
        return
    # Imported late: most commands do not need them.
    from smdecl.cli.output.board import Board
    from smdecl.cli.output.screen import Screen

    board = Board()
    screen = Screen(board.lines)
    stages = _stages(is_verbose, screen.cleared)
    try:
        with progress.listening([*stages, board]), lines.showing_bars():
            yield screen.cleared
    finally:
        screen.close()


def _stages(is_verbose: bool, cleared: Cleared) -> Iterator[Listener]:
    if is_verbose:
        from smdecl.cli.output.verbose import Stages

        yield Stages(cleared)


def _is_terminal() -> bool:
    """Returns whether standard error is a terminal that can remove lines."""
    is_terminal = os.isatty(_STDERR) and sys.stderr.isatty()
    return is_terminal and os.environ.get("TERM", "dumb") != "dumb"
