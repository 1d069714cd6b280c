"""Groups of processes that are abandoned together, such as those of one sweep."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from smdecl.isolation.server import Child


class AbandonedError(Exception):
    """The group of this thread was abandoned, so its results are not wanted anymore."""


@dataclass(eq=False)
class Group:
    """Processes that are abandoned together, started by the threads of one sweep.

    Attributes:
        running: The processes that run now.
        at_work: The threads that need a core, whether a process of theirs runs now or not.
        is_frugal: Whether each thread should run one process at a time, for lack of memory.
        is_abandoned: Whether the group was abandoned.
    """

    running: set[Child] = field(default_factory=set)
    at_work: set[int] = field(default_factory=set)
    is_frugal: bool = False
    is_abandoned: bool = False

    def busy(self) -> int:
        """Returns the number of cores that are needed, apart from what this thread does itself."""
        here = threading.get_ident()
        threads = [child.thread for child in [*self.running]]
        own = threads.count(here)
        of_others = len(threads) - own - threads.count(None)
        others = len(self.at_work - {here})
        return own + max(of_others, others)


_group: ContextVar[Group | None] = ContextVar("_group", default=None)


def join(group: Group) -> None:
    """Adds all processes that this thread starts from now on to a group."""
    _group.set(group)


@contextmanager
def working() -> Iterator[None]:
    """Counts this thread, which has joined a group, among those at work."""
    group = current()
    thread = threading.get_ident()
    if group is not None:
        group.at_work.add(thread)
    try:
        yield
    finally:
        if group is not None:
            group.at_work.discard(thread)


def current() -> Group | None:
    """Returns the group of this thread; None if it joined none."""
    return _group.get()


def require_wanted() -> None:
    """Raises if the group of this thread was abandoned.

    Raises:
        AbandonedError: If the group was abandoned.
    """
    group = current()
    if group is not None and group.is_abandoned:
        raise AbandonedError
