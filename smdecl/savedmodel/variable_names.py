"""Names variables the same way in plans, descriptions and comparisons.

A variable has two names: its path from the saved object, such as `_operations/3/_kernel`, and the
name that it was created with, such as `hidden/kernel`. The path is unique, except for local names
with `.` or `/` in them; then the key is shown. The other name is what people know of a Keras model,
but TensorFlow neither requires it nor makes it unique.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import NamedTuple

from smdecl.savedmodel import object_keys
from smdecl.savedmodel.object_graph import keyed_objects
from smdecl.savedmodel.protos import SavedObjectGraph, SavedVariable

# What TensorFlow calls a variable without a name, and the state of a random generator.
_UNNAMED = ("", "Variable", "StateVar")


class Variable(NamedTuple):
    """A variable in an object graph.

    Attributes:
        name: The name to show; no other variable has it.
        node: The index of its node.
        saved: The variable.
    """

    name: str
    node: int
    saved: SavedVariable


def names(keys: Sequence[str], own_names: Sequence[str]) -> list[str]:
    """Returns the name to show for each variable of an object.

    Args:
        keys: The key of each variable.
        own_names: The name that each variable was created with. It is shown if it distinguishes
            the variable from all others, otherwise the path is shown.
    """
    paths = _paths(keys)
    own = [name.removesuffix(":0") for name in own_names]
    counts = Counter(own)
    taken = {*paths, *_UNNAMED}
    shown = []
    for path, name in zip(paths, own, strict=True):
        is_distinct = counts[name] == 1 and name not in taken
        shown.append(name if is_distinct else path)
    return shown


def _paths(keys: Sequence[str]) -> list[str]:
    """Returns the path of each key, or the key itself if several keys have the same path."""
    paths = [object_keys.path_of(key) for key in keys]
    counts = Counter(paths)
    return [
        path if counts[path] == 1 else key
        for key, path in zip(keys, paths, strict=True)
    ]


def of_graph(graph: SavedObjectGraph) -> list[Variable]:
    """Returns the variables of an object graph, those nearest to the root first.

    Raises:
        ValueError, IndexError: If the graph is malformed.
    """
    keys: dict[int, str] = {}
    for key, index in keyed_objects(graph):
        if _is_variable(graph, index):
            keys.setdefault(index, key)
    saved = [graph.nodes[index].variable for index in keys]
    shown = names(list(keys.values()), [str(each.name) for each in saved])
    return list(map(Variable, shown, keys, saved))


def of_tensors(
    graph: SavedObjectGraph, keys: Collection[str]
) -> dict[str, str]:
    """Returns the name to show for each tensor of a checkpoint; no two tensors share one.

    Args:
        graph: The object graph of the SavedModel with the checkpoint.
        keys: The keys of the tensors in the checkpoint.
    """
    known = {variable.node: variable.name for variable in of_graph(graph)}
    finder = _Finder(graph)
    nodes = {key: finder.node(key) for key in keys}
    counts = Counter(nodes.values())
    shown = {}
    for key, node in nodes.items():
        name = known.get(node, key)
        is_distinct = counts[node] == 1 and name not in nodes
        shown[key] = name if is_distinct else key
    return shown


class _Finder:
    """Finds the nodes of an object graph by their keys in the checkpoint."""

    def __init__(self, graph: SavedObjectGraph) -> None:
        self._nodes = graph.nodes
        self._children: dict[int, dict[str, int]] = {}

    def node(self, key: str) -> int:
        """Returns the index of the node that a key leads to; -1 if there is none."""
        index = 0
        for name in object_keys.local_names(key):
            if index not in self._children:
                self._children[index] = self._children_of(index)
            index = self._children[index].get(name, -1)
            if index < 0:
                break
        return index

    def _children_of(self, index: int) -> dict[str, int]:
        if index >= len(self._nodes):
            return {}
        children = self._nodes[index].children
        return {child.local_name: child.node_id for child in children}


def _is_variable(graph: SavedObjectGraph, index: int) -> bool:
    kind: str | None = graph.nodes[index].WhichOneof("kind")
    return kind == "variable"
