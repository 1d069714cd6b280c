"""Tells whether a path that a graph reads a file by can only be that of an asset of its SavedModel."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import chain
from pathlib import PurePosixPath

from smdecl.names import CALLS
from smdecl.savedmodel.dataflow import source
from smdecl.savedmodel.inspection import all_nodes
from smdecl.savedmodel.protos import AttrValue, MetaGraphDef, NodeDef

_USES_OF_A_VARIABLE = ("AssignVariableOp", "ReadVariableOp", "VarIsInitializedOp")
Place = tuple[str, str]
"""The name of a function, empty for the graph itself, and that of a node or an argument in it."""


class AssetPaths:
    """The paths of assets in a MetaGraph, from where a loader gives them to where they are used.

    `tf.saved_model.load` binds them to arguments of functions. Sessions feed them to placeholders of the graph as they
    initialize it, and variables keep them. What cannot be followed to one of these is no asset.
    """

    def __init__(self, graph: MetaGraphDef) -> None:
        self._graph = graph
        self._is_inside: list[bool] = [
            _is_inside(asset.filename) for asset in graph.asset_file_def
        ]
        inside = [asset for asset in graph.asset_file_def if _is_inside(asset.filename)]
        self._fed = {source(asset.tensor_info.name) for asset in inside}
        library = graph.graph_def.library.function
        self._arguments = {
            one.signature.name: [each.name for each in one.signature.input_arg]
            for one in library
        }
        self._nodes: dict[Place, NodeDef] = {}
        self._callers: dict[str, list[tuple[str, NodeDef]]] = defaultdict(list)
        self._users: dict[str, list[NodeDef]] = defaultdict(list)
        self._handles: dict[tuple[bytes, bytes], int] = defaultdict(int)
        for function, node in all_nodes(graph):
            self._add(function, node)

    def _add(self, function: str, node: NodeDef) -> None:
        self._nodes[function, node.name] = node
        for name in {
            node.op,
            *chain.from_iterable(map(_functions, node.attr.values())),
        } & self._arguments.keys():
            self._callers[name].append((function, node))
        if not function:
            for name in {source(reference) for reference in node.input}:
                self._users[name].append(node)
        if node.op == "VarHandleOp":
            self._handles[_variable(node)] += 1

    def is_asset(self, function: str, reference: str) -> bool:
        """Returns whether an input of a node is the path of an asset, whichever way it comes there."""
        pending: list[Place] = [(function, source(reference))]
        seen: set[Place] = set()
        while pending:
            place = pending.pop()
            if place in seen:
                continue
            seen.add(place)
            sources = self._sources(*place)
            if sources is None:
                return False
            pending += sources
        return True

    def _sources(self, function: str, name: str) -> list[Place] | None:
        """Returns the places that a text comes from, none for an asset; None if it may be any text."""
        if name in self._arguments.get(function, ()):
            return self._given(function, self._arguments[function].index(name))
        node = self._nodes.get((function, name))
        if node is None:
            return None
        # A constant is fed only as the graph is initialized, and later is what it says.
        if node.op == "Placeholder" and not function and name in self._fed:
            return []
        if node.op == "Identity" and node.input:
            return [(function, source(node.input[0]))]
        if node.op == "ReadVariableOp" and not function and node.input:
            return self._assigned(source(node.input[0]))
        return None

    def _given(self, function: str, position: int) -> list[Place] | None:
        """Returns where an argument of a function comes from."""
        sources: list[Place] = []
        for caller, node in self._callers[function]:
            is_call = node.op == function or (
                node.op in CALLS and node.attr["f"].func.name == function
            )
            if not is_call or position >= len(node.input):
                return None
            sources.append((caller, source(node.input[position])))
        objects = self._graph.object_graph_def
        if function in objects.concrete_functions:
            bound = objects.concrete_functions[function].bound_inputs
            index = position - len(self._arguments[function]) + len(bound)
            if index < 0 or not self._is_asset_object(bound[index]):
                return None
        return sources

    def _is_asset_object(self, index: int) -> bool:
        nodes = self._graph.object_graph_def.nodes
        if not 0 <= index < len(nodes) or nodes[index].WhichOneof("kind") != "asset":
            return False
        file: int = nodes[index].asset.asset_file_def_index
        return 0 <= file < len(self._is_inside) and self._is_inside[file]

    def _assigned(self, name: str) -> list[Place] | None:
        """Returns what is assigned to a variable of the graph, if nothing else can assign to it."""
        handle = self._nodes.get(("", name))
        if (
            handle is None
            or handle.op != "VarHandleOp"
            or self._handles[_variable(handle)] > 1
        ):
            return None
        if any(node.op not in _USES_OF_A_VARIABLE for node in self._users[name]):
            return None
        assigned = [node for node in self._users[name] if node.op == "AssignVariableOp"]
        return [("", source(node.input[-1])) for node in assigned]


def _is_inside(filename: str) -> bool:
    """Tells whether the name of an asset leads to a file in `assets/`."""
    return filename == PurePosixPath(filename).name and filename not in ("", "..")


def _variable(handle: NodeDef) -> tuple[bytes, bytes]:
    return handle.attr["container"].s, handle.attr[
        "shared_name"
    ].s or handle.name.encode()


def _functions(value: AttrValue) -> Iterator[str]:
    """Yields the functions that an attribute names."""
    pending = [value.func, *value.list.func]
    while pending:
        function = pending.pop()
        yield function.name
        for inner in function.attr.values():
            pending += [inner.func, *inner.list.func]
