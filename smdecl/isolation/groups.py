"""Groups of processes that are abandoned together, such as those of one sweep."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field

from smdecl.isolation.server import Child


class AbandonedError(Exception):
    """What was run is not wanted any more."""


@dataclass(eq=False)
class Group:
    """Processes that are abandoned together: those that the threads of one sweep run."""

    running: set[Child] = field(default_factory=set)
    is_abandoned: bool = False


_group: ContextVar[Group | None] = ContextVar("_group", default=None)


def join(group: Group) -> None:
    """Makes what this thread runs from now on part of a group."""
    _group.set(group)


def current() -> Group | None:
    """Returns the group of this thread; None if it joined none."""
    return _group.get()


def require_wanted() -> None:
    """Raises if the group of this thread was abandoned.

    Raises:
        AbandonedError: If it was.
    """
    group = current()
    if group is not None and group.is_abandoned:
        raise AbandonedError
