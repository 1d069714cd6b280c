"""Restores TensorFlow checkpoints, including those in SavedModels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import tensorflow as tf

from smdecl.config.settings import Weights
from smdecl.errors import ConfigError, Problem, nearest
from smdecl.exporting.live_objects import keras_models
from smdecl.exporting.live_objects.tensors import is_variable
from smdecl.exporting.restoring import (
    exchanged_values,
    keras_archives,
    keras_hooks,
    keras_state,
    matching,
    renamed,
    unused_values,
)
from smdecl.exporting.restoring.checkpoint_graph import (
    ROOT_NODE,
    Contents,
    Fit,
    Place,
    TrackedObjects,
    Value,
)
from smdecl.exporting.restoring.matching import (
    PATH,
    Cause,
    Match,
    Outcome,
    absent,
    name_of,
    no_value,
    other_shape,
)
from smdecl.exporting.types import Model, Trackable, Variable
from smdecl.names import CHECKPOINT_PREFIX

_ROOT = ("weights", "root")
# Such as the variables of layers in a list or dict of a Keras 3 subclass.
_UNTRACKED = "TensorFlow does not track it; expected weights of format keras or keras_weights"


def restore(obj: Trackable, weights: Weights) -> Outcome:
    """Restores the variables, tables and other states of an object from a checkpoint.

    With the format `saved_model`, it is the checkpoint in a SavedModel.
    """
    contents = Contents(_prefix(weights))
    objects = TrackedObjects(obj)
    root = _root(objects, contents, weights.root)
    node = ROOT_NODE if root is None else contents.children()[root]
    values = objects.values(contents, node)
    if _is_archive(obj, contents, weights, values):
        return Outcome([*_from_archive(obj, contents, values)])
    fits = not any(value.is_misfit for value in values)
    if fits:
        _restore_all(obj, root, contents.prefix)
    elif weights.expect == "partial":
        _restore_fitting(contents, values)
    why = renamed.explanations(contents, node, values)
    matches = [*_matches(values, why), *_untracked(obj, values)]
    if fits or weights.expect == "partial":
        matches += keras_hooks.finalize(obj, contents.prefix)
    matches += _states_without_variables(obj, contents.prefix)
    matches += exchanged_values.in_checkpoint(obj, values)
    return Outcome(matches, part=root)


def restore_late(
    obj: Trackable,
    weights: Weights,
    part: str | None,
    late: Mapping[int, Variable],
) -> list[Match]:
    """Restores the variables that an object has created since its weights were restored.

    Args:
        obj: The object.
        weights: The weights.
        part: The name of the object in the checkpoint; None for its root.
        late: The variables by their identity.

    Returns:
        A match for each of them, and for each value that the object still has no variable for.
    """
    contents = Contents(_prefix(weights))
    objects = TrackedObjects(obj)
    node = ROOT_NODE if part is None else contents.children()[part]
    values = objects.values(contents, node)
    if _is_archive(obj, contents, weights, values):
        return [matching.late(variable) for variable in late.values()]
    found = [value for value in values if id(value.item) in late]
    _restore_fitting(contents, found)
    present = [value for value in found if value.keys]
    known = {id(value.item) for value in present}
    others = [matching.late(late[key]) for key in late if key not in known]
    unused = unused_values.find(objects, contents, node)
    return [*_matches(present, {}), *others, *unused]


def _is_archive(
    obj: Trackable,
    contents: Contents,
    weights: Weights,
    values: Sequence[Value],
) -> bool:
    """Returns whether the checkpoint has the variables of a Keras model, but not its layers."""
    if weights.root is not None or not keras_models.is_model(obj):
        return False
    has_layers = any(value.keys for value in values)
    return not has_layers and keras_archives.is_archive(contents)


def _from_archive(
    obj: Model, contents: Contents, values: Sequence[Value]
) -> Iterator[Match]:
    restored = keras_archives.restore(obj, contents)
    yield from (Match(name_of(variable)) for variable in restored)
    known = keras_archives.training_state(obj) | set(map(id, restored))
    yield from _matches(
        [each for each in values if id(each.item) not in known], {}
    )
    yield from keras_hooks.finalize(obj, contents.prefix)
    yield from _states_without_variables(obj, contents.prefix)


def _prefix(weights: Weights) -> str:
    if weights.format == "checkpoint":
        return weights.path
    return str(Path(weights.path, CHECKPOINT_PREFIX))


def _restore_all(obj: Trackable, root: str | None, prefix: str) -> None:
    if root is None:
        checkpoint = tf.train.Checkpoint(obj)
    else:
        checkpoint = tf.train.Checkpoint(**{root: obj})
    matching.read(prefix, lambda: checkpoint.read(prefix).expect_partial())


def _restore_fitting(contents: Contents, values: Sequence[Value]) -> None:
    # TensorFlow itself would stop at the first shape that does not fit, without telling what it
    # has restored.
    for value in values:
        if value.fits:
            matching.read(contents.prefix, contents.assign, value)


def _matches(values: Sequence[Value], why: Mapping[Place, str]) -> list[Match]:
    """Returns the match of each value: those that fit, then missing ones, then misfits.

    Args:
        values: The values.
        why: The explanation of missing ones, by their places.
    """
    matched = [Match(value.name) for value in values if value.fits]
    missing = [
        _missing(value, why.get(value.place))
        for value in values
        if not value.keys
    ]
    misfits = [
        other_shape(value.name, value.item, value.shape or ())
        for value in values
        if value.is_misfit
    ]
    return [*matched, *missing, *misfits]


def _missing(value: Value, why: str | None) -> Match:
    if why is not None:
        return Match(value.name, f"{no_value(value.name, value.item)}{why}")
    if is_variable(value.item):
        return absent(value.name, value.item)
    kind = type(value.item).__name__
    message = f"has no value for {value.name}, a {kind}"
    return Match(value.name, message, Cause.ABSENT)


def _untracked(obj: Trackable, values: Sequence[Value]) -> Iterator[Match]:
    """Yields the variables of Keras layers that TensorFlow does not track."""
    tracked = {id(value.item) for value in values}
    for variable in keras_state.variables_of(obj):
        if id(variable) not in tracked:
            name = name_of(variable)
            yield Match(name, f"{no_value(name, variable)}: {_UNTRACKED}")


def _states_without_variables(obj: Trackable, prefix: str) -> Iterator[Match]:
    """Yields the states of Keras layers that a checkpoint cannot hold."""
    yield from keras_hooks.missing_assets(obj, prefix)
    layers = keras_state.layers_of(obj)
    yield from keras_state.lacking(layers)
    yield from keras_state.kept_vocabularies(layers)


def _root(
    objects: TrackedObjects,
    contents: Contents,
    wanted: str | None,
) -> str | None:
    """Returns the name of the object in the checkpoint, such as `model`.

    `tf.train.Checkpoint(model=net)` adds that name. None means that the object is the root itself.

    Raises:
        ConfigError: If `wanted` is unknown, or several names fit equally well.
    """
    children = {
        name: node
        for name, node in contents.children().items()
        if node != ROOT_NODE
    }
    if wanted is None:
        return _best_root(objects, contents, children)
    if wanted not in children:
        known = ", ".join(sorted(children)) or "none"
        expected = f"expected one of {known}{nearest(wanted, children)}"
        raise ConfigError(
            Problem(_ROOT, f"unknown root {wanted!r}; {expected}")
        )
    return wanted


def _best_root(
    objects: TrackedObjects,
    contents: Contents,
    children: dict[str, int],
) -> str | None:
    first_names = {
        node: name for name, node in sorted(children.items(), reverse=True)
    }
    fits = {
        name: objects.fit(contents, node) for node, name in first_names.items()
    }
    own = objects.fit(contents, ROOT_NODE)
    has_fitting = any(fit.fitting for fit in (own, *fits.values()))

    def score(fit: Fit) -> int:
        # If no shape fits at all, the names decide whose shapes are reported.
        return fit.fitting if has_fitting else fit.present

    most = max(map(score, fits.values()), default=0)
    if score(own) >= most:
        return None
    best = sorted(name for name, fit in fits.items() if score(fit) == most)
    if len(best) > 1:
        # A model and its moving average fit equally well: any choice may serve the wrong one.
        found = " and ".join(map(repr, best))
        hint = f"set weights.root to one of them, such as ++weights.root={best[0]}"
        message = f"holds {found}, which fit the model equally well; {hint}"
        raise ConfigError(Problem(PATH, message))
    return best[0]
