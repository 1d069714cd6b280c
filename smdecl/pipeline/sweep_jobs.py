"""Decides how many variants of a sweep run at the same time."""

from __future__ import annotations

import functools
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
# The calls of its methods may take any, so few begin before that is known.
_UNMEASURED = 2


@dataclass(frozen=True)
class _Turn:
    """The turn of a thread.

    Attributes:
        end: Ends it.
        built: Takes the memory of the process that has built the object, in bytes.
        measured: Takes the memory of the largest process, in bytes.
    """

    end: Callable[[], None]
    built: Callable[[int], None]
    measured: Callable[[int], None]


_turn: ContextVar[_Turn | None] = ContextVar("_turn", default=None)


def end_turn() -> None:
    """Ends the turn of this thread, to wait for a disk or a store; does nothing without a turn.

    If variants run one at a time, the turn goes on.
    """
    turn = _turn.get()
    if turn is not None:
        turn.end()


def measured(peak: int) -> None:
    """Tells how many variants fit, if that is not known; does nothing without a turn.

    Args:
        peak: The memory of the largest process of this one, in bytes.
    """
    turn = _turn.get()
    if turn is not None:
        turn.measured(peak)


def built(peak: int) -> None:
    """Lets another variant begin if memory is plentiful; does nothing without a turn.

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
    does not suffice for another one too. The memory of the first that succeeds tells how many fit;
    if the first fails, as many as there are cores run until then.

    Args:
        variants: The number of variants.
        chosen: How many the user wants to run at a time; None leaves it to the memory.
        group: The processes of the sweep.
        note: Gets a remark if memory allows fewer variants than there are cores.

    Attributes:
        most: The most variants that can get a turn at the same time.
        allowed: How many may have one now.
        running: How many have one.
    """

    def __init__(
        self,
        variants: int,
        chosen: int | None,
        group: Group,
        note: Callable[[str], object],
    ) -> None:
        self.most = chosen or len(os.sched_getaffinity(0))
        self.allowed = self.most
        self.running = 0
        # The places in the queue that were given out, and how many of them had a turn.
        self._places = 0
        self._begun = 0
        # The place of the one whose memory the others wait for.
        self._first: int | None = None
        # Now, because others use some when the first is measured.
        self._available = memory.available()
        self._changed = threading.Condition()
        self._group = group
        self._note = note
        is_known = self._available < sys.maxsize
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
                if self._measures and self._begun == 0:
                    self._first = place
                self.running += 1
                self._begun += 1
                self._changed.notify_all()  # the next may begin too
            turn.callback(self._end, place)
            groups.require_wanted()  # the sweep may have been interrupted meanwhile
            turn.enter_context(groups.working())

            def end() -> None:
                if self.most > 1:
                    turn.close()

            built = functools.partial(self._built, place)
            token = _turn.set(_Turn(end, built, self.measured))
            try:
                yield
            finally:
                _turn.reset(token)

    def _may_begin(self, place: int) -> bool:
        return place == self._begun and self.running < self.allowed

    def _end(self, place: int) -> None:
        with self._changed:
            self.running -= 1
            if self._measures and place == self._first:
                # It has failed, as all others may.
                self._allow(self.most)
            self._changed.notify_all()

    def _built(self, place: int, peak: int) -> None:
        with self._changed:
            if self._measures and place == self._first:
                most = min(_UNMEASURED, self.most)
                self._allow(fitting(_GROWTH * peak, self._available, most))
                self._changed.notify_all()

    def measured(self, peak: int) -> None:
        """Sets how many variants fit, once the first is verified.

        Args:
            peak: The memory of its largest process, in bytes.
        """
        with self._changed:
            if not self._measures:
                return
            self._measures = False
            available = self._available
            allowed = fitting(peak, available, self.most)
            self._allow(allowed)
            self._changed.notify_all()
        if allowed < self.most:
            self._note(_limited(allowed, peak, available))

    def _allow(self, number: int) -> None:
        self.allowed = number
        # More than one process of a variant would take more memory than was measured.
        self._group.is_frugal = number < self.most


def _limited(number: int, peak: int, available: int) -> str:
    variants = "1 variant runs" if number == 1 else f"{number} variants run"
    each, total = peak / _GIBIBYTE, available / _GIBIBYTE
    return (
        f"{variants} at a time: one takes {each:.1f} GiB of memory,"
        f" and {total:.1f} GiB are available"
    )
