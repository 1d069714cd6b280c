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


_alone = Group()
_group: ContextVar[Group] = ContextVar("_group", default=_alone)


def join(group: Group) -> None:
    """Makes what this thread runs from now on part of a group."""
    _group.set(group)


def current() -> Group:
    """Returns the group of this thread; one that was never joined is that of all other threads."""
    return _group.get()


def require_wanted() -> None:
    """Raises if the group of this thread was abandoned.

    Raises:
        AbandonedError: If it was.
    """
    if current().is_abandoned:
        raise AbandonedError
