"""Compares the signatures of two SavedModels for the clients that send requests to them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from functools import partial
from typing import TypeAlias, TypeVar

from smdecl.names import PREDICT
from smdecl.savedmodel.comparing.compatible_tensors import (
    accepts,
    answers,
    freed_sizes,
)
from smdecl.savedmodel.records import (
    ADDITIVE,
    BREAKING,
    Change,
    SignatureRecord,
    TensorRecord,
)

_Record = TypeVar("_Record", TensorRecord, SignatureRecord)
_Replaces: TypeAlias = Callable[[TensorRecord, TensorRecord], bool]


def changes(
    old: Mapping[str, SignatureRecord], new: Mapping[str, SignatureRecord]
) -> Iterator[Change]:
    """Yields the changes of signatures, those of known ones first."""
    renamed = _renamed(old, new)
    for key, signature in old.items():
        if key in renamed:
            message = f"was renamed to {renamed[key]!r}"
            yield Change("signatures", key, message, BREAKING)
        elif key not in new:
            yield Change("signatures", key, "was removed", BREAKING)
        else:
            yield from _signature(key, signature, new[key])
    for key in _added(old, new):
        yield Change("signatures", key, "was added", ADDITIVE)


def _signature(
    key: str, old: SignatureRecord, new: SignatureRecord
) -> Iterator[Change]:
    if old.method_name != new.method_name:
        message = f"changed from {_method_name(old)} to {_method_name(new)}"
        yield Change("signatures", f"{key}.method_name", message, BREAKING)
    yield from _inputs(f"{key}.inputs", old.inputs, new.inputs)
    freed = freed_sizes(old.inputs, new.inputs)
    replaces = partial(answers, freed=freed)
    yield from _outputs(f"{key}.outputs", old.outputs, new.outputs, replaces)


def _method_name(signature: SignatureRecord) -> str:
    if signature.method_name is None:
        return PREDICT
    return signature.method_name or "none"


def _inputs(
    place: str,
    old: Mapping[str, TensorRecord],
    new: Mapping[str, TensorRecord],
) -> Iterator[Change]:
    yield from _known(place, old, new, _replaces_input)
    for name, tensor in _added(old, new).items():
        # A server refuses a request that lacks an input without a default.
        verdict = BREAKING if tensor.default is None else ADDITIVE
        yield Change(
            "signatures", f"{place}.{name}", f"was added: {tensor}", verdict
        )


def _replaces_input(old: TensorRecord, new: TensorRecord) -> bool:
    """Returns whether requests stay valid, and those that omit the input get the same answer."""
    return accepts(new, old) and old.default in (None, new.default)


def _outputs(
    place: str,
    old: Mapping[str, TensorRecord],
    new: Mapping[str, TensorRecord],
    replaces: _Replaces,
) -> Iterator[Change]:
    yield from _known(place, old, new, replaces)
    verdict, hint = ADDITIVE, ""
    if len(old) == 1:
        # The REST API returns the bare values of an only output, and names several outputs.
        (only,) = old
        verdict = BREAKING
        hint = f"; until now, REST responses did not name the only output {only!r}"
    for name, tensor in _added(old, new).items():
        message = f"was added: {tensor}{hint}"
        yield Change("signatures", f"{place}.{name}", message, verdict)


def _known(
    place: str,
    old: Mapping[str, TensorRecord],
    new: Mapping[str, TensorRecord],
    replaces: _Replaces,
) -> Iterator[Change]:
    """Yields the changes of the tensors that callers know."""
    renamed = _renamed(old, new)
    for name, tensor in old.items():
        where = f"{place}.{name}"
        if name in renamed:
            message = f"was renamed to {renamed[name]!r}"
            yield Change("signatures", where, message, BREAKING)
        elif name not in new:
            yield Change("signatures", where, "was removed", BREAKING)
        elif tensor != new[name]:
            verdict = ADDITIVE if replaces(tensor, new[name]) else BREAKING
            message = f"changed from {tensor} to {new[name]}"
            yield Change("signatures", where, message, verdict)


def _added(
    old: Mapping[str, _Record], new: Mapping[str, _Record]
) -> dict[str, _Record]:
    known = {*old, *_renamed(old, new).values()}
    return {name: record for name, record in new.items() if name not in known}


def _renamed(
    old: Mapping[str, _Record], new: Mapping[str, _Record]
) -> dict[str, str]:
    """Pairs each removed name with the added one of equal content, if there is just one of each."""
    removed = _by_content(old, without=new)
    added = _by_content(new, without=old)
    renamed = {}
    for content, names in removed.items():
        others = added.get(content, [])
        if len(names) == len(others) == 1:
            renamed[names[0]] = others[0]
    return renamed


def _by_content(
    records: Mapping[str, _Record], without: Mapping[str, _Record]
) -> dict[Hashable, list[str]]:
    """Groups the names of records with equal content, names in `without` aside."""
    found: dict[Hashable, list[str]] = {}
    for name, record in records.items():
        if name not in without:
            found.setdefault(_content(record), []).append(name)
    return found


def _content(record: TensorRecord | SignatureRecord) -> Hashable:
    if isinstance(record, TensorRecord):
        return record
    inputs = frozenset(record.inputs.items())
    outputs = frozenset(record.outputs.items())
    return inputs, outputs, record.method_name
