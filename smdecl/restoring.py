"""Restores weights into a built object, and tells which of its variables they had a value for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.core.protobuf import trackable_object_graph_pb2

from smdecl import keras_files, keras_models, keras_state, matching, object_graph
from smdecl.config import Weights
from smdecl.errors import ConfigError, Problem
from smdecl.matching import PATH, Match, Outcome, Restored, name_of, no_value, other_shape
from smdecl.tensors import is_variable

_OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"


def restore(obj: Any, weights: Weights | None) -> Restored:
    """Restores `weights` into `obj`.

    Raises:
        ConfigError: Where `expect: full` is not met, with every variable that did not match; where the format does not
            fit the object, or the file cannot be read.
        ModelError: Where the model's own code fails on it.
    """
    if weights is None:
        return Restored()
    if keras_models.is_model(obj) and not obj.variables and not obj.built:
        raise ConfigError(Problem(("model", "_target_"), f"{type(obj).__name__} {_UNBUILT}"))
    outcome = _FORMATS[weights.format](obj, weights)
    record = outcome.record
    problems = [match for match in outcome.matches if match.problem is not None]
    # Of a Keras model, the states that its layers draw by have the same shape in every file.
    matched = [name for name in record.matched if not (record.unmatched and name.endswith(_SEED))]
    if not matched and not problems:
        problems = [Match(None, f"nothing in {weights.path!r} matches a variable of {type(obj).__name__}")]
    if problems and (weights.expect == "full" or not matched):
        raise ConfigError([Problem(PATH, _worded(match, bool(matched))) for match in problems])
    return record


def _worded(match: Match, has_matches: bool) -> str:
    hint = "; ++weights.expect=partial restores what matches and warns of the rest"
    return f"{match.problem}{hint if has_matches and not match.is_needed else ''}"


_SEED = "/seed_generator_state"
_UNBUILT = (
    "has no variables yet to restore into; declare the inputs of a signature, by which it is built, or let its"
    " constructor or a factory build it: by self.build(input_shape), or by calling it once"
)


# Such as those of layers in a list or a dict of a subclass of Keras 3.
_UNTRACKED = ": TensorFlow does not track it; expected weights of format keras or keras_weights"


def _from_checkpoint(obj: Any, weights: Weights) -> Outcome:
    prefix = weights.path if weights.format == "checkpoint" else str(Path(weights.path, "variables", "variables"))
    reader = matching.read(prefix, tf.train.load_checkpoint, prefix)
    if not reader.has_tensor(_OBJECT_GRAPH):
        raise ConfigError(Problem(PATH, f"{prefix!r} is no object-based checkpoint; takes one of tf.train.Checkpoint"))
    # The graph lies in the data file, which may be missing or broken where the index is not.
    graph = trackable_object_graph_pb2.TrackableObjectGraph.FromString(
        matching.read(prefix, reader.get_tensor, _OBJECT_GRAPH)
    )
    shapes = reader.get_variable_to_shape_map()
    root = _root_name(obj, graph)
    wrapped = tf.train.Checkpoint(**{root: obj}) if root else obj
    matched: list[Match] = []
    missing: list[Match] = []
    other_shapes: list[Match] = []
    values: list[tuple[Any, str]] = []
    paired: list[Any] = []
    for name, variable, key in _pair(obj, graph, _node_id(graph, root)):
        paired.append(variable)
        if key is None or key not in shapes:
            missing.append(Match(name, no_value(name, variable)))
        elif not tf.TensorShape(variable.shape).is_compatible_with(shapes[key]):
            other_shapes.append(Match(name, other_shape(name, variable, shapes[key])))
        else:
            matched.append(Match(name))
            values.append((variable, key))
    seen = {id(variable) for variable in paired}
    for variable in keras_state.variables_of(obj):
        if id(variable) not in seen:
            missing.append(Match(name_of(variable), f"{no_value(name_of(variable), variable)}{_UNTRACKED}"))
    if not other_shapes:
        checkpoint = wrapped if root else tf.train.Checkpoint(obj)
        matching.read(prefix, lambda: checkpoint.read(prefix).expect_partial())
    elif weights.expect == "partial":
        # TensorFlow restores all of an object or, at the first shape that does not fit, nothing that can be told.
        for variable, key in values:
            variable.assign(matching.read(prefix, reader.get_tensor, key))
    matches = [*matched, *missing, *other_shapes]
    if not other_shapes or weights.expect == "partial":
        matches += keras_state.finalize(obj, prefix)
    matches += keras_state.uncarried_assets(obj, prefix)
    layers = keras_state.layers_of(obj)
    matches += keras_state.lacking(layers)
    # A checkpoint of the legacy tf_keras holds its tables.
    matches += keras_state.kept_vocabularies([one for one in layers if not keras_models.is_legacy_layer(one)])
    return Outcome(matches)


def _root_name(obj: Any, graph: Any) -> str | None:
    """Returns under which attribute a checkpoint holds the object: `tf.train.Checkpoint(model=net)` is common."""
    object_graph.tracked(obj)  # a list or dict in a state that TensorFlow cannot save is refused here
    own = set(tf.train.TrackableView(obj).children(obj))
    children = {child.local_name: graph.nodes[child.node_id] for child in graph.nodes[0].children}
    if own & set(children):
        return None
    shared = {name: len(own & _names_in(node)) for name, node in children.items()}
    most = max(shared.values(), default=0)
    best = sorted(name for name, count in shared.items() if count == most and most > 0)
    if len(best) > 1:
        # A model and its moving average are alike: to take one of them by chance could serve the wrong one.
        found = " and ".join(map(repr, best))
        hint = "expected a checkpoint with one such object, written by tf.train.Checkpoint(model=net)"
        raise ConfigError(Problem(PATH, f"holds {found}, which fit the model alike; {hint}"))
    return best[0] if best else None


def _names_in(node: Any) -> set[str]:
    return {child.local_name for child in node.children}


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


_FORMATS: dict[str, Callable[[Any, Weights], Outcome]] = {
    "checkpoint": _from_checkpoint,
    "saved_model": _from_checkpoint,
    "keras_weights": keras_files.restore_weights,
    "keras": keras_files.restore_model,
}
