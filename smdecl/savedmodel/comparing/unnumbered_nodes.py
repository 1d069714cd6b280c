"""Makes the nodes of two graphs comparable, despite the numbers in the names of functions."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import TypeAlias

from google.protobuf.message import Message

from smdecl.savedmodel.protos import (
    FunctionDef,
    FunctionDefLibrary,
    MetaGraphDef,
    NodeDef,
    functions_of,
    node_def_pb2,
)

Place: TypeAlias = tuple[str, str]
"""The name of a function, empty for the graph itself, and that of a node in it."""

_NUMBER = re.compile(r"_(\d{1,18})$")
_PREFIXES = ("__inference_", "__forward_")
# The name, and the op, of a node for what a function returns.
_RETURN = "return"
# Output shapes follow from the op and its inputs.
_DERIVED = "_output_shapes"
# The name of a gradient ends with a number of the process that made it.
_GRADIENT_OP = "_gradient_op_type"
_GRADIENT = re.compile(rb"-\d+$")


class UnnumberedNodes:
    """The nodes of a graph, by functions without numbers.

    Attributes:
        places: Each place of a node to the node in the graph. What a function returns has a place
            too; it has None.
    """

    def __init__(self, graph: MetaGraphDef) -> None:
        library = graph.graph_def.library
        self._names = _unnumbered_names(library)
        # Pairs: for many nodes of a function with a long name, joined texts would take much memory.
        self.places: dict[Place, NodeDef | None] = {}
        for node in graph.graph_def.node:
            self.places["", node.name] = node
        for function in sorted(library.function, key=self._name):
            name = self._name(function)
            for node in function.node_def:
                self.places[name, node.name] = node
        self._returning: dict[Place, FunctionDef] = {}
        for function in library.function:
            place = self._name(function), _RETURN
            self.places[place] = None
            self._returning[place] = function

    def _name(self, function: FunctionDef) -> str:
        return self._names[function.signature.name]

    def node(self, place: Place) -> NodeDef:
        """Returns a comparable copy of the node at a place.

        Copies are made when needed: a graph may have too many nodes to keep a copy of each.
        """
        node = self.places[place]
        if node is not None:
            return _comparable(node, self._names)
        returned = sorted(self._returning[place].ret.items())
        inputs = [f"{name}={source}" for name, source in returned]
        return node_def_pb2.NodeDef(op=_RETURN, input=inputs)


def serialized(message: Message) -> bytes:
    """Returns the bytes of a message; equal content has equal bytes, even if it contains NaNs."""
    return bytes(message.SerializeToString(deterministic=True))


def _unnumbered_names(library: FunctionDefLibrary) -> dict[str, str]:
    """Returns the name of each function without its number; equal names get `#2` and so on."""
    # The library is in the order of a hash table. Of two alike functions, the one with the lower
    # number was made first.
    names = sorted(
        (function.signature.name for function in library.function), key=_key
    )
    stems: Counter[str] = Counter()
    unnumbered = {}
    for name in names:
        stem = name
        for prefix in _PREFIXES:
            stem = stem.removeprefix(prefix)
        stem = _NUMBER.sub("", stem)
        stems[stem] += 1
        unnumbered[name] = (
            stem if stems[stem] == 1 else f"{stem}#{stems[stem]}"
        )
    return unnumbered


def _key(function: str) -> tuple[int, str]:
    found = _NUMBER.search(function)
    return int(found[1]) if found else 0, function


def _comparable(node: NodeDef, names: Mapping[str, str]) -> NodeDef:
    """Returns a copy of a node that calls functions by the given names, without derived shapes."""
    copy = node_def_pb2.NodeDef()
    copy.CopyFrom(node)
    if _DERIVED in copy.attr:
        del copy.attr[_DERIVED]
    for value in copy.attr.values():
        for function in functions_of(value):
            function.name = names.get(function.name, function.name)
    if _GRADIENT_OP in copy.attr:
        copy.attr[_GRADIENT_OP].s = _GRADIENT.sub(
            b"", copy.attr[_GRADIENT_OP].s
        )
    copy.op = names.get(node.op, node.op)
    return copy
