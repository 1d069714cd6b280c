"""A terminal whose last lines show how far a run is, below all that is printed meanwhile.

The model's code prints from other processes. So standard error is a pipe while the lines are shown,
for these processes too, and a thread writes what comes out of it above the lines.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator

from smdecl.cli.output import text_width
from smdecl.printing import printable

_STDERR = 2
_INTERVAL = 0.125  # seconds between two drawings
_DELAY = 1.0  # seconds before the first one; short commands draw nothing
_PATIENCE = 5.0  # seconds for the last drawing
_BLOCK = 1 << 16  # bytes
_MOST_BLOCKS = 64  # at a time, however fast a process prints
_LONGEST = 1 << 20  # bytes of a line that has not ended
_COLUMNS, _ROWS = 80, 24  # if the terminal does not say
_CLEAR_LINE = "\r\x1b[2K"
_LINE_ABOVE = "\x1b[1A"
_CONTROL_SEQUENCE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")


class Screen:
    """Shows lines at the end of the terminal that is standard error, until it is closed.

    Args:
        lines: Returns the lines to show, given the columns and rows of the terminal. A thread
            calls it for every drawing.
    """

    def __init__(self, lines: Callable[[int, int], list[str]]) -> None:
        self._lines = lines
        self._lock = threading.Lock()
        self._encoding = sys.stderr.encoding
        self._terminal = os.dup(_STDERR)
        self._printed, into = os.pipe()
        self._ended, self._end = os.pipe()
        os.set_blocking(self._printed, False)
        os.dup2(into, _STDERR)
        os.close(into)
        self._shown = 0  # lines
        self._rest = b""  # of a line that has not ended
        self._due = time.monotonic() + _DELAY
        self._thread = threading.Thread(
            target=self._run, name="smdecl-screen", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Removes the lines, and makes the terminal standard error again."""
        try:
            os.write(self._end, b".")
            self._thread.join(_PATIENCE)
        finally:  # an interrupt must not leave the lines on the terminal
            self._thread.join(_PATIENCE)
        if self._thread.is_alive():  # the user stopped the terminal by Ctrl-S
            return
        for descriptor in (
            self._terminal,
            self._printed,
            self._ended,
            self._end,
        ):
            os.close(descriptor)

    @contextlib.contextmanager
    def cleared(self) -> Iterator[None]:
        """Removes the lines while this process prints to the terminal."""
        terminal = os.fdopen(
            os.dup(self._terminal),
            "w",
            buffering=1,
            encoding=self._encoding,
            errors="backslashreplace",
        )
        with self._lock, terminal, contextlib.redirect_stderr(terminal):
            self._pass_on()
            self._erase()
            self._end_line()
            yield

    def _run(self) -> None:
        # The main thread, which handles signals, may wait for a process.
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        poll = select.poll()
        poll.register(self._printed, select.POLLIN)
        poll.register(self._ended, select.POLLIN)
        is_open = True
        try:
            while is_open:
                left = max(0.0, self._due - time.monotonic())
                ready = dict(poll.poll(1000 * left))
                is_open = self._ended not in ready
                with self._lock:
                    self._pass_on()
                    self._draw_if_due()
        finally:
            os.dup2(self._terminal, _STDERR)
            with self._lock:
                self._pass_on()
                self._erase()
                self._end_line()

    def _pass_on(self) -> None:
        """Writes the lines that were printed."""
        for _ in range(_MOST_BLOCKS):
            printed = self._read()
            if not printed:
                return
            text, end, rest = (self._rest + printed).rpartition(b"\n")
            if len(rest) > _LONGEST:
                text, end, rest = text + end, rest, b""
            self._rest = rest
            if end:
                self._erase()
                self._write(_without_bars(text + end))

    def _end_line(self) -> None:
        """Writes a line that has not ended, so that what follows is on the next one."""
        if as_seen(self._rest):
            self._write(_without_bars(self._rest) + b"\n")
        self._rest = b""

    def _read(self) -> bytes:
        try:
            return os.read(self._printed, _BLOCK)
        except BlockingIOError:
            return b""

    def _draw_if_due(self) -> None:
        now = time.monotonic()
        if now < self._due:
            return
        self._due = now + _INTERVAL
        try:
            columns, rows = os.get_terminal_size(self._terminal)
        except OSError:  # the terminal is gone
            return
        size = columns or _COLUMNS, rows or _ROWS
        lines = self._drawing(*size) if self._is_in_front() else []
        if lines or self._shown:
            text = "\r\n".join(lines)
            data = text.encode(self._encoding, errors="backslashreplace")
            self._write(self._erasing() + data)
            self._shown = len(lines)

    def _drawing(self, columns: int, rows: int) -> list[str]:
        """Returns the lines to show, below the line that has not ended if there is one."""
        unfinished = as_seen(self._rest)
        if not unfinished:
            return self._lines(columns, rows)
        shown = text_width.cut(unfinished, columns - 1)
        return [shown, *self._lines(columns, max(1, rows - 1))]

    def _is_in_front(self) -> bool:
        """Returns whether this is not a background job of a shell, which has the terminal."""
        try:
            return os.tcgetpgrp(self._terminal) == os.getpgrp()
        except OSError:  # the terminal is that of a different session
            return True

    def _erase(self) -> None:
        self._write(self._erasing())
        self._shown = 0

    def _erasing(self) -> bytes:
        if not self._shown:
            return b""
        above = (_LINE_ABOVE + _CLEAR_LINE) * (self._shown - 1)
        return f"{_CLEAR_LINE}{above}".encode()

    def _write(self, data: bytes) -> None:
        """Writes to the terminal. If the terminal is closed, the data is lost."""
        while data:
            try:
                data = data[os.write(self._terminal, data) :]
            except BlockingIOError:
                select.select([], [self._terminal], [])
            except OSError:
                return


def _without_bars(text: bytes) -> bytes:
    """Returns lines without the text before the last carriage return in each, a progress bar's.

    If that text is longer than what overwrites it, its end would remain visible, even behind a line
    of a different process.
    """
    ended = []
    for line in text.split(b"\n"):
        shown = line.rstrip(b"\r")
        ended.append(shown.rpartition(b"\r")[2] + line[len(shown) :])
    return b"\n".join(ended)


def as_seen(line: bytes) -> str:
    """Returns a line that has not ended as a terminal shows it, such as a progress bar."""
    # A terminal begins the line again at each \r.
    _, _, last = line.rstrip(b"\r").rpartition(b"\r")
    text = _CONTROL_SEQUENCE.sub("", last.decode(errors="replace"))
    return printable(text.replace("\b", "").expandtabs())
