"""Decides whether a path by which a graph reads a file is always that of an asset."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import TypeAlias

from smdecl.names import CALLS
from smdecl.savedmodel.audits.dataflow import source
from smdecl.savedmodel.inspection import all_nodes
from smdecl.savedmodel.protos import (
    AttrValue,
    MetaGraphDef,
    NodeDef,
    functions_of,
)

_USES_OF_A_VARIABLE = (
    "AssignVariableOp",
    "ReadVariableOp",
    "VarIsInitializedOp",
)
Place: TypeAlias = tuple[str, str]
"""The name of a function, empty for the graph itself, and that of a node or an argument in it."""


class AssetPaths:
    """The paths of assets in a MetaGraph, from where a loader sets them to where they are used.

    `tf.saved_model.load` binds them to arguments of functions. Sessions feed them to placeholders
    when they initialize the graph, and variables keep them. A path that does not come from one of
    these is not that of an asset.
    """

    def __init__(self, graph: MetaGraphDef) -> None:
        self._graph = graph
        assets = graph.asset_file_def
        self._is_inside = [_is_inside(asset.filename) for asset in assets]
        self._fed = {
            source(asset.tensor_info.name)
            for asset in assets
            if _is_inside(asset.filename)
        }
        self._arguments: dict[str, list[str]] = {}
        for function in graph.graph_def.library.function:
            names = [
                argument.name for argument in function.signature.input_arg
            ]
            self._arguments[function.signature.name] = names
        self._nodes: dict[Place, NodeDef] = {}
        self._callers: dict[str, list[tuple[str, NodeDef]]] = defaultdict(list)
        self._users: dict[str, list[NodeDef]] = defaultdict(list)
        self._handles: dict[tuple[bytes, bytes], int] = defaultdict(int)
        for name, node in all_nodes(graph):
            self._add(name, node)

    def _add(self, function: str, node: NodeDef) -> None:
        self._nodes[function, node.name] = node
        named = {node.op}
        for value in node.attr.values():
            named.update(_functions(value))
        for name in named & self._arguments.keys():
            self._callers[name].append((function, node))
        if not function:
            for name in {source(reference) for reference in node.input}:
                self._users[name].append(node)
        if node.op == "VarHandleOp":
            self._handles[_variable(node)] += 1

    def is_asset(self, function: str, reference: str) -> bool:
        """Returns whether an input of a node is an asset's path on every way that leads there."""
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
        """Returns the places that a string comes from: [] for an asset, None if unknown."""
        if name in self._arguments.get(function, ()):
            return self._passed(
                function, self._arguments[function].index(name)
            )
        node = self._nodes.get((function, name))
        if node is None:
            return None
        # A constant could be fed too, but later calls would use its value.
        if node.op == "Placeholder" and not function and name in self._fed:
            return []
        if node.op == "Identity" and node.input:
            return [(function, source(node.input[0]))]
        if node.op == "ReadVariableOp" and not function and node.input:
            return self._assigned(source(node.input[0]))
        return None

    def _passed(self, function: str, position: int) -> list[Place] | None:
        """Returns the places that an argument of a function comes from; None if unknown."""
        sources: list[Place] = []
        for caller, node in self._callers[function]:
            if not _is_call(node, function) or position >= len(node.input):
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
        if not 0 <= index < len(nodes):
            return False
        if nodes[index].WhichOneof("kind") != "asset":
            return False
        file: int = nodes[index].asset.asset_file_def_index
        return 0 <= file < len(self._is_inside) and self._is_inside[file]

    def _assigned(self, name: str) -> list[Place] | None:
        """Returns the values that are assigned to a variable of the graph; None if unknown."""
        handle = self._nodes.get(("", name))
        if handle is None or handle.op != "VarHandleOp":
            return None
        if self._handles[_variable(handle)] > 1:
            return None
        if any(
            node.op not in _USES_OF_A_VARIABLE for node in self._users[name]
        ):
            return None
        assigned = [
            node for node in self._users[name] if node.op == "AssignVariableOp"
        ]
        return [("", source(node.input[-1])) for node in assigned]


def _is_inside(filename: str) -> bool:
    """Returns whether the name of an asset is that of a file in `assets/`."""
    is_name = filename == PurePosixPath(filename).name
    return is_name and filename not in ("", "..")


def _is_call(node: NodeDef, function: str) -> bool:
    """Returns whether a node does nothing but call a function with its inputs."""
    if node.op == function:
        return True
    return node.op in CALLS and node.attr["f"].func.name == function


def _variable(handle: NodeDef) -> tuple[bytes, bytes]:
    """Returns what identifies the variable of a handle: handles with equal names share it."""
    name = handle.attr["shared_name"].s or handle.name.encode()
    return handle.attr["container"].s, name


def _functions(value: AttrValue) -> Iterator[str]:
    """Yields the functions that an attribute names, and those that their own attributes name."""
    pending = [*functions_of(value)]
    while pending:
        function = pending.pop()
        yield function.name
        for inner in function.attr.values():
            pending += functions_of(inner)
