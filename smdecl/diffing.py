"""Tells how a SavedModel differs from one before it: for its callers, in its graph, its variables, files and origin."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from smdecl import bundle, compatibility, inspecting, manifest
from smdecl.compatibility import ADDITIVE, BREAKING
from smdecl.errors import ContractError, UsageError
from smdecl.protos import node_def_pb2
from smdecl.records import Change, DiffRecord, SavedModelRecord
from smdecl.schema import text

_NAMED = 3  # nodes of a kind; the first ones say where to look
_DIGITS = 12  # of a digest or a commit; enough to tell it by
_BLOCK = 1 << 20  # numbers to compare at a time
_NUMBER = re.compile(r"_(\d+)$")
_GRADIENT = re.compile(rb"-\d+$")
_ORIGIN = ("config", "environment", "inputs", "source")  # what a caller of the same bytes cannot tell
EXIT_CODES = {"same": 0, ADDITIVE: 1, BREAKING: 2}
_ORDER = (BREAKING, ADDITIVE, "internal")


def diff(before: Path, after: Path) -> DiffRecord:
    """Returns how the SavedModel in `after` differs from that in `before`; TensorFlow is not needed for it.

    Raises:
        UsageError: Where one of them is no directory.
        ContractError: Where one of them cannot be read.
        VerificationError: Where one is a release whose manifest was changed.
    """
    for directory in (before, after):
        if not directory.is_dir():
            raise UsageError(f"{str(directory)!r} is no directory; takes that of a SavedModel, such as exports/adder/1")
    (old, *records), (new, record) = _read(before), _read(after)
    records.append(record)
    found = [
        *_origin(before, after),
        *compatibility.changes(*records),
        *_devices(*records),
        *_ops(*records),
        *_beside(old, new),
        *_nodes(old.meta_graphs[0], new.meta_graphs[0]),
        *_variables(before, after),
        *_files(before, after),
    ]
    found.sort(key=lambda change: _ORDER.index(change.verdict))
    verdicts = {change.verdict for change in found}
    verdict = BREAKING if BREAKING in verdicts else ADDITIVE if ADDITIVE in verdicts else "same"
    inside = any(change.part not in _ORIGIN for change in found)
    advice = {BREAKING: "major", ADDITIVE: "minor", "same": "patch" if inside else "none"}[verdict]
    return DiffRecord(verdict, advice, tuple(found))


def _read(directory: Path) -> tuple[Any, SavedModelRecord]:
    message = inspecting.read(directory)
    try:
        return message, inspecting.inspect(message)
    except (IndexError, KeyError, ValueError) as error:
        raise ContractError(f"{directory / 'saved_model.pb'}: cannot be read as a SavedModel: {error}") from error


def _was(old: Any, new: Any) -> str:
    """Says what was and what is; None is what is not there."""
    if old is None:
        return f"is new: {new}"
    return f"is gone: {old}" if new is None else f"was {old}, and is {new}"


def _beside(old: Any, new: Any) -> Iterator[Change]:
    """Compares what the records of the first graphs do not have: the methods of signatures, and further graphs."""
    methods = [
        {key: value.method_name for key, value in each.meta_graphs[0].signature_def.items()} for each in (old, new)
    ]
    for key in sorted(methods[0].keys() & methods[1].keys()):
        if methods[0][key] != methods[1][key]:
            yield Change("signatures", key, f"was for {methods[0][key]!r}, and is for {methods[1][key]!r}", BREAKING)
    others = [{tuple(sorted(graph.meta_info_def.tags)): graph for graph in each.meta_graphs[1:]} for each in (old, new)]
    for tags in sorted({*others[0], *others[1]}):
        if tags not in others[1]:
            yield Change("tags", ", ".join(tags), "is a graph that is gone", BREAKING)
        elif tags not in others[0]:
            yield Change("tags", ", ".join(tags), "is a graph that is new", ADDITIVE)
        elif _bytes(others[0][tags]) != _bytes(others[1][tags]):
            yield Change("tags", ", ".join(tags), "is another graph than it was")


def _devices(old: SavedModelRecord, new: SavedModelRecord) -> Iterator[Change]:
    for device in sorted({*old.devices, *new.devices}):
        if device not in new.devices:
            yield Change("devices", device, "has no node pinned to it any more")
        elif device not in old.devices:
            yield Change("devices", device, "has nodes pinned to it now")


def _ops(old: SavedModelRecord, new: SavedModelRecord) -> Iterator[Change]:
    for op in sorted({*old.ops, *new.ops}):
        if old.ops.get(op) != new.ops.get(op):
            yield Change("ops", op, f"{old.ops.get(op, 0)} before, {new.ops.get(op, 0)} now")


def _nodes(old_graph: Any, new_graph: Any) -> Iterator[Change]:
    old, new = _by_place(old_graph), _by_place(new_graph)
    kinds = {
        "is gone": [place for place in old if place not in new],
        "is new": [place for place in new if place not in old],
        "": [place for place in old if place in new and _bytes(old[place]) != _bytes(new[place])],
    }
    for how, places in kinds.items():
        for place in places[:_NAMED]:
            yield Change("nodes", place, how or _node(old[place], new[place]))
        if len(places) > _NAMED:
            yield Change("nodes", "", f"{len(places) - _NAMED} more, each {how or 'is another'}")


def _by_place(graph: Any) -> dict[str, Any]:
    """Returns every node by function and name, functions without the numbers that TensorFlow draws for their names."""
    names: dict[str, str] = {}
    stems: Counter[str] = Counter()
    # The library is in the order of a hash table; of two functions alike, the lower number is the one made first.
    for name in sorted((function.signature.name for function in graph.graph_def.library.function), key=_number):
        stem = _NUMBER.sub("", name.removeprefix("__inference_").removeprefix("__forward_"))
        stems[stem] += 1
        names[name] = stem if stems[stem] == 1 else f"{stem}#{stems[stem]}"
    found = {}
    for function, node in sorted(inspecting.all_nodes(graph), key=lambda place: names.get(place[0], "")):
        for value in node.attr.values():
            for called in (value.func, *value.list.func) if value.WhichOneof("value") in ("func", "list") else ():
                called.name = names.get(called.name, called.name)
        if "_gradient_op_type" in node.attr:  # a name that a gradient is found by in the process that made it
            node.attr["_gradient_op_type"].s = _GRADIENT.sub(b"", node.attr["_gradient_op_type"].s)
        node.op = names.get(node.op, node.op)
        found[f"{names[function]}/{node.name}" if function else node.name] = node
    for function in graph.graph_def.library.function:
        results = [f"{name}={source}" for name, source in sorted(function.ret.items())]
        found[f"{names[function.signature.name]}/return"] = node_def_pb2.NodeDef(op="return", input=results)
    return found


def _number(function: str) -> tuple[int, str]:
    found = _NUMBER.search(function)
    return int(found[1]) if found else 0, function


def _bytes(message: Any) -> bytes:
    # Messages with a NaN are equal to none, themselves included.
    return bytes(message.SerializeToString(deterministic=True))


def _node(old: Any, new: Any) -> str:
    if old.op != new.op:
        return f"was {old.op}, and is {new.op}"
    attributes = sorted(
        name
        for name in {*old.attr, *new.attr}
        if name not in old.attr or name not in new.attr or _bytes(old.attr[name]) != _bytes(new.attr[name])
    )
    if attributes:
        return f"{old.op} has another {', '.join(attributes)}"
    if old.device != new.device:
        return f"{old.op} was on {old.device or 'any device'}, and is on {new.device or 'any device'}"
    return f"{old.op} takes other inputs" if list(old.input) != list(new.input) else f"{old.op} is another"


def _variables(before: Path, after: Path) -> Iterator[Change]:
    old, new = (
        {tensor.name: tensor for tensor in bundle.read(directory / "variables" / "variables")}
        for directory in (before, after)
    )
    for name in sorted({*old, *new}):
        if name not in old or name not in new:
            yield Change("variables", name, _was(_form(old.get(name)), _form(new.get(name))))
        elif _form(old[name]) != _form(new[name]):
            yield Change("variables", name, _was(_form(old[name]), _form(new[name])))
        elif difference := _difference(old[name].read(), new[name].read()):
            yield Change("variables", name, difference)


def _form(tensor: bundle.Tensor | None) -> str | None:
    return f"{tensor.dtype} {list(tensor.shape)}" if tensor else None


def _difference(old: Any, new: Any) -> str | None:
    if old.dtype == object:
        count = int((old != new).sum())
        return f"has {count} other values" if count else None
    if old.shape != new.shape:  # bytes of a dtype that NumPy lacks
        return "has other bytes"
    if all(
        np.array_equal(*blocks) for blocks in _blocks(old.reshape(-1).view(np.uint8), new.reshape(-1).view(np.uint8))
    ):
        return None
    largest: float = 0
    alone = 0
    for blocks in _blocks(old.reshape(-1), new.reshape(-1)):
        difference, nans = _distance(*blocks)
        largest, alone = max(largest, difference), alone + nans
    return f"has other values, by at most {largest:g}" + (f", and {alone} that are NaN in one alone" if alone else "")


def _blocks(old: Any, new: Any) -> Iterator[tuple[Any, Any]]:
    for start in range(0, old.size, _BLOCK):
        yield old[start : start + _BLOCK], new[start : start + _BLOCK]


def _distance(old: Any, new: Any) -> tuple[float, int]:
    """Returns the largest difference, and how many numbers are NaN in one of the two, which have none."""
    if old.dtype.kind in "iu":  # as floats, large ones that differ may be the same
        return float(np.max(np.maximum(old, new).astype(np.uint64) - np.minimum(old, new).astype(np.uint64))), 0
    wide = np.complex128 if old.dtype.kind == "c" else np.float64
    old, new = old.astype(wide), new.astype(wide)
    nan = np.isnan(old) | np.isnan(new)
    with np.errstate(invalid="ignore", over="ignore"):
        # What is equal has none, infinities too; their difference would be NaN.
        apart = np.where(nan | (old == new), 0.0, np.abs(old - new))
    return float(np.max(apart)), int((np.isnan(old) != np.isnan(new)).sum())


def _files(before: Path, after: Path) -> Iterator[Change]:
    try:
        old, new = manifest.sha256_of_files(before), manifest.sha256_of_files(after)
    except OSError as error:
        raise ContractError(f"{error.filename}: cannot be read: {error.strerror}") from error
    for name in sorted({*old, *new}):
        if name not in new:
            yield Change("files", name, "is gone")
        elif name not in old:
            yield Change("files", name, "is new")
        elif old[name] != new[name]:
            yield Change("files", name, "has other bytes")


def _origin(before: Path, after: Path) -> Iterator[Change]:
    """Compares what the manifests say; a SavedModel that smdecl has not made has none."""
    if not all((directory / manifest.FILE).is_file() for directory in (before, after)):
        return
    yield from origin(manifest.read(before), manifest.read(after))


def origin(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    """Yields what two manifests say otherwise of the config, the files it names, the environment and the source."""
    yield from config(old["config"], new["config"])
    for name in sorted({*old["inputs"], *new["inputs"]}):
        if (was := old["inputs"].get(name, "")) != (now := new["inputs"].get(name, "")):
            yield Change("inputs", name, _was(was[:_DIGITS] or None, now[:_DIGITS] or None))
    yield from environment(old["environment"], new["environment"])
    if old["source"] != new["source"]:
        yield Change("source", "", f"was {_source(old['source'])}, and is {_source(new['source'])}")


def config(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    """Yields the keys of two configs that differ."""
    flat_old, flat_new = dict(_leaves("", old)), dict(_leaves("", new))
    for key in sorted({*flat_old, *flat_new}):
        if (key in flat_old, flat_old.get(key)) != (key in flat_new, flat_new.get(key)):
            was, now = (text(flat[key]) if key in flat else None for flat in (flat_old, flat_new))
            yield Change("config", key, _was(was, now))


def _leaves(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    if not isinstance(value, dict) or not value:
        yield key, value
        return
    for name, item in value.items():
        yield from _leaves(f"{key}.{name}" if key else name, item)


def environment(old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[Change]:
    """Yields the packages of two environments that differ."""
    for package in sorted({*old, *new}):
        if old.get(package) != new.get(package):
            yield Change("environment", package, _was(old.get(package), new.get(package)))


def _source(source: Mapping[str, Any] | None) -> str:
    if source is None:
        return "of no commit"
    return f"commit {source['commit'][:_DIGITS]}" + ("" if source["clean"] else " with changes")
