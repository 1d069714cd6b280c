"""Tells which changes between two SavedModels break their callers, and which only add to what can be called."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Literal

from smdecl.records import Change, SavedModelRecord, SignatureRecord, TensorRecord

BREAKING, ADDITIVE = "breaking", "additive"
_VALUE = "value "  # a Python value, which `inspecting` has in the place of a dtype
_Side = Literal["inputs", "outputs", "outputs of wider inputs"]


def changes(old: SavedModelRecord, new: SavedModelRecord) -> Iterator[Change]:
    """Yields what a caller of the signatures, or of the restored functions, can tell."""
    if old.tags != new.tags:
        yield Change("tags", "", f"were {', '.join(old.tags)}, and are {', '.join(new.tags)}", BREAKING)
    yield from _signatures(old.signatures, new.signatures)
    for name in sorted({*old.functions, *new.functions}):
        if name not in new.functions:
            yield Change("functions", name, "is gone from what tf.saved_model.load gives", BREAKING)
        elif name not in old.functions:
            yield Change("functions", name, "is new", ADDITIVE)
        else:
            yield from _traces(name, old.functions[name], new.functions[name])


def _traces(name: str, old: Collection[SignatureRecord], new: Collection[SignatureRecord]) -> Iterator[Change]:
    for trace in old:
        if not any(_serves(trace, other) for other in new):
            yield Change("functions", name, f"can no longer be called as {_call(trace)}", BREAKING)
    for trace in new:
        if not any(_serves(trace, other) for other in old):
            yield Change("functions", name, f"can be called as {_call(trace)} now", ADDITIVE)


def _serves(old: SignatureRecord, new: SignatureRecord) -> bool:
    """Tells whether who calls a trace can call another one as well."""
    side: _Side = "outputs of wider inputs" if _wider(old, new) else "outputs"
    # What another takes beside is a default of its own: of traces, only such arguments have no tensor.
    added = [tensor for name, tensor in new.inputs.items() if name not in old.inputs]
    return (
        old.inputs.keys() <= new.inputs.keys()
        and all(tensor.dtype.startswith(_VALUE) for tensor in added)
        and old.outputs.keys() <= new.outputs.keys()
        and not any(name.rpartition(".")[2].isdigit() for name in new.outputs.keys() - old.outputs.keys())
        and all(_fits(tensor, new.inputs[name]) for name, tensor in old.inputs.items())
        and all(_serves_as(side, tensor, new.outputs[name]) for name, tensor in old.outputs.items())
    )


def _fits(inner: TensorRecord, outer: TensorRecord) -> bool:
    return inner.dtype == outer.dtype and _within(inner.shape, outer.shape)


def _call(trace: SignatureRecord) -> str:
    """Returns a trace as Python writes a call: `(0: float32 [], training: False) -> float32 []`."""
    return f"({_listed(trace.inputs)}) -> {_listed(trace.outputs) or 'nothing'}"


def _listed(tensors: Mapping[str, TensorRecord]) -> str:
    return ", ".join(f"{name}: {_form(tensor)}" if name else _form(tensor) for name, tensor in tensors.items())


def _signatures(old: Mapping[str, SignatureRecord], new: Mapping[str, SignatureRecord]) -> Iterator[Change]:
    renamed = _renamed(old, new)
    for key, signature in old.items():
        if key in renamed:
            yield Change("signatures", key, f"was renamed to {renamed[key]!r}", BREAKING)
        elif key not in new:
            yield Change("signatures", key, "is gone", BREAKING)
        else:
            yield from _tensors(f"{key}.inputs", "inputs", signature.inputs, new[key].inputs)
            side: _Side = "outputs of wider inputs" if _wider(signature, new[key]) else "outputs"
            yield from _tensors(f"{key}.outputs", side, signature.outputs, new[key].outputs)
    for key in new:
        if key not in old and key not in renamed.values():
            yield Change("signatures", key, "is new", ADDITIVE)


def _tensors(
    place: str, side: _Side, old: Mapping[str, TensorRecord], new: Mapping[str, TensorRecord]
) -> Iterator[Change]:
    renamed = _renamed(old, new)
    for name, tensor in old.items():
        where = f"{place}.{name}"
        if name in renamed:
            yield Change("signatures", where, f"was renamed to {renamed[name]!r}", BREAKING)
        elif name not in new:
            yield Change("signatures", where, "is gone", BREAKING)
        else:
            yield from _tensor(where, side, tensor, new[name])
    for name, tensor in new.items():
        if name not in old and name not in renamed.values():
            # A server refuses a request that lacks an input. It sends all outputs; its REST API names them where
            # there is more than one, and answers with the bare values of the only one.
            first = side != "inputs" and len(old) == 1
            hint = f" beside the only output, {next(iter(old))!r}, which REST answers did not name" if first else ""
            verdict = BREAKING if side == "inputs" or first else ADDITIVE
            yield Change("signatures", f"{place}.{name}", f"is new: {_form(tensor)}{hint}", verdict)


def _renamed(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, str]:
    """Pairs what is gone with what is new where each has just one like it."""
    gone = {name: value for name, value in old.items() if name not in new}
    come = {name: value for name, value in new.items() if name not in old}
    pairs = {name: [other for other, value in come.items() if value == gone[name]] for name in gone}
    return {
        name: others[0]
        for name, others in pairs.items()
        if len(others) == 1 and list(pairs.values()).count(others) == 1
    }


def _tensor(where: str, side: _Side, old: TensorRecord, new: TensorRecord) -> Iterator[Change]:
    if old == new:
        return
    forms = f"was {_form(old)}, and is {_form(new)}"
    if old.dtype != new.dtype:
        yield Change("signatures", where, forms, BREAKING)
        return
    yield Change("signatures", where, forms, ADDITIVE if _serves_as(side, old, new) else BREAKING)


def _serves_as(side: _Side, old: TensorRecord, new: TensorRecord) -> bool:
    """Tells whether a tensor is one that callers of another can do with.

    An input may take more than it did, an output may promise more than it did. Where inputs take more, an output is of
    more shapes than before, and still of those that it was of for what was sent before.
    """
    return (side != "outputs" and _fits(old, new)) or (side != "inputs" and _fits(new, old))


def _wider(old: SignatureRecord, new: SignatureRecord) -> bool:
    return any(tensor != old.inputs[name] for name, tensor in new.inputs.items() if name in old.inputs) and all(
        _fits(tensor, new.inputs[name]) for name, tensor in old.inputs.items() if name in new.inputs
    )


def _within(inner: tuple[int | None, ...] | None, outer: tuple[int | None, ...] | None) -> bool:
    """Tells whether every shape that `inner` takes is one that `outer` takes."""
    if outer is None or inner is None:
        return outer is None
    return len(inner) == len(outer) and all(big in (None, small) for small, big in zip(inner, outer, strict=True))


def _form(tensor: TensorRecord) -> str:
    if tensor.dtype.startswith(_VALUE):
        return tensor.dtype
    if tensor.shape is None:
        return f"{tensor.dtype} of unknown rank"
    return f"{tensor.dtype} [{', '.join('?' if size is None else str(size) for size in tensor.shape)}]"
