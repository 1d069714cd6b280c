"""Remembers which modules the server of an export has imported.

Python counts references in the objects themselves, so a fork that looks at a module copies its
memory. TensorFlow has thousands of modules. A fork therefore looks only at those that it has
imported itself.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Container
from dataclasses import dataclass


@dataclass
class _Noted:
    """The modules that the server has imported.

    Attributes:
        names: Their names; none outside the server and its forks.
        last: The name of the last one.
    """

    names: frozenset[str] = frozenset()
    last: str = ""


_noted = _Noted()


def note() -> None:
    """Notes the modules imported so far; called once, in the server."""
    names = [*sys.modules]
    _noted.names = frozenset(names)
    _noted.last = names[-1]


def later() -> list[str]:
    """Returns the names of the modules imported since `note`; of all, if it was not called."""
    # The dict has the names in the order of the imports.
    added = itertools.takewhile(
        lambda name: name != _noted.last, reversed(sys.modules)
    )
    return [*added][::-1]


@dataclass(frozen=True)
class Snapshot(Container[str]):
    """The names of the modules that were imported at one time."""

    names: frozenset[str]

    @classmethod
    def take(cls) -> Snapshot:
        """Returns the modules that are imported now."""
        return cls(frozenset(later()))

    def __contains__(self, name: object) -> bool:
        return name in self.names or name in _noted.names
