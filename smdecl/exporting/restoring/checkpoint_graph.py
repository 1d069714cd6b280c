"""Pairs the objects that an object tracks with the contents of a TensorFlow checkpoint.

The pairs are those of `tf.train.Checkpoint`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import trackable_object_graph_pb2
from tensorflow.python.checkpoint import functional_saver, saveable_compat
from tensorflow.python.trackable import trackable_utils
from tensorflow.python.trackable.base import VARIABLE_VALUE_KEY
from tensorflow.python.training.saving import saveable_object_util

from smdecl.errors import ConfigError, Problem
from smdecl.exporting.live_objects import keras_models, objects, variable_paths
from smdecl.exporting.live_objects.tensors import is_variable
from smdecl.exporting.restoring import keras_state, matching
from smdecl.exporting.restoring.matching import PATH
from smdecl.exporting.types import Trackable
from smdecl.names import OBJECT_GRAPH

Place: TypeAlias = tuple[str, ...]
"""The names of attributes or items that lead from an object to one that it tracks."""

Saveable: TypeAlias = Any
"""A `SaveableObject` of TensorFlow, which restores the values of an object."""

ROOT_NODE = 0
_END_OF_PLACE = f"{trackable_utils.OBJECT_ATTRIBUTES_NAME}/"


@dataclass(frozen=True)
class Value:
    """A variable, table or other object that saves values, and its values in a checkpoint.

    Attributes:
        name: The name of the variable; for other objects their dotted place.
        item: The variable or object.
        keys: The keys of its values in the checkpoint; empty if one of them is missing.
        shape: The shape of the value of a variable.
        saved_name: The name that the variable had when it was saved.
        saveables: What restores an object other than a variable.
        place: The names that lead to the item.
    """

    name: str
    item: Trackable
    keys: tuple[str, ...] = ()
    shape: tuple[int, ...] | None = None
    saved_name: str = ""
    saveables: tuple[Saveable, ...] = ()
    place: Place = ()

    @property
    def fits(self) -> bool:
        """Whether the checkpoint has the values, in the shape of the variable."""
        if not self.keys:
            return False
        if self.shape is None:
            return True
        return bool(
            tf.TensorShape(self.item.shape).is_compatible_with(self.shape)
        )

    @property
    def is_misfit(self) -> bool:
        """Whether the checkpoint has the values, in a different shape."""
        return bool(self.keys) and not self.fits


@dataclass(frozen=True)
class Fit:
    """How well an object fits a node of a checkpoint.

    Attributes:
        fitting: The number of its values that the checkpoint has in the right shape.
        present: The number of its values that the checkpoint has in any shape.
    """

    fitting: int
    present: int


class Contents:
    """The contents of a checkpoint: values by key, and the graph of the objects that own them."""

    def __init__(self, prefix: str) -> None:
        """Opens the checkpoint with a prefix.

        Raises:
            ConfigError: If it cannot be read, or was not written by `tf.train.Checkpoint`.
        """
        self.prefix = prefix
        self._reader = matching.read(prefix, tf.train.load_checkpoint, prefix)
        if not self._reader.has_tensor(OBJECT_GRAPH):
            message = (
                f"{prefix!r} is not an object-based checkpoint; expected one written by"
                " tf.train.Checkpoint"
            )
            raise ConfigError(Problem(PATH, message))
        # The graph is in the data file, which may be missing or broken even if the index is not.
        content = matching.read(prefix, self._reader.get_tensor, OBJECT_GRAPH)
        self._nodes = _nodes(prefix, content)
        self._shapes = self._reader.get_variable_to_shape_map()

    def children(self, node: int = ROOT_NODE) -> dict[str, int]:
        """Returns the nodes below a node by their names."""
        return {
            child.local_name: child.node_id
            for child in self._nodes[node].children
        }

    def value(
        self, name: str, item: Trackable, node: int | None
    ) -> Value | None:
        """Returns an object with its values; None if it saves none itself.

        Args:
            name: Its name.
            item: The object.
            node: The node with its values; None if the checkpoint has none.
        """
        if is_variable(item):
            return self.variable(name, item, node)
        factories = saveable_object_util.saveable_objects_from_trackable(item)
        if not factories:
            return None
        saveables = tuple(_saveables(item, factories, self._attributes(node)))
        keys: list[str] = []
        for saveable in saveables:
            keys += [spec.name for spec in saveable.specs]
        if not all(key in self._shapes for key in keys):
            return Value(name, item)
        return Value(name, item, tuple(keys), saveables=saveables)

    def variable(self, place: str, item: Trackable, node: int | None) -> Value:
        """Returns a variable with its value; see `value`."""
        name = getattr(item, "path", None) or place or str(item.name)
        key = next(iter(self._attributes(node).values()), None)
        if key is None or key not in self._shapes:
            return Value(name, item)
        shape = tuple(self._shapes[key])
        return Value(name, item, (key,), shape, self.saved_name(node or 0))

    def saved_variable(self, node: int) -> str | None:
        """Returns the key of the value at a node; None if the node is not a variable."""
        key = self._attributes(node).get(VARIABLE_VALUE_KEY)
        return key if key in self._shapes else None

    def shape(self, key: str) -> tuple[int, ...]:
        """Returns the shape of a value."""
        return tuple(self._shapes[key])

    def variables(self, node: int) -> dict[Place, tuple[str, tuple[int, ...]]]:
        """Returns the key and the shape of each variable at and below a node, by its place."""
        found: dict[Place, tuple[str, tuple[int, ...]]] = {}
        pending = deque[tuple[Place, int]]([((), node)])
        seen: set[int] = set()
        while pending:
            place, below = pending.popleft()
            if below in seen:
                continue
            seen.add(below)
            key = self.saved_variable(below)
            if key is not None:
                found[place] = (key, self.shape(key))
            for name, child in self.children(below).items():
                pending.append(((*place, name), child))
        return found

    def saved_name(self, node: int) -> str:
        """Returns the name that a variable had when it was saved; empty for any other object."""
        names = [each.full_name for each in self._nodes[node].attributes]
        return str(names[0]) if names else ""

    def _attributes(self, node: int | None) -> dict[str, str]:
        """Returns the keys of a node's values by attribute."""
        if node is None:
            return {}
        attributes = self._nodes[node].attributes
        return {
            attribute.name: attribute.checkpoint_key
            for attribute in attributes
        }

    def assign(self, value: Value) -> None:
        """Restores a single value that fits."""
        if is_variable(value.item):
            value.item.assign(self._reader.get_tensor(value.keys[0]))
        elif isinstance(value.item, tf.train.experimental.PythonState):
            value.item.deserialize(self._reader.get_tensor(value.keys[0]))
        else:
            saver = functional_saver.MultiDeviceSaver.from_saveables(
                value.saveables
            )
            saver.restore(self.prefix)


def _nodes(prefix: str, content: object) -> Sequence[Any]:
    """Returns the nodes of the object graph in a checkpoint.

    Raises:
        ConfigError: If it is malformed.
    """
    try:
        graph = trackable_object_graph_pb2.TrackableObjectGraph.FromString(
            content
        )
    except (DecodeError, TypeError) as error:
        message = f"cannot read the object graph of {prefix!r}: {error}"
        raise ConfigError(Problem(PATH, message)) from error
    numbers = {
        child.node_id for node in graph.nodes for child in node.children
    }
    # The root is used even if no node refers to it.
    if not numbers | {ROOT_NODE} <= set(range(len(graph.nodes))):
        message = f"the object graph of {prefix!r} refers to a node that it does not have"
        raise ConfigError(Problem(PATH, message))
    nodes: Sequence[Any] = graph.nodes
    return nodes


def _saveables(
    item: Trackable,
    factories: Mapping[str, Callable[..., Saveable]],
    attributes: Mapping[str, str],
) -> Iterator[Saveable]:
    """Yields what restores an object other than a variable, with the keys of its values.

    Args:
        item: The object.
        factories: Make saveables, by attribute.
        attributes: The keys of its values in the checkpoint, by attribute.
    """
    own = factories.get(trackable_utils.SERIALIZE_TO_TENSORS_NAME)
    if own is not None:
        # One place holds all of its values.
        for key in list(attributes.values())[:1]:
            place, end, _ = key.partition(_END_OF_PLACE)
            suffix = saveable_compat.get_saveable_name(item) or ""
            yield own(name=f"{place}{end}{suffix}")
        return
    for attribute, factory in factories.items():
        if attribute in attributes:
            made = factory(name=attributes[attribute])
            yield from made if isinstance(made, Sequence) else [made]


class TrackedObjects:
    """The objects that an object tracks, to walk side by side with a checkpoint."""

    def __init__(self, obj: Trackable) -> None:
        """Starts from the object that tracks everything.

        Raises:
            ModelError: If it holds a list or mapping in a state that TensorFlow cannot save.
        """
        objects.tracked(obj)
        self.obj = obj
        self._view = tf.train.TrackableView(obj)
        self._known: dict[int, dict[str, Trackable]] = {}
        self._names = variable_paths.names(obj)

    def children(self, item: Trackable) -> dict[str, Trackable]:
        """Returns the objects that an object tracks, by the names that a checkpoint has."""
        if id(item) not in self._known:
            children = dict(self._view.children(item))
            self._known[id(item)] = {
                name: child
                for name, child in children.items()
                if not _is_token_count(item, child)
            }
        return self._known[id(item)]

    def values(self, contents: Contents, node: int) -> list[Value]:
        """Returns every variable, table and other state with its values at and below a node.

        An object that is tracked under several names is restored if the checkpoint has one of them.
        """
        found: dict[int, Value] = {}
        pending = deque[tuple[Place, Trackable, int | None]](
            [((), self.obj, node)]
        )
        seen: set[tuple[int, bool]] = set()
        while pending:
            place, item, below = pending.popleft()
            is_present = below is not None
            if (id(item), True) in seen or (id(item), is_present) in seen:
                continue
            seen.add((id(item), is_present))
            shown = self._names.get(id(item), ".".join(place))
            value = contents.value(shown, item, below)
            known = found.get(id(item))
            if value is not None and (known is None or not known.keys):
                found[id(item)] = replace(value, place=place)
            nodes = {} if below is None else contents.children(below)
            for name, child in self.children(item).items():
                pending.append(((*place, name), child, nodes.get(name)))
        return list(found.values())

    def fit(self, contents: Contents, node: int) -> Fit:
        """Returns how well the object fits a node of a checkpoint.

        Optimizers do not count: they track the variables of the model, and a checkpoint often holds
        the optimizer beside the model, under the name that a compiled model has for it.
        """
        fitting = present = 0
        for value in self._shared(contents, node):
            fitting += value.fits
            present += bool(value.keys)
        return Fit(fitting, present)

    def _shared(self, contents: Contents, node: int) -> Iterator[Value]:
        """Yields the values of the objects that a checkpoint has too."""
        pending = [(self.obj, node)]
        seen: set[int] = set()
        while pending:
            item, place = pending.pop()
            is_inner_optimizer = (
                item is not self.obj and keras_models.is_optimizer(item)
            )
            if id(item) in seen or is_inner_optimizer:
                continue
            seen.add(id(item))
            value = contents.value("", item, place)
            if value is not None:
                yield value
            nodes = contents.children(place)
            for name, child in self.children(item).items():
                if name in nodes:
                    pending.append((child, nodes[name]))


def _is_token_count(holder: Trackable, held: Trackable) -> bool:
    """Returns whether a lookup layer counts tokens in a table while it adapts.

    Its vocabulary is in a different table.
    """
    is_table = isinstance(held, tf.lookup.experimental.MutableHashTable)
    return is_table and keras_state.lookup_of(holder) is not None
