"""Compares the graphs of two SavedModels: devices, ops, and nodes by function and name."""

from __future__ import annotations

from collections.abc import Iterator

from smdecl.savedmodel.comparing.unnumbered_nodes import (
    Place,
    UnnumberedNodes,
    serialized,
)
from smdecl.savedmodel.protos import MetaGraphDef, NodeDef
from smdecl.savedmodel.records import Change, SavedModelRecord

_NAMED = 3  # nodes of each kind of change; the first ones show where to look


def changes(
    old: SavedModelRecord,
    new: SavedModelRecord,
    old_graph: MetaGraphDef,
    new_graph: MetaGraphDef,
) -> Iterator[Change]:
    """Yields the differences between two MetaGraphs."""
    yield from _devices(old, new)
    yield from _ops(old, new)
    yield from _nodes(UnnumberedNodes(old_graph), UnnumberedNodes(new_graph))


def _devices(old: SavedModelRecord, new: SavedModelRecord) -> Iterator[Change]:
    for device in sorted({*old.devices, *new.devices}):
        if device not in new.devices:
            yield Change("devices", device, "no longer has nodes pinned to it")
        elif device not in old.devices:
            yield Change("devices", device, "now has nodes pinned to it")


def _ops(old: SavedModelRecord, new: SavedModelRecord) -> Iterator[Change]:
    for op in sorted({*old.ops, *new.ops}):
        before, now = old.ops.get(op, 0), new.ops.get(op, 0)
        if before != now:
            yield Change("ops", op, f"{before} before, {now} now")


def _nodes(old: UnnumberedNodes, new: UnnumberedNodes) -> Iterator[Change]:
    removed = [place for place in old.places if place not in new.places]
    added = [place for place in new.places if place not in old.places]
    for place in removed[:_NAMED]:
        yield Change("nodes", _text(place), "was removed")
    yield from _more(removed, "removed")
    for place in added[:_NAMED]:
        yield Change("nodes", _text(place), "was added")
    yield from _more(added, "added")
    changed = []
    for place in old.places:
        if place in new.places and _differs(old.node(place), new.node(place)):
            changed.append(place)
    for place in changed[:_NAMED]:
        message = _difference(old.node(place), new.node(place))
        yield Change("nodes", _text(place), message)
    yield from _more(changed, "changed")


def _more(places: list[Place], what: str) -> Iterator[Change]:
    if len(places) > _NAMED:
        yield Change("nodes", "", f"{len(places) - _NAMED} more {what}")


def _text(place: Place) -> str:
    return "/".join(filter(None, place))


def _differs(old: NodeDef, new: NodeDef) -> bool:
    return serialized(old) != serialized(new)


def _difference(old: NodeDef, new: NodeDef) -> str:
    """Describes the most telling difference between two nodes."""
    if old.op != new.op:
        return f"changed from {old.op} to {new.op}"
    attributes = [
        name for name in {*old.attr, *new.attr} if _differs_in(name, old, new)
    ]
    if attributes:
        return f"{old.op} has a different {', '.join(sorted(attributes))}"
    if old.device != new.device:
        before, after = old.device or "any device", new.device or "any device"
        return f"{old.op} moved from {before} to {after}"
    if list(old.input) != list(new.input):
        return f"{old.op} has different inputs"
    return f"{old.op} differs"


def _differs_in(attribute: str, old: NodeDef, new: NodeDef) -> bool:
    if attribute not in old.attr or attribute not in new.attr:
        return True
    return serialized(old.attr[attribute]) != serialized(new.attr[attribute])
