"""Replaces functions of TensorFlow and Keras that are as this version of smdecl expects them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import ModuleType

from smdecl.exporting import keras_patches
from smdecl.exporting.types import Function


@dataclass(frozen=True)
class Patch:
    """Replaces one function.

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
        return keras_patches.attribute_set(
            self.owner, self.name, self.replacement(own)
        )
