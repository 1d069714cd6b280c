"""What restoring weights came to, and how its problems are worded."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from smdecl.errors import ConfigError, Problem, SmdeclError
from smdecl.exporting import user_code
from smdecl.exporting.tensors import variable_record
from smdecl.tensor_texts import shape_text

PATH = ("weights", "path")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Restored:
    """What the weights had a value for.

    Attributes:
        matched: Names of the object's variables, and of other state of its layers, that got a value from the weights.
        unmatched: Names of those that did not.
        reference: The model that a file holds, loaded by its framework; None where the file holds weights alone.
    """

    matched: tuple[str, ...] = ()
    unmatched: tuple[str, ...] = ()
    reference: Any = None


@dataclass(frozen=True)
class Match:
    """A variable, or another part of a layer's state, and why the weights did not restore it.

    Attributes:
        name: Such as `hidden/kernel` or `words/vocabulary`; None for what only the weights have.
        problem: None where it was restored.
        is_needed: Whether a partial restore is no remedy: nothing computes without it, or the config contradicts it.
        is_kept: Whether it has the value that it was built with, because the format holds none: a warning.
    """

    name: str | None
    problem: str | None = None
    is_needed: bool = False
    is_kept: bool = False


@dataclass(frozen=True)
class Outcome:
    """What restoring came to, and the model that the file holds, where it was loaded and is of the object's class."""

    matches: Sequence[Match]
    reference: Any = None

    @property
    def record(self) -> Restored:
        """The names of what matched and of what did not."""
        matched: list[str] = []
        unmatched: list[str] = []
        for match in self.matches:
            if match.name is not None:
                is_restored = match.problem is None and not match.is_kept
                (matched if is_restored else unmatched).append(match.name)
        return Restored(tuple(matched), tuple(unmatched), self.reference)


def read(path: str, reader: Callable[..., Result], *args: Any) -> Result:
    """Returns what `reader(*args)` reads from the weights at `path`.

    Raises:
        ModelError: Where the model's own code fails on them.
        ConfigError: Where they cannot be read.
    """
    try:
        return reader(*args)
    except SmdeclError:
        raise
    except Exception as error:  # what a broken file makes TensorFlow, Keras or h5py raise is of many types
        frames = traceback.extract_tb(error.__traceback__)
        if any(user_code.is_users(frame.filename) for frame in frames):
            raise user_code.failure(PATH, f"restoring {path!r}", error) from error
        raise ConfigError(
            Problem(PATH, f"{path!r} cannot be read: {user_code.summary(error)}")
        ) from error


def name_of(variable: Any) -> str:
    """Returns the name of a variable, with those of the layers that hold it."""
    return str(variable_record(variable).name)


def no_value(name: str, variable: Any) -> str:
    """Says that the weights have no value for a variable."""
    return f"has no value for {name} {shape_text(variable.shape)}"


def other_shape(name: str, variable: Any, shape: Any) -> str:
    """Says that the weights have a value of a different shape."""
    return f"{name} is {shape_text(variable.shape)} in the model and {shape_text(shape)} in the weights"
