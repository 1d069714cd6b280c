"""Restores weights into a built object, and tells which of its variables they had a value for."""

from __future__ import annotations

import re
import traceback
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.core.protobuf import trackable_object_graph_pb2

from smdecl import keras_models, object_graph, usercode
from smdecl.config import Weights
from smdecl.errors import ConfigError, Problem
from smdecl.tensors import is_variable, variable_record

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
        ConfigError: Where `expect: full` is not met, with every variable that did not match; where the format does not
            fit the object, or the file cannot be read.
        ModelError: Where the model's own code fails on it.
    """
    if weights is None:
        return Restored()
    if keras_models.is_model(obj) and not obj.variables:
        raise ConfigError(Problem(("model", "_target_"), f"{type(obj).__name__} {_UNBUILT}"))
    problems, restored = _FORMATS[weights.format](obj, weights)
    # Of a Keras model, the states that its layers draw by have the same shape in every file.
    matches = [name for name in restored.matched if not (restored.unmatched and name.endswith(_SEED))]
    if not matches and not problems:
        problems = [f"nothing in {weights.path!r} matches a variable of {type(obj).__name__}"]
    if problems and (weights.expect == "full" or not matches):
        hint = "; weights.expect=partial takes what does match" if matches else ""
        raise ConfigError([Problem(_PATH, problem + hint) for problem in problems])
    return restored


_SEED = "/seed_generator_state"
_UNBUILT = (
    "has no variables yet to restore into; declare the inputs of a signature, by which it is built, or let its"
    " constructor or a factory build it: by self.build(input_shape), or by calling it once"
)


def _read(path: str, read: Callable[[], Any]) -> Any:
    try:
        return read()
    except Exception as error:  # what a broken file makes TensorFlow, Keras or h5py raise is of many types
        if any(usercode.is_users(frame.filename) for frame in traceback.extract_tb(error.__traceback__)):
            raise usercode.failure(_PATH, f"restoring {path!r}", error) from error
        raise ConfigError(Problem(_PATH, f"{path!r} cannot be read: {usercode.summary(error)}")) from error


def _from_checkpoint(obj: Any, weights: Weights) -> tuple[list[str], Restored]:
    prefix = weights.path if weights.format == "checkpoint" else str(Path(weights.path, "variables", "variables"))
    reader = _read(prefix, lambda: tf.train.load_checkpoint(prefix))
    if not reader.has_tensor(_OBJECT_GRAPH):
        raise ConfigError(Problem(_PATH, f"{prefix!r} is no object-based checkpoint; takes one of tf.train.Checkpoint"))
    # The graph lies in the data file, which may be missing or broken where the index is not.
    graph = trackable_object_graph_pb2.TrackableObjectGraph.FromString(
        _read(prefix, lambda: reader.get_tensor(_OBJECT_GRAPH))
    )
    shapes = reader.get_variable_to_shape_map()
    root = _root_name(obj, graph)
    wrapped = tf.train.Checkpoint(**{root: obj}) if root else obj
    missing, other_shapes, matched, unmatched = [], [], [], []
    values: list[tuple[Any, str]] = []
    for name, variable, key in _pair(obj, graph, _node_id(graph, root)):
        if key is None or key not in shapes:
            missing.append(f"has no value for {name} {_form(variable.shape)}")
        elif list(shapes[key]) != list(variable.shape):
            other_shapes.append(_other_shape(name, variable, shapes[key]))
        else:
            matched.append(name)
            values.append((variable, key))
            continue
        unmatched.append(name)
    problems = [*missing, *other_shapes]
    if not other_shapes:
        checkpoint = wrapped if root else tf.train.Checkpoint(obj)
        _read(prefix, lambda: checkpoint.read(prefix).expect_partial())
    elif weights.expect == "partial":
        # TensorFlow restores all of an object or, at the first shape that does not fit, nothing that can be told.
        for variable, key in values:
            variable.assign(_read(prefix, lambda key=key: reader.get_tensor(key)))  # type: ignore[misc]
    return problems, Restored(tuple(matched), tuple(unmatched))


def _other_shape(name: str, variable: Any, shape: Any) -> str:
    return f"{name} is {_form(variable.shape)} in the model and {_form(shape)} in the weights"


def _form(shape: Any) -> str:
    return str(list(shape))


def _root_name(obj: Any, graph: Any) -> str | None:
    """Returns under which attribute a checkpoint holds the object: `tf.train.Checkpoint(model=net)` is common."""
    object_graph.tracked(obj)  # a list or dict in a state that TensorFlow cannot save is refused here
    own = set(tf.train.TrackableView(obj).children(obj))
    children = {child.local_name: graph.nodes[child.node_id] for child in graph.nodes[0].children}
    if own & set(children):
        return None
    for name, node in children.items():
        if own & {child.local_name for child in node.children}:
            return str(name)
    return None


def _node_id(graph: Any, root: str | None) -> int:
    return next((child.node_id for child in graph.nodes[0].children if child.local_name == root), 0)


def _pair(obj: Any, graph: Any, node_id: int) -> Iterator[tuple[str, Any, str | None]]:
    """Walks object and checkpoint side by side, as `tf.train.Checkpoint` does; yields name, variable and its key.

    What is tracked under several names is restored if one of them is in the checkpoint: that one is the variable's.
    """
    view = tf.train.TrackableView(obj)
    found: dict[int, tuple[str, Any, str | None]] = {}
    pending: list[tuple[str, Any, int | None]] = [("", obj, node_id)]
    seen: set[tuple[int, bool]] = set()
    while pending:
        name, item, place = pending.pop(0)
        if {(id(item), True), (id(item), place is not None)} & seen:
            continue
        seen.add((id(item), place is not None))
        node = None if place is None else graph.nodes[place]
        if is_variable(item):
            key = node.attributes[0].checkpoint_key if node is not None and node.attributes else None
            if found.get(id(item), ("", item, None))[2] is None:
                found[id(item)] = getattr(item, "path", None) or name or str(item.name), item, key
        known = {} if node is None else {child.local_name: child.node_id for child in node.children}
        for child, value in view.children(item).items():
            pending.append((f"{name}.{child}" if name else child, value, known.get(child)))
    yield from found.values()


def _require_keras(obj: Any, weights: Weights) -> None:
    if not keras_models.is_model(obj):
        takes = "takes format checkpoint or saved_model for anything but a Keras model"
        raise ConfigError(Problem(("weights", "format"), f"{weights.format} for a {type(obj).__name__}; {takes}"))


def _from_keras_weights(obj: Any, weights: Weights) -> tuple[list[str], Restored]:
    _require_keras(obj, weights)
    # With skip_mismatch, Keras tells by a warning what it passes over, by the representation of each layer.
    with warnings.catch_warnings(record=True) as caught, keras_models.shapes_in_file(obj) as shapes:
        warnings.simplefilter("always")
        _read(weights.path, lambda: obj.load_weights(weights.path, skip_mismatch=True))
    texts = [text for warning in caught if _PASSED_OVER.search(text := str(warning.message))]
    reasons = {match["layer"]: match["reason"].strip() for text in texts if (match := _REASON.search(text))}
    passed_over: dict[int, str] = {}
    for layer in obj._flatten_layers():
        if any(repr(layer) in text for text in texts):
            within = {id(v) for sub in layer._flatten_layers(include_self=False) for v in sub.variables}
            own = [variable for variable in layer.variables if id(variable) not in within]
            told = _passed_over(own, shapes.get(id(layer), {}), reasons.get(repr(layer)))
            passed_over.update(zip(map(id, own), told, strict=True))
    variables = list(obj.variables)
    problems = [passed_over[id(variable)] for variable in variables if id(variable) in passed_over]
    if texts and not problems:
        problems = [" ".join(text.split()) for text in texts]
    return problems, Restored(
        tuple(_name(variable) for variable in variables if id(variable) not in passed_over),
        tuple(_name(variable) for variable in variables if id(variable) in passed_over),
    )


def _passed_over(variables: list[Any], shapes: Mapping[str, Any], reason: str | None) -> Iterator[str]:
    """Says of the variables of a layer why they have no value; `shapes` has those in the file, by position."""
    found = [shapes.get(str(index)) for index in range(len(variables))]
    fits = [shape is not None and list(shape) == list(v.shape) for shape, v in zip(found, variables, strict=True)]
    why = f": {reason}" if reason and (all(fits) or not shapes) else ""
    for variable, shape, fit in zip(variables, found, fits, strict=True):
        if shape is None:
            yield f"has no value for {_name(variable)} {_form(variable.shape)}{why}"
        elif fit:
            yield f"does not restore {_name(variable)} {_form(variable.shape)}{why or ': Keras takes a layer whole'}"
        else:
            yield _other_shape(_name(variable), variable, shape)


# The words of Keras 3, and of the legacy tf_keras.
_PASSED_OVER = re.compile(r"could not be loaded|Could not load|Skipping (nested|loading)")
_REASON = re.compile(r"message for object (?P<layer><.+>):\s+(?P<reason>.+?)(\. Target variable|\n|$)")


def _from_keras(obj: Any, weights: Weights) -> tuple[list[str], Restored]:
    _require_keras(obj, weights)
    if keras_models.is_legacy(obj):
        # It imports whatever module a file names, and has no safe mode for HDF5 of that name: only weights are read.
        return _from_keras_weights(obj, weights)
    if not zipfile.is_zipfile(weights.path):
        message = f"{weights.path!r} is HDF5, which is read under that name for models of the legacy tf_keras alone"
        raise ConfigError(Problem(_PATH, f"{message}; takes a .keras file of Keras 3"))
    # The classes that the object itself is made of: Keras finds none by its module, for the file is mere data.
    known = {type(layer).__name__: type(layer) for layer in obj._flatten_layers()}
    package = keras_models.package_of(obj)
    source = _read(
        weights.path,
        lambda: package.models.load_model(weights.path, custom_objects=known, compile=False, safe_mode=True),
    )
    return _copy_variables(source, obj)


def _copy_variables(source: Any, obj: Any) -> tuple[list[str], Restored]:
    """Copies values by path where both name the same ones, and else by position, if the shapes agree there."""
    values, variables = list(source.variables), list(obj.variables)
    paths = [_path_in(value, source) for value in values]
    same_paths = len(set(paths)) == len(paths) and set(paths) == {_path_in(variable, obj) for variable in variables}
    same_shapes = [tuple(value.shape) for value in values] == [tuple(variable.shape) for variable in variables]
    if same_shapes and not same_paths:
        pairs = list(zip(variables, values, strict=True))
    else:
        # Positions shift where one of the two has a layer more, and a value of the right shape may be the wrong one.
        by_path: dict[str, list[Any]] = {}
        for value in values:
            by_path.setdefault(_path_in(value, source), []).append(value)
        found = [by_path.get(_path_in(variable, obj)) for variable in variables]
        pairs = [(variable, known.pop(0) if known else None) for variable, known in zip(variables, found, strict=True)]
    problems, matched, unmatched = [], [], []
    for variable, value in pairs:
        if value is None:
            problems.append(f"has no value for {_name(variable)} {_form(variable.shape)}")
        elif tuple(value.shape) != tuple(variable.shape):
            problems.append(_other_shape(_name(variable), variable, value.shape))
        else:
            variable.assign(value)
            matched.append(_name(variable))
            continue
        unmatched.append(_name(variable))
    taken = {id(value) for _, value in pairs}
    problems += [
        f"{_name(value)} {_form(value.shape)} is not in the model" for value in values if id(value) not in taken
    ]
    return problems, Restored(tuple(matched), tuple(unmatched))


def _name(variable: Any) -> str:
    return variable_record(variable).name


def _path_in(variable: Any, model: Any) -> str:
    # What is given no name is numbered, so that two models of one class, and their generators, have two names.
    path = str(_name(variable)).removeprefix(f"{model.name}/")
    return re.sub(r"\bseed_generator_\d+/", "seed_generator/", path)


_FORMATS: dict[str, Callable[[Any, Weights], tuple[list[str], Restored]]] = {
    "checkpoint": _from_checkpoint,
    "saved_model": _from_checkpoint,
    "keras_weights": _from_keras_weights,
    "keras": _from_keras,
}
