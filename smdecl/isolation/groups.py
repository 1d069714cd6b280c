"""Groups of processes that are abandoned together, such as those of one sweep."""

from __future__ import annotations

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
        is_abandoned: Whether the group was abandoned.
    """

    running: set[Child] = field(default_factory=set)
    is_abandoned: bool = False


_group: ContextVar[Group | None] = ContextVar("_group", default=None)


def join(group: Group) -> None:
    """Adds all processes that this thread starts from now on to a group."""
    _group.set(group)


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
