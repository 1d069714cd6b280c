"""Replaces attributes of classes and modules of other libraries while a context is active."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from types import ModuleType

from smdecl.exporting.types import Function, PythonValue


@contextmanager
def attribute_set(
    kind: type | ModuleType, name: str, value: PythonValue
) -> Iterator[None]:
    """Sets an attribute of a class or module while the context is active."""
    own = vars(kind).get(name)
    setattr(kind, name, value)
    try:
        yield
    finally:
        if own is None:
            delattr(kind, name)
        else:
            setattr(kind, name, own)


@dataclass(frozen=True)
class Patch:
    """Replaces one function, if it is as this version of smdecl expects it.

    Attributes:
        owner: The class or module that has the function.
        name: Its name there.
        parameters: The names of its parameters.
        replacement: From the function to its replacement.
    """

    owner: type | ModuleType
    name: str
    parameters: tuple[str, ...]
    replacement: Callable[[Function], Function]

    def fits(self) -> bool:
        """Returns whether the installed release has the function as it is expected."""
        own = getattr(self.owner, self.name, None)
        if own is None:
            return False
        return tuple(inspect.signature(own).parameters) == self.parameters

    def applied(self) -> AbstractContextManager[None]:
        """Replaces the function while the context is active."""
        own = getattr(self.owner, self.name)
        return attribute_set(self.owner, self.name, self.replacement(own))
