"""Compares the restored functions of two SavedModels for their callers."""

from __future__ import annotations

import re
from collections.abc import Collection, Hashable, Iterator, Mapping
from dataclasses import replace

from smdecl import syntax_trees
from smdecl.budgets import Budget
from smdecl.errors import ContractError
from smdecl.savedmodel.comparing.compatible_tensors import (
    accepts,
    answers,
    form,
    freed_sizes,
)
from smdecl.savedmodel.records import (
    ADDITIVE,
    BREAKING,
    INTERNAL,
    ArgumentsRecord,
    Change,
    FunctionRecord,
    TensorRecord,
    TraceRecord,
)

_MOST_COMPARED = 1_000_000  # tensors of pairs of traces
_LONGEST_DEFAULT = 100  # characters of a value that may become a tensor
# Type of a Python value to the dtypes that a loaded function converts it to. More dtypes may fit
# some values.
_DTYPES = {
    bool: ("bool",),
    int: ("int32", "int64", "float32", "float64"),
    float: ("float16", "bfloat16", "float32", "float64"),
    str: ("string",),
}
_INT32 = 2**31
# It is in the text of a tensor with several values, or with a long one.
_DIGEST = " sha256 "


def changes(
    old: Mapping[str, FunctionRecord], new: Mapping[str, FunctionRecord]
) -> Iterator[Change]:
    """Yields the changes of functions, by dotted path.

    Raises:
        ContractError: If the functions have too many traces to compare.
    """
    budget = Budget(_MOST_COMPARED, "pairs of tensors in their traces")
    for name in sorted({*old, *new}):
        for change in _of_name(name, old.get(name), new.get(name), budget):
            if _is_private(name):
                yield replace(change, verdict=INTERNAL)
            else:
                yield change


def _is_private(name: str) -> bool:
    """Returns whether a part of a dotted path begins with an underscore, as Keras's own do."""
    parts = name.split(".")
    return any(re.match(r"_(?!_)", part) for part in parts)


def _of_name(
    name: str,
    old: FunctionRecord | None,
    new: FunctionRecord | None,
    budget: Budget,
) -> Iterator[Change]:
    if old is None:
        yield Change("functions", name, "was added", ADDITIVE)
    elif new is None:
        message = "was removed; tf.saved_model.load no longer restores it"
        yield Change("functions", name, message, BREAKING)
    else:
        yield from _function(name, old, new, budget)


def _function(
    name: str, old: FunctionRecord, new: FunctionRecord, budget: Budget
) -> Iterator[Change]:
    if old.arguments and new.arguments and old.arguments != new.arguments:
        # `**rest` accepts names that are not in the `def`.
        passed = {*old.arguments.names}.union(*map(_passed, old.traces))
        is_compatible = _keeps_arguments(old.arguments, new.arguments, passed)
        verdict = ADDITIVE if is_compatible else BREAKING
        message = (
            f"arguments changed from ({old.arguments}) to ({new.arguments})"
        )
        yield Change("functions", name, message, verdict)
    for trace in _unserved(old, new, budget):
        message = f"can no longer be called as {trace}"
        yield Change("functions", name, message, BREAKING)
    for trace in _unserved(new, old, budget):
        yield Change(
            "functions", name, f"can now be called as {trace}", ADDITIVE
        )


def _keeps_arguments(
    old: ArgumentsRecord, new: ArgumentsRecord, passed: Collection[str]
) -> bool:
    """Returns whether arguments can be passed by position and omitted as before.

    Args:
        old: The arguments that callers know.
        new: The arguments that replace them.
        passed: The names of all arguments that callers pass.
    """
    positional = new.positional[: len(old.positional)]
    return (
        positional == old.positional
        and old.defaults.items() <= new.defaults.items()
        and all(name in passed or name in new.defaults for name in new.names)
    )


def _unserved(
    old: FunctionRecord, new: FunctionRecord, budget: Budget
) -> Iterator[TraceRecord]:
    """Yields the traces in `old` whose callers cannot call any trace in `new`.

    Only traces with the same types of inputs are compared, shapes and added arguments aside.
    """
    same = set(map(_content, new.traces))
    # A caller passes the same arguments. A new trace may have more of them, with defaults.
    defaults = new.arguments.defaults if new.arguments else dict[str, str]()
    by_form: dict[Hashable, list[TraceRecord]] = {}
    for trace in new.traces:
        by_form.setdefault(_required(trace, defaults), []).append(trace)
    for trace in old.traces:
        if _content(trace) in same:
            continue
        others = by_form.get(_required(trace, defaults), [])
        _spend(
            budget, len(others) * (len(trace.inputs) + len(trace.outputs) + 1)
        )
        if not any(_serves(trace, other, defaults) for other in others):
            yield trace


def _spend(budget: Budget, amount: int) -> None:
    try:
        budget.spend(amount)
    except ValueError as error:
        raise ContractError(
            f"cannot compare the SavedModels: {error}"
        ) from error


def _content(trace: TraceRecord) -> Hashable:
    """Returns a hashable value that is equal for equal traces."""
    parts = (
        trace.inputs,
        trace.outputs,
        trace.values,
        trace.nests,
        trace.returns,
    )
    return tuple(frozenset(part.items()) for part in parts)


def _required(trace: TraceRecord, optional: Collection[str]) -> Hashable:
    """Returns the types of the required inputs; one trace can serve another only if they agree."""
    return frozenset(
        (place, form(tensor))
        for place, tensor in trace.inputs.items()
        if _argument(place) not in optional
    )


def _serves(
    old: TraceRecord, new: TraceRecord, defaults: Mapping[str, str]
) -> bool:
    """Returns whether whoever calls the trace `old` can call `new` instead.

    Args:
        old: The trace that callers know.
        new: A trace of the new function.
        defaults: The defaults of the new function's arguments.
    """
    return _accepts_call(old, new, defaults) and _returns_alike(old, new)


def _accepts_call(
    old: TraceRecord, new: TraceRecord, defaults: Mapping[str, str]
) -> bool:
    """Returns whether `new` accepts the arguments of `old`, and defaults for all others."""
    passed = _passed(old)
    places = {place for place in new.inputs if _argument(place) in passed}
    if not passed <= _passed(new) or places != old.inputs.keys():
        return False
    nests = {
        place: kind
        for place, kind in new.nests.items()
        if _argument(place) in passed
    }
    if nests != old.nests:
        return False
    added = _passed(new) - passed
    if not all(_accepts_default(new, name, defaults) for name in added):
        return False
    return all(
        accepts(new.inputs[place], old.inputs[place]) for place in places
    )


def _returns_alike(old: TraceRecord, new: TraceRecord) -> bool:
    """Returns whether whoever uses the result of `old` can use that of `new`."""
    known = old.outputs.keys() <= new.outputs.keys()
    if not known or not old.returns.items() <= new.returns.items():
        return False
    # A tuple with one more item cannot be unpacked as before.
    added = new.outputs.keys() - old.outputs.keys()
    if any(place.rpartition(".")[2].isdigit() for place in added):
        return False
    freed = freed_sizes(old.inputs, new.inputs)
    return all(
        answers(tensor, new.outputs[place], freed)
        for place, tensor in old.outputs.items()
    )


def _accepts_default(
    trace: TraceRecord, name: str, defaults: Mapping[str, str]
) -> bool:
    """Returns whether a call that omits an argument reaches the trace: its default fits there."""
    if name not in defaults:
        return False
    default = defaults[name]
    if name in trace.values:
        return trace.values[name] == default
    tensor = trace.inputs.get(name)
    if tensor is None:  # the argument is a nest
        return False
    if tensor.shape not in ((), None):
        return False
    return _becomes(default, tensor)


def _becomes(default: str, tensor: TensorRecord) -> bool:
    """Returns whether a loaded function converts a default value, in text, to a scalar tensor."""
    if default.startswith(f"{tensor.dtype} "):  # a tensor
        return _DIGEST not in default
    if len(default) > _LONGEST_DEFAULT:
        return False
    try:
        value = syntax_trees.literal(default)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return False
    if type(value) is int and abs(value) >= _INT32:
        return False
    return tensor.dtype in _DTYPES.get(type(value), ())


def _passed(trace: TraceRecord) -> set[str]:
    """Returns the arguments that a call of the trace passes."""
    return {*map(_argument, trace.inputs), *trace.values}


def _argument(place: str) -> str:
    return place.partition(".")[0]
