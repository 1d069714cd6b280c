"""Decides how many variants of a sweep run at the same time."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import (
    AbstractContextManager,
    ExitStack,
    contextmanager,
)
from contextvars import ContextVar
from dataclasses import dataclass

from smdecl.isolation import groups, memory
from smdecl.isolation.groups import Group

_GIBIBYTE = 1 << 30

# After it is built, an object may still take several times as much memory, to be saved and loaded.
_GROWTH = 4


@dataclass(frozen=True)
class _Turn:
    """The turn of a thread.

    Attributes:
        end: Ends it.
        built: Takes the memory of the process that has built the object, in bytes.
    """

    end: Callable[[], None]
    built: Callable[[int], None]


_turn: ContextVar[_Turn | None] = ContextVar("_turn", default=None)


def end_turn() -> None:
    """Ends the turn of this thread, for what needs no core anymore; does nothing without a turn."""
    turn = _turn.get()
    if turn is not None:
        turn.end()


def built(peak: int) -> None:
    """Lets other variants begin if memory is plentiful; does nothing without a turn.

    Args:
        peak: The memory of the process that has built the object, in bytes.
    """
    turn = _turn.get()
    if turn is not None:
        turn.built(peak)


def fitting(peak: int, available: int, cores: int) -> int:
    """Returns how many variants run at the same time.

    Args:
        peak: The memory that one takes, in bytes.
        available: The memory that is available, in bytes.
        cores: The most that run at the same time.
    """
    return max(1, min(cores, available // max(1, peak)))


class Jobs:
    """Gives a turn to as many variants at a time as fit into memory.

    The first variant runs alone until its object is built, and longer if four times that memory
    does not suffice for others too. The memory of the first that succeeds tells how many fit; if
    the first fails, as many as there are cores run until then.

    Args:
        variants: The number of variants.
        chosen: How many the user wants to run at a time; None leaves it to the memory.
        group: The processes of the sweep.
        note: Gets a remark if memory allows fewer variants than there are cores.

    Attributes:
        most: The most variants that can get a turn at the same time.
    """

    def __init__(
        self,
        variants: int,
        chosen: int | None,
        group: Group,
        note: Callable[[str], object],
    ) -> None:
        self.most = chosen or len(os.sched_getaffinity(0))
        self._allowed = self.most
        self._running = 0
        # The places in the queue that were given out, and how many of them had a turn.
        self._places = 0
        self._begun = 0
        # In bytes, to all variants together; 0 until the first is built.
        self._available = 0
        self._changed = threading.Condition()
        self._group = group
        self._note = note
        is_known = memory.available() < sys.maxsize
        self._measures = (
            chosen is None and is_known and min(variants, self.most) > 1
        )
        if self._measures:
            self._allow(1)

    def turn(self) -> AbstractContextManager[None]:
        """Takes the next place in the queue, because variants begin in the order of the calls.

        Returns:
            Waits for the turn, which lasts until the end of the block or `end_turn`.
        """
        with self._changed:
            place = self._places
            self._places += 1
        return self._turn(place)

    @contextmanager
    def _turn(self, place: int) -> Iterator[None]:
        with ExitStack() as turn:
            with self._changed:
                self._changed.wait_for(lambda: self._may_begin(place))
                self._running += 1
                self._begun += 1
                self._changed.notify_all()  # the next may begin too
            turn.callback(self._end)
            groups.require_wanted()  # the sweep may have been interrupted meanwhile
            turn.enter_context(groups.working())

            def end() -> None:
                if not self._measures:  # else the others wait for `measured`
                    turn.close()

            token = _turn.set(_Turn(end, self._built))
            try:
                yield
            finally:
                _turn.reset(token)

    def _may_begin(self, place: int) -> bool:
        return place == self._begun and self._running < self._allowed

    def _end(self) -> None:
        with self._changed:
            self._running -= 1
            if self._measures:  # it has failed, as all others may
                self._allow(self.most)
            self._changed.notify_all()

    def _built(self, peak: int) -> None:
        with self._changed:
            if self._measures and self._running == 1:
                self._available = memory.available() + peak
                needed = _GROWTH * peak
                self._allow(fitting(needed, self._available, self.most))
                self._changed.notify_all()

    def measured(self, peak: int) -> None:
        """Sets how many variants fit, once the first has succeeded.

        Args:
            peak: The memory of its largest process, in bytes.
        """
        with self._changed:
            if not self._measures:
                return
            self._measures = False
            # Others that run already may use some by now.
            available = self._available or memory.available()
            self._allow(fitting(peak, available, self.most))
            self._changed.notify_all()
        if self._allowed < self.most:
            self._note(_limited(self._allowed, peak, available))

    def _allow(self, number: int) -> None:
        self._allowed = number
        # More than one process of a variant would take more memory than was measured.
        self._group.is_frugal = number < self.most


def _limited(number: int, peak: int, available: int) -> str:
    variants = "1 variant runs" if number == 1 else f"{number} variants run"
    each, total = peak / _GIBIBYTE, available / _GIBIBYTE
    return (
        f"{variants} at a time: one takes {each:.1f} GiB of memory,"
        f" and {total:.1f} GiB are available"
    )
