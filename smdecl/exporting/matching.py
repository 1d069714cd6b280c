"""The result of restoring weights, and the wording of its problems."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from smdecl.errors import ConfigError, Problem, SmdeclError
from smdecl.exporting import user_code
from smdecl.exporting.tensors import variable_record
from smdecl.exporting.types import Model, Variable
from smdecl.tensor_texts import Dim, shape_text

PATH = ("weights", "path")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Restored:
    """What the weights had a value for.

    Attributes:
        matched: Names of the variables and other states of layers that got a value.
        unmatched: Names of those that did not.
        reference: The model in the file, loaded by its framework; None if the file has only
            weights.
    """

    matched: tuple[str, ...] = ()
    unmatched: tuple[str, ...] = ()
    reference: Model | None = None


@dataclass(frozen=True)
class Match:
    """A variable or other state of a layer, and why the weights did not restore it.

    Attributes:
        name: Such as `hidden/kernel` or `words/vocabulary`; None for what only the weights have.
        problem: Why it was not restored; None if it was.
        is_needed: Whether a partial restore does not help, because nothing works without the value
            or because the config contradicts it.
        is_kept: Whether it keeps its initial value because the format holds none: a warning.
    """

    name: str | None
    problem: str | None = None
    is_needed: bool = False
    is_kept: bool = False


@dataclass(frozen=True)
class Outcome:
    """All matches, and the model in the file if it was loaded and has the object's class."""

    matches: Sequence[Match]
    reference: Model | None = None

    @property
    def record(self) -> Restored:
        """The names that matched and those that did not."""
        matched: list[str] = []
        unmatched: list[str] = []
        for match in self.matches:
            if match.name is None:
                continue
            if match.problem is None and not match.is_kept:
                matched.append(match.name)
            else:
                unmatched.append(match.name)
        return Restored(tuple(matched), tuple(unmatched), self.reference)


def read(path: str, reader: Callable[..., Result], *args: object) -> Result:
    """Returns what `reader(*args)` reads from the weights at `path`.

    Raises:
        ModelError: If the model's own code fails on them.
        ConfigError: If they cannot be read.
    """
    try:
        return reader(*args)
    except SmdeclError:
        raise
    # TensorFlow, Keras and h5py raise many types for broken files.
    except user_code.FAILURES as error:
        frames = traceback.extract_tb(error.__traceback__)
        if any(user_code.is_users(frame.filename) for frame in frames):
            raise user_code.failure(
                PATH, f"restoring {path!r}", error
            ) from error
        message = f"cannot read {path!r}: {user_code.summary(error)}"
        raise ConfigError(Problem(PATH, message)) from error


def name_of(variable: Variable) -> str:
    """Returns the name of a variable, prefixed by those of the layers that hold it."""
    return str(variable_record(variable).name)


def no_value(name: str, variable: Variable) -> str:
    """Returns the problem of weights without a value for a variable."""
    return f"has no value for {name} {shape_text(variable.shape)}"


def other_shape(name: str, variable: Variable, shape: Sequence[Dim]) -> str:
    """Returns the problem of weights with a value of a different shape."""
    own, found = shape_text(variable.shape), shape_text(shape)
    return f"{name} is {own} in the model and {found} in the weights"
