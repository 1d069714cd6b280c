"""Passes on what processes print, so that what others print begins on a new line."""

from __future__ import annotations

import os
import select
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from multiprocessing.connection import Connection

from smdecl.isolation import groups

_STDERR = 2
_BLOCK = 1 << 16  # bytes
_LONGEST = 1 << 20  # bytes of a line that has not ended
# In seconds. Standard error may be a pipe without a reader.
_PATIENCE = 5.0

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

    What a process of a group prints is passed on in whole lines, because others run at the same
    time. Any other process prints at once. It gets standard error itself where progress bars are
    shown, because what shows them also ends the lines.
    """
    # `multiprocessing` passes a file descriptor to a child as a connection. The server cannot
    # pass its own, which may differ from this process's by now.
    is_alone = groups.current() is None
    if is_alone and _shows_bars.get():
        yield Connection(os.dup(_STDERR), readable=False)
        return
    passing_on = at_once if is_alone else whole_lines
    with passing_on() as descriptor:
        yield Connection(descriptor, readable=False)


def whole_lines() -> AbstractContextManager[int]:
    """Yields a descriptor, to be closed by the caller. Its lines go to standard error as they end.

    The last line gets a line end if it has none. All of it is written when the block is left.
    """
    if _shows_bars.get():
        return _passing_on(_end_with_bars)
    return _passing_on(_end)


def at_once() -> AbstractContextManager[int]:
    """Yields a descriptor like `whole_lines`, but passes on what it gets at once."""
    return _passing_on(len)


@contextmanager
def between() -> Iterator[None]:
    """Lets this process print within the block, after the end of a line that others have begun."""
    # If standard error is a pipe without a reader, a thread may hold the lock for ever.
    has_turn = _printing.acquire(timeout=_PATIENCE)
    try:
        if has_turn:
            _end_lines()
        yield
    finally:
        if has_turn:
            _printing.release()


def _end_lines() -> None:
    for lines in list(_active):
        lines.pass_on()
    for lines in _active:
        lines.end_line()


@contextmanager
def _passing_on(find_end: Callable[[bytes], int]) -> Iterator[int]:
    printed, into = os.pipe()
    ended, end = os.pipe()
    os.set_blocking(printed, False)
    stderr = os.dup(_STDERR)
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
        find_end: Returns the length of what can be written already.
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
        self._is_unfinished = False  # what was written last

    def run(self) -> None:
        """Writes lines until the process has ended, then closes the descriptors."""
        # The main thread, which handles signals, may wait for a process.
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        poll = select.poll()
        poll.register(self._printed, select.POLLIN)
        poll.register(self._ended, select.POLLIN)
        with _printing:
            _active.append(self)
        while self._ended not in dict(poll.poll()):
            if self.pass_on() == b"":
                break
        while self.pass_on():
            pass
        with _printing:
            _active.remove(self)
            self._write(self._rest and self._rest + b"\n")
            self.end_line()
        for descriptor in (self._printed, self._ended, self._stderr):
            os.close(descriptor)

    def pass_on(self) -> bytes | None:
        """Writes the lines that have ended.

        Returns:
            What was read: nothing after the end, and None if there is nothing to read now.
        """
        with _printing:
            try:
                read = os.read(self._printed, _BLOCK)
            except BlockingIOError:
                return None
            text = self._rest + read
            end = self._find_end(text)
            if len(text) - end > _LONGEST:
                end = len(text)
            self._rest = text[end:]
            self._write(text[:end])
        return read

    def end_line(self) -> None:
        """Ends the line that was written last, if it has not ended."""
        if self._is_unfinished:
            self._write(b"\n")

    def _write(self, data: bytes) -> None:
        if data:
            for lines in _active:
                lines._is_unfinished = False
            self._is_unfinished = not data.endswith(b"\n")
        while data:
            try:
                data = data[os.write(self._stderr, data) :]
            except BlockingIOError:
                select.select([], [self._stderr], [])
            except OSError:  # it is closed, and the data is lost
                return


# Held while a process prints, because a pipe takes a long line in pieces.
_printing = threading.RLock()
_active: list[_Lines] = []
