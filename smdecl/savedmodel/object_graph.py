"""Walks the object graph of a SavedModel: all that the saved object leads to, by key."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator
from typing import NamedTuple

from smdecl.budgets import Budget
from smdecl.savedmodel import object_keys
from smdecl.savedmodel.protos import SavedObject, SavedObjectGraph

# The lists of all variables of a Keras model; `tf.saved_model.load` restores them.
VARIABLE_LISTS = (
    "variables",
    "trainable_variables",
    "non_trainable_variables",
)

_MOST_ALIASES = 1000  # keys of nodes that already have one
_DEEPEST_ALIAS = 32  # nodes below the root
_MOST_LOOKED_AT = 100_000  # children of nodes that already have a key
_MOST_KEYS = 1 << 26  # characters of all keys
_FUNCTIONS = ("function", "bare_concrete_function")
# The functions by which TensorFlow restores tables and other resources; no caller uses them.
_OF_RESOURCES = ("_create_resource", "_initialize", "_destroy_resource")


def is_function(node: SavedObject) -> bool:
    """Returns whether a node of the object graph can be called after loading."""
    return node.WhichOneof("kind") in _FUNCTIONS


def keyed_objects(object_graph: SavedObjectGraph) -> Iterator[tuple[str, int]]:
    """Yields the nodes of the object graph by key, those nearest to the root first.

    Each node is yielded with its first key. A node that is a function, or leads to one, is yielded
    with its other keys too, except for those that lead in a circle. The number of keys may be
    exponential in the number of nodes, so at most 1000 other keys are followed, none of them from
    more than 32 nodes below the root.

    Raises:
        ValueError: If the keys together are longer than those of any honest file.
        IndexError: If a child does not exist.
    """
    return _Walk(object_graph).keyed()


class _Entry(NamedTuple):
    """A node by one of its keys, with the nodes on the way from the root."""

    key: str
    node: int
    path: tuple[int, ...]


class _Walk:
    """A walk over an object graph, breadth first."""

    def __init__(self, object_graph: SavedObjectGraph) -> None:
        self._nodes = object_graph.nodes
        self._leading = _leading(object_graph)
        self._keys = Budget(
            _MOST_KEYS, "characters in the names of its objects"
        )
        self._seen = {0}
        self._expanded = set[int]()
        self._aliases = 0
        self._looked_at = 0
        self._pending: deque[_Entry] = deque()
        # A variable has a better name by its layer than by its place in a list of all variables.
        self._later: deque[_Entry] = deque()

    def keyed(self) -> Iterator[tuple[str, int]]:
        """Yields the nodes by key."""
        if self._nodes:
            self._pending.append(_Entry("", 0, (0,)))
        while self._pending or self._later:
            entry = (self._pending or self._later).popleft()
            yield entry.key, entry.node
            self._expand(entry)

    def _expand(self, entry: _Entry) -> None:
        """Gives keys to the children of a node."""
        most = _MOST_ALIASES if len(entry.path) <= _DEEPEST_ALIAS else 0
        is_again = entry.node in self._expanded
        is_exhausted = (
            self._aliases >= most or self._looked_at >= _MOST_LOOKED_AT
        )
        if is_again and is_exhausted:
            return  # all of its children have a key
        self._expanded.add(entry.node)
        is_root = entry.node == 0
        for local_name, child in _children(
            self._nodes[entry.node], is_root=is_root
        ):
            if child in self._seen:
                if is_again:
                    self._looked_at += 1
                leads_on = child in self._leading and child not in entry.path
                if not leads_on or self._aliases >= most:
                    continue
                self._aliases += 1
            self._seen.add(child)
            key = object_keys.escaped(local_name)
            if entry.key:
                key = f"{entry.key}/{key}"
            self._keys.spend(len(key))
            path = (*entry.path, child)[: _DEEPEST_ALIAS + 1]
            is_list = is_root and local_name in VARIABLE_LISTS
            queue = self._later if is_list else self._pending
            queue.append(_Entry(key, child, path))


def _children(
    node: SavedObject, *, is_root: bool
) -> Iterator[tuple[str, int]]:
    """Yields the children of a node that its users can reach."""
    kind = node.WhichOneof("kind")
    if kind == "function":
        return  # its children are its traces
    for child in node.children:
        if is_root and child.local_name == "signatures":
            continue  # they are read from the MetaGraph itself
        if kind == "resource" and child.local_name in _OF_RESOURCES:
            continue
        yield child.local_name, child.node_id


def _leading(object_graph: SavedObjectGraph) -> set[int]:
    """Returns the nodes that are functions or lead to one."""
    parents = defaultdict[int, list[int]](list)
    for index, node in enumerate(object_graph.nodes):
        for child in node.children:
            parents[child.node_id].append(index)
    nodes = enumerate(object_graph.nodes)
    pending = [index for index, node in nodes if is_function(node)]
    found = set(pending)
    while pending:
        above = {*parents[pending.pop()]} - found
        found |= above
        pending += above
    return found
