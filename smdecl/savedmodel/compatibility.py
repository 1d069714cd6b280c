"""Tells which changes between two SavedModels break their callers, and which only add to what can be called."""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping
from typing import Any

from smdecl.budgets import Budget
from smdecl.errors import ContractError
from smdecl.names import PREDICT
from smdecl.savedmodel.records import (
    ArgumentsRecord,
    Change,
    FunctionRecord,
    SavedModelRecord,
    SignatureRecord,
    TensorRecord,
    TraceRecord,
)

_MOST_COMPARED = 1_000_000  # tensors of pairs of traces
_LONGEST_DEFAULT = 100  # characters of a value that may become a tensor
BREAKING, ADDITIVE = "breaking", "additive"
_Serves = Callable[[TensorRecord, TensorRecord], bool]


def changes(old: SavedModelRecord, new: SavedModelRecord) -> Iterator[Change]:
    """Yields what a caller of the signatures, or of the restored functions, can tell.

    Raises:
        ContractError: Where there are more traces than can be compared.
    """
    if old.tags != new.tags:
        yield Change(
            "tags",
            "",
            f"were {', '.join(old.tags)}, and are {', '.join(new.tags)}",
            BREAKING,
        )
    yield from _signatures(old.signatures, new.signatures)
    budget = Budget(_MOST_COMPARED, "pairs of tensors in their traces")
    for name in sorted({*old.functions, *new.functions}):
        if name not in new.functions:
            yield Change(
                "functions",
                name,
                "is gone from what tf.saved_model.load gives",
                BREAKING,
            )
        elif name not in old.functions:
            yield Change("functions", name, "is new", ADDITIVE)
        else:
            yield from _function(name, old.functions[name], new.functions[name], budget)


def _function(
    name: str, old: FunctionRecord, new: FunctionRecord, budget: Budget
) -> Iterator[Change]:
    if old.arguments and new.arguments and old.arguments != new.arguments:
        given = {*old.arguments.names}.union(
            *map(_given, old.traces)
        )  # `**rest` takes others than it names
        verdict = (
            ADDITIVE if _takes_on(old.arguments, new.arguments, given) else BREAKING
        )
        yield Change(
            "functions",
            name,
            f"took ({old.arguments}), and takes ({new.arguments})",
            verdict,
        )
    for trace in _unserved(old, new, budget):
        yield Change(
            "functions", name, f"can no longer be called as {call(trace)}", BREAKING
        )
    for trace in _unserved(new, old, budget):
        yield Change("functions", name, f"can be called as {call(trace)} now", ADDITIVE)


def _unserved(
    old: FunctionRecord, new: FunctionRecord, budget: Budget
) -> Iterator[TraceRecord]:
    """Yields the traces of a function whose callers can call no trace of another one.

    Traces are compared in pairs where one has what the other has, shapes and added arguments aside.
    """
    same = set(map(_content, new.traces))
    # A caller gives the same arguments; the other trace may have more, with defaults.
    added = new.arguments.defaults.keys() if new.arguments else set[str]()
    likely: dict[Hashable, list[TraceRecord]] = {}
    for trace in new.traces:
        likely.setdefault(_form(trace, added), []).append(trace)
    for trace in old.traces:
        if _content(trace) in same:
            continue
        others = likely.get(_form(trace, added), [])
        _charge(budget, len(others) * (len(trace.inputs) + len(trace.outputs) + 1))
        if not any(_serves(trace, other, new.arguments) for other in others):
            yield trace


def _charge(budget: Budget, amount: int) -> None:
    try:
        budget.spend(amount)
    except ValueError as error:
        raise ContractError(f"the SavedModels cannot be compared: {error}") from error


def _content(trace: TraceRecord) -> Hashable:
    """Returns what is the same in equal traces."""
    parts = (trace.inputs, trace.outputs, trace.values, trace.nests, trace.returns)
    return tuple(frozenset(part.items()) for part in parts)


def _form(trace: TraceRecord, optional: Collection[str]) -> Hashable:
    """Returns what a trace shares with all that can be called in its place: the types of inputs."""
    inputs = trace.inputs.items()
    required = (
        (place, _type(tensor))
        for place, tensor in inputs
        if _argument(place) not in optional
    )
    return frozenset(required)


def _takes_on(
    old: ArgumentsRecord, new: ArgumentsRecord, given: Collection[str]
) -> bool:
    """Tells whether arguments can be given by their place, and left out, as before, where `given` are those known."""
    return (
        new.positional[: len(old.positional)] == old.positional
        and old.defaults.items() <= new.defaults.items()
        and all(name in given or name in new.defaults for name in new.names)
    )


def _serves(old: TraceRecord, new: TraceRecord, takes: ArgumentsRecord | None) -> bool:
    """Tells whether who calls a trace can call another one, of a function that takes these arguments, as well."""
    freed = _freed(old.inputs, new.inputs)
    return (
        _serves_given(old, new, takes.defaults if takes else {})
        and all(
            _fits(tensor, new.inputs[place]) for place, tensor in old.inputs.items()
        )
        and old.outputs.keys() <= new.outputs.keys()
        and old.returns.items() <= new.returns.items()
        and not any(
            place.rpartition(".")[2].isdigit()
            for place in new.outputs.keys() - old.outputs.keys()
        )
        and all(
            _answers(tensor, new.outputs[place], freed)
            for place, tensor in old.outputs.items()
        )
    )


def _serves_given(
    old: TraceRecord, new: TraceRecord, defaults: Mapping[str, str]
) -> bool:
    """Tells whether a trace has the arguments of another one, and beside them only such as are left out."""
    given, added = _given(old), _given(new) - _given(old)
    kept = {place for place in new.inputs if _argument(place) in given}
    return (
        given <= _given(new)
        and kept == old.inputs.keys()
        and old.nests
        == {
            place: kind
            for place, kind in new.nests.items()
            if _argument(place) in given
        }
        and all(
            name in defaults and _takes_default(new, name, defaults[name])
            for name in added
        )
    )


def _takes_default(trace: TraceRecord, name: str, default: str) -> bool:
    """Tells whether a trace is called where an argument is left out: its tensor takes what its default becomes."""
    if name in trace.values:
        return trace.values[name] == default
    tensor = trace.inputs.get(name)
    if tensor is None or tensor.shape not in ((), None):  # a nest, or no single value
        return False
    if default.startswith(
        f"{tensor.dtype} "
    ):  # a tensor, whose value is told where it is a single one
        return _DIGEST not in default
    if len(default) > _LONGEST_DEFAULT:
        return False
    try:
        value = ast.literal_eval(default)
        return tensor.dtype in _BECOMES.get(type(value), ()) and (
            type(value) is not int or abs(value) < _INT32
        )
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return False


# What a loaded function makes of a Python value that it is given for a tensor; of more, where the value fits.
_BECOMES = {
    bool: ("bool",),
    int: ("int32", "int64", "float32", "float64"),
    float: ("float16", "bfloat16", "float32", "float64"),
    str: ("string",),
}
_INT32 = 2**31
_DIGEST = " sha256 "


def _given(trace: TraceRecord) -> set[str]:
    return {*map(_argument, trace.inputs), *trace.values}


def _argument(place: str) -> str:
    return place.partition(".")[0]


def _fits(inner: TensorRecord, outer: TensorRecord) -> bool:
    return _type(inner) == _type(outer) and _within(inner.shape, outer.shape)


def _type(tensor: TensorRecord) -> tuple[str, str | None, str | None]:
    """Returns what has to be the same for one tensor to be given in place of the other."""
    return tensor.dtype, tensor.kind, tensor.detail


def call(trace: TraceRecord) -> str:
    """Returns a trace as Python writes a call: `(0: float32 [], training: False) -> float32 []`."""
    nests = {
        **trace.nests,
        **{
            f"return.{place}".rstrip("."): kind for place, kind in trace.returns.items()
        },
    }
    # Of tuples and mappings the places of what they hold say enough.
    told = [
        f"{place} a {kind}"
        for place, kind in nests.items()
        if kind not in ("tuple", "dict")
    ]
    hint = f", with {' and '.join(told)}" if told else ""
    return f"({_listed(trace.inputs)}) -> {_listed(trace.outputs) or 'nothing'}{hint}"


def _listed(tensors: Mapping[str, TensorRecord]) -> str:
    items = (
        f"{name}: {tensor}" if name else str(tensor) for name, tensor in tensors.items()
    )
    return ", ".join(items)


def _signatures(
    old: Mapping[str, SignatureRecord], new: Mapping[str, SignatureRecord]
) -> Iterator[Change]:
    renamed = _renamed(old, new)
    for key, signature in old.items():
        if key in renamed:
            yield Change(
                "signatures", key, f"was renamed to {renamed[key]!r}", BREAKING
            )
        elif key not in new:
            yield Change("signatures", key, "is gone", BREAKING)
        else:
            yield from _method_name(key, signature, new[key])
            yield from _inputs(f"{key}.inputs", signature.inputs, new[key].inputs)
            freed = _freed(signature.inputs, new[key].inputs)
            yield from _outputs(
                f"{key}.outputs", signature.outputs, new[key].outputs, freed
            )
    for key in _come(old, new):
        yield Change("signatures", key, "is new", ADDITIVE)


def _method_name(
    key: str, old: SignatureRecord, new: SignatureRecord
) -> Iterator[Change]:
    if old.method_name != new.method_name:
        before, after = (
            PREDICT if record.method_name is None else record.method_name or "none"
            for record in (old, new)
        )
        yield Change(
            "signatures",
            f"{key}.method_name",
            f"was {before}, and is {after}",
            BREAKING,
        )


def _inputs(
    place: str, old: Mapping[str, TensorRecord], new: Mapping[str, TensorRecord]
) -> Iterator[Change]:
    yield from _kept(place, old, new, _takes)
    for name, tensor in _come(old, new).items():
        # A server refuses a request that lacks an input without a default.
        verdict = BREAKING if tensor.default is None else ADDITIVE
        yield Change("signatures", f"{place}.{name}", f"is new: {tensor}", verdict)


def _outputs(
    place: str,
    old: Mapping[str, TensorRecord],
    new: Mapping[str, TensorRecord],
    freed: Collection[int | None],
) -> Iterator[Change]:
    yield from _kept(
        place, old, new, lambda before, after: _answers(before, after, freed)
    )
    # A server sends all outputs; its REST API names them where there is more than one, and answers with the bare
    # values of the only one.
    first = len(old) == 1
    hint = (
        f" beside the only output, {next(iter(old))!r}, which REST answers did not name"
        if first
        else ""
    )
    for name, tensor in _come(old, new).items():
        verdict = BREAKING if first else ADDITIVE
        yield Change(
            "signatures", f"{place}.{name}", f"is new: {tensor}{hint}", verdict
        )


def _kept(
    place: str,
    old: Mapping[str, TensorRecord],
    new: Mapping[str, TensorRecord],
    serves: _Serves,
) -> Iterator[Change]:
    renamed = _renamed(old, new)
    for name, tensor in old.items():
        where = f"{place}.{name}"
        if name in renamed:
            yield Change(
                "signatures", where, f"was renamed to {renamed[name]!r}", BREAKING
            )
        elif name not in new:
            yield Change("signatures", where, "is gone", BREAKING)
        elif tensor != new[name]:
            verdict = ADDITIVE if serves(tensor, new[name]) else BREAKING
            yield Change(
                "signatures", where, f"was {tensor}, and is {new[name]}", verdict
            )


def _come(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    known = {*old, *_renamed(old, new).values()}
    return {name: value for name, value in new.items() if name not in known}


def _renamed(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, str]:
    """Pairs what is gone with what is new where each has just one like it."""
    gone = {name: value for name, value in old.items() if name not in new}
    come = {name: value for name, value in new.items() if name not in old}
    known, made = _by_content(gone), _by_content(come)
    pairs = ((names, made.get(content, [])) for content, names in known.items())
    renamed = {
        names[0]: others[0] for names, others in pairs if len(names) == len(others) == 1
    }
    return {name: renamed[name] for name in gone if name in renamed}


def _by_content(
    records: Mapping[str, TensorRecord | SignatureRecord],
) -> dict[Hashable, list[str]]:
    """Returns the names of records by what is the same in equal ones."""
    found: dict[Hashable, list[str]] = {}
    for name, record in records.items():
        content: Hashable = record
        if isinstance(record, SignatureRecord):
            tensors = (
                frozenset(each.items()) for each in (record.inputs, record.outputs)
            )
            content = (*tensors, record.method_name)
        found.setdefault(content, []).append(name)
    return found


def _takes(old: TensorRecord, new: TensorRecord) -> bool:
    """Tells whether an input takes what another one took; who leaves it out is to get the same answer."""
    return _fits(old, new) and old.default in (None, new.default)


def _answers(
    old: TensorRecord, new: TensorRecord, freed: Collection[int | None]
) -> bool:
    """Tells whether an output is one that callers of another can do with.

    It may promise more than it did. Where inputs take more, what has their sizes is of more sizes than before, and
    still of those that it was of for what was sent before.
    """
    if _type(old) != _type(new):
        return False
    if old.shape is None:
        return True
    if new.shape is None:
        return None in freed and all(
            size is None or size in freed for size in old.shape
        )
    return len(old.shape) == len(new.shape) and all(
        before in (None, after) or (after is None and before in freed)
        for before, after in zip(old.shape, new.shape, strict=True)
    )


def _freed(
    old: Mapping[str, TensorRecord], new: Mapping[str, TensorRecord]
) -> set[int | None]:
    """Returns the sizes that inputs had and may be any now; None is among them where one may be of any rank."""
    freed = set[int | None]()
    for name in old.keys() & new.keys():
        before, after = old[name], new[name]
        if not _fits(before, after):
            return set()
        if before.shape is not None and after.shape is not None:
            pairs = zip(before.shape, after.shape, strict=True)
            freed |= {size for size, now in pairs if size is not None and now is None}
        elif before.shape is not None:
            freed |= {*before.shape, None}
    return freed


def _within(
    inner: tuple[int | None, ...] | None, outer: tuple[int | None, ...] | None
) -> bool:
    """Tells whether every shape that `inner` takes is one that `outer` takes."""
    if outer is None or inner is None:
        return outer is None
    return len(inner) == len(outer) and all(
        big in (None, small) for small, big in zip(inner, outer, strict=True)
    )
