"""Restores weights into a built object, and tells which of its variables they had a value for."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.core.protobuf import trackable_object_graph_pb2

from smdecl import usercode
from smdecl.config import Weights
from smdecl.errors import ConfigError, ModelError, Problem

_PATH = ("weights", "path")
_OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"


@dataclass(frozen=True)
class Restored:
    """Names of the object's variables that got a value from the weights, and of those that did not."""

    matched: tuple[str, ...] = ()
    unmatched: tuple[str, ...] = ()


def restore(obj: Any, weights: Weights | None) -> Restored:
    """Restores `weights` into `obj`.

    Raises:
        ConfigError: Where `expect: full` is not met, with every variable that did not match; or where the format does
            not fit the object.
        ModelError: Where the file itself cannot be read.
    """
    if weights is None:
        return Restored()
    problems, restored = _FORMATS[weights.format](obj, weights)
    if not restored.matched and not problems:
        problems = [f"nothing in {weights.path!r} matches a variable of {type(obj).__name__}"]
    if problems and (weights.expect == "full" or not restored.matched):
        hint = "; weights.expect=partial takes what does match" if restored.matched else ""
        raise ConfigError([Problem(_PATH, problem + hint) for problem in problems])
    return restored


def _read(path: str, read: Callable[[], Any]) -> Any:
    try:
        return read()
    except Exception as error:  # what a broken file makes TensorFlow, Keras or h5py raise is of many types
        raise ModelError(Problem(_PATH, f"{path!r} cannot be read: {usercode.summary(error)}")) from error


def _from_checkpoint(obj: Any, weights: Weights) -> tuple[list[str], Restored]:
    prefix = weights.path if weights.format == "checkpoint" else str(Path(weights.path, "variables", "variables"))
    reader = _read(prefix, lambda: tf.train.load_checkpoint(prefix))
    if not reader.has_tensor(_OBJECT_GRAPH):
        raise ConfigError(Problem(_PATH, f"{prefix!r} is no object-based checkpoint; takes one of tf.train.Checkpoint"))
    graph = trackable_object_graph_pb2.TrackableObjectGraph.FromString(reader.get_tensor(_OBJECT_GRAPH))
    shapes = reader.get_variable_to_shape_map()
    root = _root_name(obj, graph)
    pairs = list(_pair(tf.train.Checkpoint(**{root: obj}) if root else obj, graph))
    problems, matched, unmatched = [], [], []
    for name, variable, key in pairs:
        if key is None:
            unmatched.append(name)
            problems.append(f"has no value for {name} {_form(variable.shape)}")
        elif list(shapes[key]) != list(variable.shape):
            unmatched.append(name)
            problems.append(f"{name} is {_form(variable.shape)} in the model and {_form(shapes[key])} in the weights")
        else:
            matched.append(name)
    if not any("in the weights" in problem for problem in problems):
        checkpoint = tf.train.Checkpoint(**{root: obj}) if root else tf.train.Checkpoint(obj)
        _read(prefix, lambda: checkpoint.read(prefix).expect_partial())
    return problems, Restored(tuple(matched), tuple(unmatched))


def _form(shape: Any) -> str:
    return str(list(shape))


def _root_name(obj: Any, graph: Any) -> str | None:
    """Returns under which attribute a checkpoint holds the object: `tf.train.Checkpoint(model=net)` is common."""
    own = set(tf.train.TrackableView(obj).children(obj))
    children = {child.local_name: graph.nodes[child.node_id] for child in graph.nodes[0].children}
    if own & set(children):
        return None
    for name, node in children.items():
        if own & {child.local_name for child in node.children}:
            return str(name)
    return None


def _pair(root: Any, graph: Any) -> Iterator[tuple[str, Any, str | None]]:
    """Walks object and checkpoint side by side, as `tf.train.Checkpoint` does; yields name, variable and its key."""
    view = tf.train.TrackableView(root)
    pending: list[tuple[str, Any, int | None]] = [("", root, 0)]
    seen: set[int] = set()
    while pending:
        name, obj, node_id = pending.pop(0)
        if id(obj) in seen:
            continue
        seen.add(id(obj))
        node = None if node_id is None else graph.nodes[node_id]
        if isinstance(obj, tf.Variable):
            yield name, obj, node.attributes[0].checkpoint_key if node is not None and node.attributes else None
        known = {} if node is None else {child.local_name: child.node_id for child in node.children}
        for child, value in view.children(obj).items():
            pending.append((f"{name}.{child}" if name else child, value, known.get(child)))


def _require_keras(obj: Any, weights: Weights) -> None:
    if not isinstance(obj, tf.keras.Model):
        takes = "takes format checkpoint or saved_model for anything but a Keras model"
        raise ConfigError(Problem(("weights", "format"), f"{weights.format} for a {type(obj).__name__}; {takes}"))
    if not obj.variables:
        raise ConfigError(
            Problem(_PATH, f"{type(obj).__name__} has no variables yet to restore into; build it in its constructor")
        )


def _from_keras_weights(obj: Any, weights: Weights) -> tuple[list[str], Restored]:
    _require_keras(obj, weights)
    # With skip_mismatch, Keras tells by a warning what it passes over: "... in object <Dense name=out, ...>".
    with warnings.catch_warnings(record=True) as passed_over:
        warnings.simplefilter("always")
        try:
            obj.load_weights(weights.path, skip_mismatch=True)
        except Exception as error:
            raise ModelError(Problem(_PATH, f"{weights.path!r} cannot be read: {usercode.summary(error)}")) from error
    texts = [str(warning.message) for warning in passed_over if "Could not load" in str(warning.message)]
    layers = {match.group(1) for text in texts for match in re.finditer(r"<\w+ name=([^,>]+)", text)}
    unmatched = tuple(variable.path for variable in obj.variables if layers & set(variable.path.split("/")))
    matched = tuple(variable.path for variable in obj.variables if variable.path not in unmatched)
    return [" ".join(text.split()) for text in texts], Restored(matched, unmatched)


def _from_keras(obj: Any, weights: Weights) -> tuple[list[str], Restored]:
    _require_keras(obj, weights)
    known = {type(obj).__name__: type(obj)}
    source = _read(
        weights.path,
        lambda: tf.keras.models.load_model(weights.path, custom_objects=known, compile=False, safe_mode=True),
    )
    return _copy_variables(source, obj)


def _copy_variables(source: Any, obj: Any) -> tuple[list[str], Restored]:
    problems, matched, unmatched = [], [], []
    values = list(source.variables)
    for index, variable in enumerate(obj.variables):
        value = values[index] if index < len(values) else None
        if value is None:
            problems.append(f"has no value for {variable.path} {_form(variable.shape)}")
        elif tuple(value.shape) != tuple(variable.shape):
            problems.append(
                f"{variable.path} is {_form(variable.shape)} in the model and {_form(value.shape)} in the weights"
            )
        else:
            variable.assign(value)
            matched.append(variable.path)
            continue
        unmatched.append(variable.path)
    problems += [f"{value.path} {_form(value.shape)} is not in the model" for value in values[len(obj.variables) :]]
    return problems, Restored(tuple(matched), tuple(unmatched))


_FORMATS: dict[str, Callable[[Any, Weights], tuple[list[str], Restored]]] = {
    "checkpoint": _from_checkpoint,
    "saved_model": _from_checkpoint,
    "keras_weights": _from_keras_weights,
    "keras": _from_keras,
}
