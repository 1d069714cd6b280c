"""Restores weights into a built object and reports which of its variables got a value."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace

import tensorflow as tf

from smdecl.checks.weights.weights_formats import (
    FORMATS,
    OTHER_ARGUMENTS,
    RESTORING_LESS,
)
from smdecl.config.settings import Weights
from smdecl.errors import ConfigError, Problem, SmdeclError
from smdecl.exporting.live_objects import keras_models, objects
from smdecl.exporting.live_objects.tensors import is_variable
from smdecl.exporting.restoring import (
    checkpoints,
    keras_files,
    keras_state,
    matching,
)
from smdecl.exporting.restoring.keras_files import Loaded
from smdecl.exporting.restoring.matching import (
    PATH,
    Cause,
    Match,
    Outcome,
    Restored,
)
from smdecl.exporting.types import Trackable, Variable

_WHOLE_MODEL = "keras"
_SEED = "/seed_generator_state"
_MOST = 20  # problems to list; a deep model has hundreds of variables


def restore(
    obj: Trackable, weights: Weights | None, loaded: Loaded | None = None
) -> Restored:
    """Restores `weights` into `obj`.

    Args:
        obj: The object.
        weights: What to restore; None for nothing.
        loaded: What `restore_before_build` returned.

    Raises:
        ConfigError: If `expect: full` is not met, with the variables that did not match; if the
            format does not fit the object, or the file cannot be read.
        ModelError: If the model's own code fails on the weights.
    """
    if weights is None:
        return Restored()
    is_unbuilt = keras_models.is_model(obj) and not obj.built
    # Layers such as Dropout have the state of a seed generator before they are built.
    if is_unbuilt and not keras_state.variables_of(obj):
        raise matching.unbuilt(obj)
    if FORMATS[weights.format].is_keras and not keras_models.is_model(obj):
        raise ConfigError(
            _of_attribute(obj, weights) or _not_keras(obj, weights)
        )
    if loaded is None:
        outcome = RESTORERS[weights.format](obj, weights)
    else:
        outcome = keras_files.restore_loaded(obj, weights, loaded)
    record = outcome.record
    problems = [
        match for match in outcome.matches if match.problem is not None
    ]
    has_matches = _has_matches(record)
    if not has_matches and not problems and _is_unbuilt(obj, weights):
        return record
    if not has_matches and not problems:
        problems = [_nothing(obj, weights)]
    if not has_matches:
        of_attribute = _of_attribute(obj, weights)
        raise ConfigError(of_attribute or _with_hint(problems, has_matches))
    _require(problems, weights)
    return record


def _is_unbuilt(obj: Trackable, weights: Weights) -> bool:
    """Returns whether a `tf.Module` creates its variables when a method is called."""
    is_keras = FORMATS[weights.format].is_keras or keras_models.is_model(obj)
    return not is_keras and not variables_of(obj)


def _require(problems: Sequence[Match], weights: Weights) -> None:
    """Refuses weights by what they restore.

    Raises:
        ConfigError: If they do not meet `expect`, or values would go to the wrong variables.
    """
    exchanged = [each for each in problems if each.cause is Cause.EXCHANGED]
    if exchanged:
        raise ConfigError(_with_hint(exchanged, has_matches=True))
    if problems and weights.expect == "full":
        raise ConfigError(_with_hint(problems, has_matches=True))


def restore_late(
    obj: Trackable,
    weights: Weights,
    restored: Restored,
    known: Collection[int],
) -> Restored:
    """Restores the variables that an object has created since its weights were restored.

    A `tf.Module` may create variables when a method is traced.

    Args:
        obj: The object.
        weights: The weights.
        restored: What was restored before.
        known: The identities of the variables that existed then.

    Returns:
        What has been restored in all.

    Raises:
        ConfigError: If `expect: full` is not met.
    """
    late = {
        key: variable
        for key, variable in variables_of(obj).items()
        if key not in known
    }
    if FORMATS[weights.format].is_keras:
        matches = [matching.late(variable) for variable in late.values()]
    else:
        matches = checkpoints.restore_late(obj, weights, restored.part, late)
    found = Outcome(matches).record
    if not _has_matches(found) and not restored.matched:
        matches.append(_nothing(obj, weights))
    problems = [match for match in matches if match.problem is not None]
    _require(problems, weights)
    return replace(
        restored,
        matched=(*restored.matched, *found.matched),
        unmatched=(*restored.unmatched, *found.unmatched),
        reasons={**restored.reasons, **found.reasons},
        unused=(*restored.unused, *found.unused),
    )


def variables_of(obj: Trackable) -> dict[int, Variable]:
    """Returns the variables of an object by their identity, without states of seed generators."""
    found = [*filter(is_variable, objects.tracked(obj))]
    if keras_models.is_model(obj):
        found += keras_state.variables_of(obj)
    return {id(variable): variable for variable in found}


def _nothing(obj: Trackable, weights: Weights) -> Match:
    kind = type(obj).__name__
    return Match(
        None, f"nothing in {weights.path!r} matches a variable of {kind}"
    )


def restore_before_build(
    obj: Trackable, weights: Weights | None
) -> Loaded | None:
    """Restores what an unbuilt model needs for its first call from a whole-model file.

    Returns:
        What it loaded, for `restore`; None for nothing.

    Raises:
        ConfigError: If that does not fit the model, or the file cannot be read.
        ModelError: If the model's own code fails on it.
    """
    if weights is None or weights.format != _WHOLE_MODEL:
        return None
    return keras_files.restore_before_build(obj, weights)


def _has_matches(record: Restored) -> bool:
    """Returns whether anything matched that identifies the model."""
    if not record.unmatched:
        return bool(record.matched)
    # The states of seed generators have the same shape in the file of any Keras model.
    return any(not name.endswith(_SEED) for name in record.matched)


def _not_keras(obj: Trackable, weights: Weights) -> Problem:
    others = " or ".join(
        row.name for row in FORMATS.values() if not row.is_keras
    )
    message = (
        f"{weights.format} requires a Keras model, got a {type(obj).__name__};"
        f" expected {others}"
    )
    return Problem(("weights", "format"), message)


def _of_attribute(obj: Trackable, weights: Weights) -> Problem | None:
    """Returns the problem of weights that fit exactly one attribute of an object, not the object.

    To find the attribute, it restores the weights into each: use the object no more.
    """
    fitting = {
        id(part): name
        for name, part in sorted(_parts(obj, weights))
        if _fits(part, weights)
    }
    expected = FORMATS[weights.format].of_attribute
    if len(fitting) != 1 or not expected:
        return None
    (name,) = fitting.values()
    kind = type(obj).__name__
    expected = expected.format(name=name, kind=kind, path=weights.path)
    message = (
        f"{weights.path!r} fits {kind}.{name}, but not {kind}; {expected}"
    )
    return Problem(PATH, message)


def _parts(
    obj: Trackable, weights: Weights
) -> Iterator[tuple[str, Trackable]]:
    """Yields the attributes of an object that weights in this format can belong to."""
    for name, part in tf.train.TrackableView(obj).children(obj).items():
        is_attribute = getattr(obj, name, None) is part
        is_public = not name.startswith("_")
        if is_attribute and is_public and _may_have(part, weights):
            yield name, part


def _may_have(part: Trackable, weights: Weights) -> bool:
    """Returns whether weights in this format can belong to an object."""
    if keras_models.is_model(part):
        # Only files of Keras 3 can be loaded as an argument.
        is_loadable = not keras_models.is_legacy(part)
        return weights.format != _WHOLE_MODEL or is_loadable
    is_keras = FORMATS[weights.format].is_keras
    return isinstance(part, tf.Module) and not is_keras


def _fits(part: Trackable, weights: Weights) -> bool:
    try:
        outcome = RESTORERS[weights.format](part, weights)
    except SmdeclError:
        return False
    has_problems = any(match.problem for match in outcome.matches)
    return not has_problems and _has_matches(outcome.record)


def _with_hint(matches: Sequence[Match], has_matches: bool) -> list[Problem]:
    """Returns the problems; the hint is the same for all, so only the first has it."""
    hint = _hint(matches, has_matches)
    problems = []
    for match in matches[:_MOST]:
        problems.append(Problem(PATH, f"{match.problem}{hint}"))
        hint = ""
    left = len(matches) - len(problems)
    if left:
        problems.append(Problem(PATH, f"and {left} more like these"))
    return problems


def _hint(matches: Sequence[Match], has_matches: bool) -> str:
    causes = {match.cause for match in matches}
    absent = [match for match in matches if match.cause is Cause.ABSENT]
    has_renamed = len({match.name is None for match in absent}) > 1
    if Cause.SHAPE in causes or has_renamed:
        # To restore less would release a model of which most values are random.
        return OTHER_ARGUMENTS
    if has_matches and causes == {Cause.ABSENT}:
        return RESTORING_LESS
    return ""


# How to restore each row of `weights_formats.FORMATS`.
RESTORERS: dict[str, Callable[[Trackable, Weights], Outcome]] = {
    "checkpoint": checkpoints.restore,
    "saved_model": checkpoints.restore,
    "keras_weights": keras_files.restore_weights,
    "keras": keras_files.restore_model,
}
