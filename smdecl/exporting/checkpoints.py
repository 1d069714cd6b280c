"""Restores checkpoints of TensorFlow, those in SavedModels included."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow as tf

from smdecl.config.settings import Weights
from smdecl.errors import ConfigError, Problem, nearest
from smdecl.exporting import keras_state, matching
from smdecl.exporting.checkpoint_graph import ROOT_NODE, Contents, TrackedObjects, Value
from smdecl.exporting.matching import (
    PATH,
    Match,
    Outcome,
    name_of,
    no_value,
    other_shape,
)
from smdecl.exporting.tensors import is_variable
from smdecl.names import CHECKPOINT_PREFIX

_ROOT = ("weights", "root")
# Such as those of layers in a list or a dict of a subclass of Keras 3.
_UNTRACKED = (
    ": TensorFlow does not track it; expected weights of format keras or keras_weights"
)


def restore(obj: Any, weights: Weights) -> Outcome:
    """Restores the variables, tables and other state of an object from a checkpoint or a SavedModel."""
    in_saved_model = str(Path(weights.path, CHECKPOINT_PREFIX))
    contents = Contents(
        weights.path if weights.format == "checkpoint" else in_saved_model
    )
    objects = TrackedObjects(obj)
    root = _root(objects, contents, weights.root)
    values = objects.values(
        contents, ROOT_NODE if root is None else contents.children()[root]
    )
    misfits = [value for value in values if value.keys and not value.fits]
    if not misfits:
        checkpoint = (
            tf.train.Checkpoint(obj)
            if root is None
            else tf.train.Checkpoint(**{root: obj})
        )
        matching.read(
            contents.prefix, lambda: checkpoint.read(contents.prefix).expect_partial()
        )
    elif weights.expect == "partial":
        # TensorFlow restores all of an object or, at the first shape that does not fit, nothing that can be told.
        for value in values:
            if value.fits:
                matching.read(contents.prefix, contents.assign, value)
    matches = [*_of_values(values), *_untracked(obj, values)]
    if not misfits or weights.expect == "partial":
        matches += keras_state.finalize(obj, contents.prefix)
    return Outcome([*matches, *_beside_variables(obj, contents.prefix)])


def _of_values(values: list[Value]) -> Iterator[Match]:
    matched = [Match(value.name) for value in values if value.fits]
    missing = [Match(value.name, _missing(value)) for value in values if not value.keys]
    misfits = [value for value in values if value.keys and not value.fits]
    yield from (*matched, *missing)
    yield from (
        Match(value.name, other_shape(value.name, value.item, value.shape))
        for value in misfits
    )


def _missing(value: Value) -> str:
    if is_variable(value.item):
        return no_value(value.name, value.item)
    return f"has no value for {value.name}, a {type(value.item).__name__}"


def _untracked(obj: Any, values: list[Value]) -> Iterator[Match]:
    tracked = {id(value.item) for value in values}
    for variable in keras_state.variables_of(obj):
        if id(variable) not in tracked:
            name = name_of(variable)
            yield Match(name, f"{no_value(name, variable)}{_UNTRACKED}")


def _beside_variables(obj: Any, prefix: str) -> Iterator[Match]:
    """Yields what layers of Keras keep beside their variables, which a checkpoint does not hold."""
    yield from keras_state.uncarried_assets(obj, prefix)
    layers = keras_state.layers_of(obj)
    yield from keras_state.lacking(layers)
    yield from keras_state.kept_vocabularies(layers)


def _root(
    objects: TrackedObjects, contents: Contents, wanted: str | None
) -> str | None:
    """Returns the name that a checkpoint holds the object under, as `tf.train.Checkpoint(model=net)` does.

    None means that the object is the root itself.
    """
    children = {
        name: node for name, node in contents.children().items() if node != ROOT_NODE
    }
    if wanted is not None:
        if wanted not in children:
            known = ", ".join(sorted(children)) or "none"
            message = f"unknown root {wanted!r}; expected one of {known}{nearest(wanted, children)}"
            raise ConfigError(Problem(_ROOT, message))
        return wanted
    first_names = {node: name for name, node in sorted(children.items(), reverse=True)}
    counts = {
        name: objects.fitting(contents, node) for node, name in first_names.items()
    }
    own = objects.fitting(contents, ROOT_NODE)
    # Only where no shape fits at all does it matter whose shapes are reported.
    index = 0 if any(fit for fit, _ in (own, *counts.values())) else 1
    most = max((count[index] for count in counts.values()), default=0)
    if own[index] >= most:
        return None
    best = sorted(name for name, count in counts.items() if count[index] == most)
    if len(best) > 1:
        # A model and its moving average are alike: to take one of them by chance could serve the wrong one.
        found = " and ".join(map(repr, best))
        hint = f"expected weights.root to name one, such as ++weights.root={best[0]}"
        raise ConfigError(
            Problem(PATH, f"holds {found}, which fit the model alike; {hint}")
        )
    return best[0]
