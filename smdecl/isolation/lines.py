"""Passes on what a process prints in whole lines, so that processes can print at the same time."""

from __future__ import annotations

import os
import select
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from multiprocessing.connection import Connection

from smdecl.isolation import groups

_STDERR = 2
_BLOCK = 1 << 16  # bytes
_LONGEST = 1 << 20  # bytes of a line that has not ended
# In seconds: standard error may be a pipe that nobody reads.
_PATIENCE = 5.0

_writing = threading.Lock()  # a pipe takes a long line in pieces
_shows_bars: ContextVar[bool] = ContextVar("_shows_bars", default=False)


@contextmanager
def showing_bars() -> Iterator[None]:
    """Passes on progress bars within the block, for a standard error that can show them.

    A bar begins its line again at each carriage return, which therefore ends a line there.
    Elsewhere, such as in a file, the whole line follows when it ends.
    """
    token = _shows_bars.set(True)
    try:
        yield
    finally:
        _shows_bars.reset(token)


@contextmanager
def standard_error() -> Iterator[Connection]:
    """Yields the standard error of a process that this thread starts.

    A process of a group prints whole lines, because others run at the same time. Any other process
    gets standard error itself.
    """
    # `multiprocessing` passes a file descriptor to a child as a connection. The server cannot
    # pass its own, which may differ from this process's by now.
    if groups.current() is None:
        yield Connection(os.dup(_STDERR), readable=False)
        return
    with whole_lines() as descriptor:
        yield Connection(descriptor, readable=False)


@contextmanager
def whole_lines() -> Iterator[int]:
    """Yields a descriptor, to be closed by the caller. What it gets goes to standard error.

    The last line gets a line end if it has none. All of it is written when the block is left.
    """
    printed, into = os.pipe()
    ended, end = os.pipe()
    os.set_blocking(printed, False)
    stderr = os.dup(_STDERR)
    find_end = _end_with_bars if _shows_bars.get() else _end
    lines = _Lines(printed, ended, stderr, find_end)
    # A daemon, because it may never be able to write.
    thread = threading.Thread(
        target=lines.run, name="smdecl-lines", daemon=True
    )
    thread.start()
    try:
        yield into
    finally:
        os.close(end)
        thread.join(_PATIENCE)


def _end(text: bytes) -> int:
    """Returns the length of all lines that have ended."""
    return text.rfind(b"\n") + 1


def _end_with_bars(text: bytes) -> int:
    """Returns the length of all lines that have ended, also by a carriage return."""
    # One at the end may be half of a line end.
    return max(_end(text), text.rfind(b"\r", 0, -1) + 1)


class _Lines:
    """What one process prints.

    Args:
        printed: Where it can be read.
        ended: Reaches its end when the process has ended.
        stderr: Where to write it.
        find_end: Returns the length of all lines that have ended.
    """

    def __init__(
        self,
        printed: int,
        ended: int,
        stderr: int,
        find_end: Callable[[bytes], int],
    ) -> None:
        self._find_end = find_end
        self._printed = printed
        self._ended = ended
        self._stderr = stderr
        self._rest = b""  # of a line that has not ended

    def run(self) -> None:
        """Writes lines until the process has ended, then closes the descriptors."""
        # The main thread, which handles signals, may wait for a process.
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        poll = select.poll()
        poll.register(self._printed, select.POLLIN)
        poll.register(self._ended, select.POLLIN)
        while self._ended not in dict(poll.poll()):
            if not self._pass_on():
                break
        while self._pass_on():
            pass
        if self._rest:
            self._write(self._rest + b"\n")
        for descriptor in (self._printed, self._ended, self._stderr):
            os.close(descriptor)

    def _pass_on(self) -> bool:
        """Writes the lines that have ended; returns whether there was anything to read."""
        try:
            read = os.read(self._printed, _BLOCK)
        except BlockingIOError:
            return False
        text = self._rest + read
        end = self._find_end(text)
        if len(text) - end > _LONGEST:
            end = len(text)
        self._rest = text[end:]
        self._write(text[:end])
        return bool(read)

    def _write(self, data: bytes) -> None:
        with _writing:
            while data:
                try:
                    data = data[os.write(self._stderr, data) :]
                except BlockingIOError:
                    select.select([], [self._stderr], [])
                except OSError:  # it is closed, and the data is lost
                    return
