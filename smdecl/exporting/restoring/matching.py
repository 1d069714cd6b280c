"""The result of restoring weights, and the wording of its problems."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from smdecl.errors import ConfigError, Problem, SmdeclError
from smdecl.exporting import user_code
from smdecl.exporting.live_objects.tensors import variable_record
from smdecl.exporting.types import Model, Variable
from smdecl.isolation import reports
from smdecl.tensor_texts import Dim, shape_text

PATH = ("weights", "path")
_TARGET = ("model", "_target_")
_LATE = ": the model creates it only when it is called, after its weights are restored"
Result = TypeVar("Result")


@dataclass(frozen=True)
class Restored:
    """What the weights had a value for.

    Attributes:
        matched: Names of the variables and other states of layers that got a value.
        unmatched: Names of those that did not.
        reasons: Why not, for each of these that the weights should have a value for.
        reference: The model in the file, loaded by its framework; None if the file has only
            weights.
        part: The name of the object in a checkpoint that was restored; None for its root.
        unused: What the weights have that the model does not have.
    """

    matched: tuple[str, ...] = ()
    unmatched: tuple[str, ...] = ()
    reasons: dict[str, str] = field(default_factory=dict)
    reference: Model | None = None
    part: str | None = None
    unused: tuple[str, ...] = ()


class Cause(enum.Enum):
    """Why weights do not fit a model."""

    ABSENT = "the model or the weights do not have it"
    SHAPE = "the weights have it in a different shape"
    EXCHANGED = "the value belongs to a different variable"
    OTHER = "its problem says why, and what to do"


@dataclass(frozen=True)
class Match:
    """A variable or other state of a layer, and why the weights did not restore it.

    Attributes:
        name: Such as `hidden/kernel` or `words/vocabulary`; None for what only the weights have.
        problem: Why it was not restored; None if it was.
        cause: The kind of the problem.
        is_kept: Whether it keeps its initial value because the format holds none: a warning.
    """

    name: str | None
    problem: str | None = None
    cause: Cause = Cause.OTHER
    is_kept: bool = False


@dataclass(frozen=True)
class Outcome:
    """What a restorer of a weights format did; `record` is what an export keeps of it.

    Attributes:
        matches: Each variable and other state of a layer, and what only the weights have.
        reference: The model in the file, if it was loaded and has the object's class.
        part: As for `Restored`.
    """

    matches: Sequence[Match]
    reference: Model | None = None
    part: str | None = None

    @property
    def record(self) -> Restored:
        """The names that matched and those that did not."""
        matched: list[str] = []
        unmatched: list[str] = []
        reasons: dict[str, str] = {}
        unused: list[str] = []
        for match in self.matches:
            if match.name is None:
                unused.append(match.problem or "")
                continue
            if match.problem is None and not match.is_kept:
                matched.append(match.name)
            else:
                unmatched.append(match.name)
            if match.problem is not None:
                reasons[match.name] = match.problem
        return Restored(
            tuple(matched),
            tuple(unmatched),
            reasons,
            self.reference,
            self.part,
            tuple(unused),
        )


def read(path: str, reader: Callable[..., Result], *args: object) -> Result:
    """Returns what `reader(*args)` reads from the weights at `path`.

    Raises:
        ModelError: If the model's own code fails on them.
        ConfigError: If they cannot be read.
    """
    reports.running(PATH, f"restoring {path!r}")
    try:
        return reader(*args)
    except SmdeclError:
        raise
    # TensorFlow, Keras and h5py raise many types for broken files.
    except user_code.FAILURES as error:
        frames = user_code.extracted(error)
        if any(user_code.is_users(frame.filename) for frame in frames):
            raise user_code.failure(
                PATH, f"restoring {path!r}", error
            ) from error
        message = f"cannot read {path!r}: {user_code.summary(error)}"
        raise ConfigError(Problem(PATH, message)) from error


def unbuilt(model: Model) -> ConfigError:
    """Returns the error of a Keras model that creates its variables only when it is built."""
    name = type(model).__name__
    count = len(model.variables)
    if count == 0:
        found = f"{name} has no variables yet to restore into"
    else:
        noun = "variable" if count == 1 else "variables"
        found = (
            f"{name} is not built and has only {count} {noun} to restore into"
        )
    return ConfigError(Problem(_TARGET, f"{found}; {_HOW_TO_BUILD}"))


_HOW_TO_BUILD = (
    "declare the inputs of a signature, so that smdecl can build it, or build it in its"
    " constructor or a factory: by self.build(input_shape), or by calling it once"
)


def name_of(variable: Variable) -> str:
    """Returns the name of a variable, prefixed by those of the layers that hold it."""
    return str(variable_record(variable).name)


def no_value(name: str, variable: Variable) -> str:
    """Returns the problem of weights without a value for a variable."""
    return f"has no value for {name} {shape_text(variable.shape)}"


def absent(name: str, variable: Variable, why: str = "") -> Match:
    """Returns the match of a variable that weights have no value for."""
    return Match(name, f"{no_value(name, variable)}{why}", Cause.ABSENT)


def late(variable: Variable) -> Match:
    """Returns the match of a variable without a value that was created after the restore."""
    return absent(name_of(variable), variable, _LATE)


def other_shape(name: str, variable: Variable, shape: Sequence[Dim]) -> Match:
    """Returns the match of a variable that weights have a value of a different shape for."""
    own, found = shape_text(variable.shape), shape_text(shape)
    message = f"{name} is {own} in the model and {found} in the weights"
    return Match(name, message, Cause.SHAPE)


def not_in_model(name: str, shape: Sequence[Dim]) -> Match:
    """Returns the match of a value that the model has no variable for."""
    message = f"{name} {shape_text(shape)} is not in the model"
    return Match(None, message, Cause.ABSENT)
