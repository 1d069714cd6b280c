"""Pairs what an object tracks with what a checkpoint of TensorFlow holds, as `tf.train.Checkpoint` does."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf
from tensorflow.core.protobuf import trackable_object_graph_pb2
from tensorflow.python.checkpoint import functional_saver, saveable_compat
from tensorflow.python.trackable import trackable_utils
from tensorflow.python.training.saving import saveable_object_util

from smdecl.errors import ConfigError, Problem
from smdecl.exporting import keras_models, keras_state, matching, objects
from smdecl.exporting.matching import PATH
from smdecl.exporting.tensors import is_variable
from smdecl.names import OBJECT_GRAPH

Trackable = Any
"""A `tf.__internal__.tracking.Trackable`; TensorFlow ships no types."""

ROOT_NODE = 0
_END_OF_PLACE = f"{trackable_utils.OBJECT_ATTRIBUTES_NAME}/"


@dataclass(frozen=True)
class Value:
    """A variable, or a table or other object that saves values, and what a checkpoint has of it.

    Attributes:
        name: The name of the variable; else the dotted place of the object.
        item: The variable or object.
        keys: Of its values in the checkpoint; empty where one of them is missing.
        shape: Of the value of a variable.
        saveables: TensorFlow's `SaveableObject`s, which restore what is no variable.
    """

    name: str
    item: Trackable
    keys: tuple[str, ...] = ()
    shape: tuple[int, ...] | None = None
    saveables: tuple[Any, ...] = ()

    @property
    def fits(self) -> bool:
        """Whether the checkpoint has the values, in the shape of the variable."""
        if not self.keys:
            return False
        return self.shape is None or tf.TensorShape(self.item.shape).is_compatible_with(
            self.shape
        )


class Contents:
    """What a checkpoint holds: values by key, and the graph of the objects that they belong to."""

    def __init__(self, prefix: str) -> None:
        """Opens the checkpoint with a prefix.

        Raises:
            ConfigError: Where it cannot be read, or was not written by `tf.train.Checkpoint`.
        """
        self.prefix = prefix
        self._reader = matching.read(prefix, tf.train.load_checkpoint, prefix)
        if not self._reader.has_tensor(OBJECT_GRAPH):
            message = f"{prefix!r} is no object-based checkpoint; takes one of tf.train.Checkpoint"
            raise ConfigError(Problem(PATH, message))
        # The graph lies in the data file, which may be missing or broken where the index is not.
        graph = matching.read(prefix, self._reader.get_tensor, OBJECT_GRAPH)
        self._nodes = trackable_object_graph_pb2.TrackableObjectGraph.FromString(
            graph
        ).nodes
        self._shapes = self._reader.get_variable_to_shape_map()

    def children(self, node: int = ROOT_NODE) -> dict[str, int]:
        """Returns the nodes below a node by their names."""
        return {child.local_name: child.node_id for child in self._nodes[node].children}

    def value(self, name: str, item: Trackable, node: int | None) -> Value | None:
        """Returns what the checkpoint has of an object; None if the object saves no values of its own.

        Args:
            name: The dotted place of the object.
            item: The object.
            node: The node with its values; None where the checkpoint has none.
        """
        if is_variable(item):
            known = getattr(item, "path", None) or name or str(item.name)
            key = next(iter(self._attributes(node).values()), None)
            if key is None or key not in self._shapes:
                return Value(known, item)
            return Value(known, item, (key,), tuple(self._shapes[key]))
        factories = saveable_object_util.saveable_objects_from_trackable(item)
        if not factories:
            return None
        saveables = tuple(_saveables(item, factories, self._attributes(node)))
        keys = tuple(spec.name for saveable in saveables for spec in saveable.specs)
        has_all = all(key in self._shapes for key in keys)
        return (
            Value(name, item, keys, saveables=saveables)
            if has_all
            else Value(name, item)
        )

    def _attributes(self, node: int | None) -> dict[str, str]:
        attributes = () if node is None else self._nodes[node].attributes
        return {attribute.name: attribute.checkpoint_key for attribute in attributes}

    def assign(self, value: Value) -> None:
        """Restores a single value that fits."""
        if is_variable(value.item):
            value.item.assign(self._reader.get_tensor(value.keys[0]))
        elif isinstance(value.item, tf.train.experimental.PythonState):
            value.item.deserialize(self._reader.get_tensor(value.keys[0]))
        else:
            functional_saver.MultiDeviceSaver.from_saveables(value.saveables).restore(
                self.prefix
            )


def _saveables(
    item: Trackable, factories: dict[str, Any], attributes: dict[str, str]
) -> Iterator[Any]:
    """Yields what restores an object that is no variable, with the keys that a checkpoint has its values by."""
    if trackable_utils.SERIALIZE_TO_TENSORS_NAME in factories:
        for key in list(attributes.values())[:1]:  # one place holds all of its values
            place, end, _ = key.partition(_END_OF_PLACE)
            name = f"{place}{end}{saveable_compat.get_saveable_name(item) or ''}"
            yield factories[trackable_utils.SERIALIZE_TO_TENSORS_NAME](name=name)
        return
    for attribute, factory in factories.items():
        if attribute in attributes:
            made = factory(name=attributes[attribute])
            yield from made if isinstance(made, Sequence) else [made]


class TrackedObjects:
    """What an object tracks, walked side by side with a checkpoint."""

    def __init__(self, obj: Trackable) -> None:
        """Takes the object that everything is tracked from.

        Raises:
            ModelError: If it holds a list or mapping in a state that TensorFlow cannot save.
        """
        objects.tracked(obj)
        self._obj = obj
        self._view = tf.train.TrackableView(obj)
        self._known: dict[int, dict[str, Trackable]] = {}

    def _children(self, item: Trackable) -> dict[str, Trackable]:
        if id(item) not in self._known:
            self._known[id(item)] = dict(self._view.children(item))
        return self._known[id(item)]

    def values(self, contents: Contents, node: int) -> list[Value]:
        """Returns every variable, table and other state with what a checkpoint has of it at and below a node.

        What is tracked under several names is restored if one of them is in the checkpoint.
        """
        found: dict[int, Value] = {}
        pending = deque[tuple[str, Trackable, int | None]]([("", self._obj, node)])
        seen: set[tuple[int, bool]] = set()
        while pending:
            name, item, place = pending.popleft()
            if {(id(item), True), (id(item), place is not None)} & seen:
                continue
            seen.add((id(item), place is not None))
            value = contents.value(name, item, place)
            if value is not None and (
                id(item) not in found or not found[id(item)].keys
            ):
                found[id(item)] = value
            known = {} if place is None else contents.children(place)
            for child, held in self._children(item).items():
                if not _is_scratch(item, held):
                    pending.append(
                        (f"{name}.{child}" if name else child, held, known.get(child))
                    )
        return list(found.values())

    def fitting(self, contents: Contents, node: int) -> tuple[int, int]:
        """Counts the values that fit what a checkpoint has at and below a node, and those that it has at all.

        Optimizers are passed over: they track the variables of the model, and a checkpoint often holds the optimizer
        beside the model, under the name that a compiled model has it by.
        """
        values = list(self._shared(contents, node))
        return sum(value.fits for value in values), sum(
            bool(value.keys) for value in values
        )

    def _shared(self, contents: Contents, node: int) -> Iterator[Value]:
        pending = [(self._obj, node)]
        seen: set[int] = set()
        while pending:
            item, place = pending.pop()
            if id(item) in seen or (
                keras_models.is_optimizer(item) and item is not self._obj
            ):
                continue
            seen.add(id(item))
            value = contents.value("", item, place)
            if value is not None:
                yield value
            known = contents.children(place)
            for name, held in self._children(item).items():
                if name in known and not _is_scratch(item, held):
                    pending.append((held, known[name]))


def _is_scratch(holder: Trackable, held: Trackable) -> bool:
    """Tells whether a lookup layer of Keras counts tokens in a table while it adapts; its vocabulary is elsewhere."""
    is_table = isinstance(held, tf.lookup.experimental.MutableHashTable)
    return is_table and keras_state.lookup_of(holder) is not None
