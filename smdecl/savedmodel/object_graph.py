"""Walks the object graph of a SavedModel: what hangs on the saved object, by dotted path."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator

from smdecl.budgets import Budget
from smdecl.savedmodel.protos import SavedObject, SavedObjectGraph

# What a Keras model has of all its variables; `tf.saved_model.load` gives these lists of its export.
VARIABLE_LISTS = ("variables", "trainable_variables", "non_trainable_variables")

_MOST_ALIASES, _DEEPEST_ALIAS = 1000, 32
_MOST_LOOKED_AT = 100_000  # children of nodes that have a name already
_MOST_NAMES = 1 << 26  # characters of all dotted paths
_FUNCTIONS = ("function", "bare_concrete_function")
# What TensorFlow hangs on tables and other resources to restore them; no caller uses it.
_OF_RESOURCES = ("_create_resource", "_initialize", "_destroy_resource")


def is_function(node: SavedObject) -> bool:
    """Returns whether a node of the object graph can be called after loading."""
    return node.WhichOneof("kind") in _FUNCTIONS


def named_objects(object_graph: SavedObjectGraph) -> Iterator[tuple[str, int]]:
    """Yields the nodes of the object graph by dotted path, those nearest to the root first.

    Each node has its first name. A node that is a function, or leads to one, has its other names as
    well, without those that lead in a circle. The number of names may be exponential in the number
    of nodes: at most 1000 other names are followed, none of them from more than 32 nodes below the
    root.

    Raises:
        ValueError: If the names together are longer than those of any object.
        IndexError: If a node that is a child is not there.
    """
    names = Budget(_MOST_NAMES, "characters in the names of its objects")
    nodes, leading = object_graph.nodes, _leading(object_graph)
    pending: deque[tuple[str, int, tuple[int, ...]]] = deque(
        [("", 0, (0,))] if nodes else []
    )
    seen, expanded = {0}, set[int]()
    aliases = looked_at = 0
    later: deque[tuple[str, int, tuple[int, ...]]] = deque()
    while pending or later:
        name, index, path = (pending or later).popleft()
        yield name, index
        most = _MOST_ALIASES if len(path) <= _DEEPEST_ALIAS else 0
        if index in expanded and (aliases >= most or looked_at >= _MOST_LOOKED_AT):
            continue  # all of its children have a name
        is_again = index in expanded
        expanded.add(index)
        for local_name, child in _children(nodes[index], is_root=index == 0):
            if child in seen:
                looked_at += is_again
                if aliases >= most or child in path or child not in leading:
                    continue
                aliases += 1
            seen.add(child)
            below = f"{name}.{local_name}" if name else local_name
            names.spend(len(below))
            # By its layer, a variable has a better name than by its place in a list.
            is_list = index == 0 and local_name in VARIABLE_LISTS
            (later if is_list else pending).append(
                (below, child, (*path, child)[: _DEEPEST_ALIAS + 1])
            )


def _children(node: SavedObject, *, is_root: bool) -> Iterator[tuple[str, int]]:
    """Yields the children of a node that are part of what it offers."""
    kind = node.WhichOneof("kind")
    if kind == "function":
        return  # below it are only its own traces
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
    pending = [
        index for index, node in enumerate(object_graph.nodes) if is_function(node)
    ]
    found = set(pending)
    while pending:
        above = {*parents[pending.pop()]} - found
        found |= above
        pending += above
    return found
