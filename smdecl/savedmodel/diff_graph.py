"""Tells how the graph of a SavedModel differs from one before it: devices, ops, and nodes by function and name."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

from smdecl.savedmodel.protos import (
    AttrValue,
    FunctionDef,
    MetaGraphDef,
    NameAttrList,
    NodeDef,
    node_def_pb2,
)
from smdecl.savedmodel.records import Change, SavedModelRecord

_Place: TypeAlias = tuple[str, str]
_NAMED = 3  # nodes of a kind; the first ones say where to look
_NUMBER = re.compile(r"_(\d{1,18})$")
_DERIVED = "_output_shapes"  # follow from what a node computes and from its inputs
_GRADIENT_OP = "_gradient_op_type"  # names a gradient in the process that made it
_GRADIENT = re.compile(rb"-\d+$")


def changes(
    old: SavedModelRecord,
    new: SavedModelRecord,
    old_graph: MetaGraphDef,
    new_graph: MetaGraphDef,
) -> Iterator[Change]:
    """Yields what differs between two SavedModels and their MetaGraphDefs."""
    yield from _devices(old, new)
    yield from _ops(old, new)
    yield from _nodes(old_graph, new_graph)


def _devices(old: SavedModelRecord, new: SavedModelRecord) -> Iterator[Change]:
    for device in sorted({*old.devices, *new.devices}):
        if device not in new.devices:
            yield Change("devices", device, "has no node pinned to it any more")
        elif device not in old.devices:
            yield Change("devices", device, "has nodes pinned to it now")


def _ops(old: SavedModelRecord, new: SavedModelRecord) -> Iterator[Change]:
    for op in sorted({*old.ops, *new.ops}):
        if old.ops.get(op) != new.ops.get(op):
            yield Change(
                "ops", op, f"{old.ops.get(op, 0)} before, {new.ops.get(op, 0)} now"
            )


def _nodes(old_graph: MetaGraphDef, new_graph: MetaGraphDef) -> Iterator[Change]:
    old, new = _Nodes(old_graph), _Nodes(new_graph)
    both = [place for place in old.places if place in new.places]
    kinds = {
        "is gone": [place for place in old.places if place not in new.places],
        "is new": [place for place in new.places if place not in old.places],
        "": [
            place
            for place in both
            if serialized(old.plain(place)) != serialized(new.plain(place))
        ],
    }
    for how, places in kinds.items():
        for place in places[:_NAMED]:
            where = "/".join(filter(None, place))
            yield Change(
                "nodes", where, how or _node(old.plain(place), new.plain(place))
            )
        if len(places) > _NAMED:
            yield Change(
                "nodes", "", f"{len(places) - _NAMED} more, each {how or 'is another'}"
            )


class _Nodes:
    """The nodes of a graph by function and name, functions without the numbers that TensorFlow draws for their names.

    Attributes:
        places: The node at each place, as the graph has it; None where a function returns.
    """

    def __init__(self, graph: MetaGraphDef) -> None:
        self._names = _unnumbered_names(graph)
        functions = graph.graph_def.library.function
        # Two parts: joined, many nodes of a function with a long name would take much memory.
        self.places: dict[_Place, NodeDef | None] = {
            ("", node.name): node for node in graph.graph_def.node
        }
        for function in sorted(
            functions, key=lambda each: self._names[each.signature.name]
        ):
            name = self._names[function.signature.name]
            for node in function.node_def:
                self.places[name, node.name] = node
        self._returning: dict[_Place, FunctionDef] = {}
        for function in functions:
            place = self._names[function.signature.name], "return"
            self.places[place] = None
            self._returning[place] = function

    def plain(self, place: _Place) -> NodeDef:
        """Returns the node at a place as it is compared: a copy, of which a graph has too many to keep."""
        node = self.places[place]
        if node is not None:
            return _unnumbered(node, self._names)
        returned = sorted(self._returning[place].ret.items())
        return node_def_pb2.NodeDef(
            op="return", input=[f"{name}={source}" for name, source in returned]
        )


def _unnumbered_names(graph: MetaGraphDef) -> dict[str, str]:
    names: dict[str, str] = {}
    stems: Counter[str] = Counter()
    # The library is in the order of a hash table; of two functions alike, the lower number is the one made first.
    for name in sorted(
        (function.signature.name for function in graph.graph_def.library.function),
        key=_number,
    ):
        stem = _NUMBER.sub(
            "", name.removeprefix("__inference_").removeprefix("__forward_")
        )
        stems[stem] += 1
        names[name] = stem if stems[stem] == 1 else f"{stem}#{stems[stem]}"
    return names


def _unnumbered(node: NodeDef, names: Mapping[str, str]) -> NodeDef:
    """Returns a copy of a node that calls functions by the given names, without derived shapes."""
    copy = node_def_pb2.NodeDef()
    copy.CopyFrom(node)
    if _DERIVED in copy.attr:
        del copy.attr[_DERIVED]
    for value in copy.attr.values():
        for function in _called(value):
            function.name = names.get(function.name, function.name)
    if _GRADIENT_OP in copy.attr:
        copy.attr[_GRADIENT_OP].s = _GRADIENT.sub(b"", copy.attr[_GRADIENT_OP].s)
    copy.op = names.get(node.op, node.op)
    return copy


def _called(value: AttrValue) -> Iterable[NameAttrList]:
    kind = value.WhichOneof("value")
    if kind == "func":
        return (value.func,)
    return value.list.func if kind == "list" else ()


def _number(function: str) -> tuple[int, str]:
    found = _NUMBER.search(function)
    return int(found[1]) if found else 0, function


def serialized(message: Any) -> bytes:
    """Returns the bytes of a message, the same for the same content."""
    # Messages with a NaN are equal to none, themselves included.
    return bytes(message.SerializeToString(deterministic=True))


def _node(old: NodeDef, new: NodeDef) -> str:
    if old.op != new.op:
        return f"was {old.op}, and is {new.op}"
    attributes = sorted(
        name
        for name in {*old.attr, *new.attr}
        if name not in old.attr
        or name not in new.attr
        or serialized(old.attr[name]) != serialized(new.attr[name])
    )
    if attributes:
        return f"{old.op} has another {', '.join(attributes)}"
    if old.device != new.device:
        return f"{old.op} was on {old.device or 'any device'}, and is on {new.device or 'any device'}"
    return (
        f"{old.op} takes other inputs"
        if list(old.input) != list(new.input)
        else f"{old.op} is another"
    )
