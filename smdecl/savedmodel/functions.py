"""Reads the functions that tf.saved_model.load restores: their arguments and their traces."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from smdecl.budgets import Budget
from smdecl.savedmodel import object_keys, structured_value
from smdecl.savedmodel.object_graph import is_function, keyed_objects
from smdecl.savedmodel.protos import (
    FunctionSpec,
    MetaGraphDef,
    SavedConcreteFunction,
    SavedObject,
    StructuredValue,
)
from smdecl.savedmodel.records import (
    VALUE,
    ArgumentsRecord,
    FunctionRecord,
    TensorRecord,
    TraceRecord,
)

_MOST_TRACES = 30_000  # of all functions, counted for each of their names
_MOST_PLACES = 1 << 26  # characters in the places of all arguments and results
# Traces that several functions share are read for each of them: up to this many times the size of
# all traces, but at least a small size.
_MOST_SHARED = 4
_SMALL = 1 << 18  # bytes


def saved_functions(
    graph: MetaGraphDef,
) -> Iterator[tuple[str, FunctionRecord]]:
    """Yields every function that the saved object leads to, by each dotted path to it.

    Inputs of a trace are named as in Python, or by position if they have no name, followed by their
    place in a nest: `x`, `batch.ids`, `2`.

    Raises:
        ValueError: If the graph is malformed, or has more traces than any honest file.
        IndexError, KeyError: If the graph is malformed.
    """
    objects = graph.object_graph_def.nodes
    known: dict[int, FunctionRecord] = {}
    traces = _Traces(graph.object_graph_def.concrete_functions)
    listed = Budget(_MOST_TRACES, "traces of its functions")
    for key, index in keyed_objects(graph.object_graph_def):
        if not is_function(objects[index]):
            continue
        if index not in known:
            known[index] = _function(objects[index], traces)
        listed.spend(len(known[index].traces))
        yield ".".join(object_keys.local_names(key)), known[index]


class _Traces:
    """The traces of a graph. Reading those that several functions share is bounded."""

    def __init__(self, traces: Mapping[str, SavedConcreteFunction]) -> None:
        self._traces = traces
        self._sizes = {
            name: trace.ByteSize() for name, trace in traces.items()
        }
        most = max(_MOST_SHARED * sum(self._sizes.values()), _SMALL)
        self._bytes = Budget(
            most, "bytes of traces that several functions share"
        )
        self._places = Budget(
            _MOST_PLACES, "characters in the places of arguments and results"
        )

    def read(self, name: str, arguments: tuple[str, ...]) -> TraceRecord:
        """Returns a trace of a function, whose positional arguments have these names."""
        if name not in self._sizes:
            raise ValueError(f"a function has the unknown trace {name!r}")
        self._bytes.spend(self._sizes[name])
        return _trace(self._traces[name], arguments, self._places)


def _function(node: SavedObject, traces: _Traces) -> FunctionRecord:
    if node.WhichOneof("kind") == "bare_concrete_function":
        trace = traces.read(
            node.bare_concrete_function.concrete_function_name, ()
        )
        return FunctionRecord((trace,), None)
    arguments = _arguments(node.function.function_spec)
    names = arguments.positional if arguments else ()
    listed = dict.fromkeys(node.function.concrete_functions)
    return FunctionRecord(
        tuple(traces.read(name, names) for name in listed), arguments
    )


def _arguments(function_spec: FunctionSpec) -> ArgumentsRecord | None:
    pairs = function_spec.fullargspec.named_tuple_value.values
    parts = {pair.key: pair.value for pair in pairs}
    if "args" not in parts:
        return None
    positional = [
        value.string_value for value in parts["args"].list_value.values
    ]
    keyword_only = [
        value.string_value for value in parts["kwonlyargs"].list_value.values
    ]
    values = parts["defaults"].tuple_value.values
    with_default = positional[len(positional) - len(values) :]
    defaults = dict(zip(with_default, values, strict=True))
    defaults |= dict(parts["kwonlydefaults"].dict_value.fields)
    if function_spec.is_method:
        positional = positional[1:]  # without `self`
    return ArgumentsRecord(
        tuple(positional),
        tuple(sorted(keyword_only)),
        {
            name: structured_value.text(defaults[name])
            for name in sorted(defaults)
        },
    )


def _trace(
    function: SavedConcreteFunction, names: tuple[str, ...], places: Budget
) -> TraceRecord:
    inputs: dict[str, TensorRecord] = {}
    values: dict[str, str] = {}
    nests: dict[str, str] = {}
    for name, argument in _arguments_of_trace(function, names):
        leaves = _leaves(argument, name, places)
        inputs |= leaves
        if all(leaf.dtype.startswith(VALUE) for leaf in leaves.values()):
            values[name] = structured_value.text(argument)
        nests |= _nests(argument, name, places)
    return TraceRecord(
        inputs=inputs,
        outputs=_unnamed(_leaves(function.output_signature, "", places)),
        values=values,
        nests=nests,
        returns=_nests(function.output_signature, "", places),
    )


def _arguments_of_trace(
    function: SavedConcreteFunction, names: tuple[str, ...]
) -> Iterator[tuple[str, StructuredValue]]:
    """Yields the arguments of a trace by name, those without a name by position."""
    passed: dict[str, StructuredValue] = {}
    parts = function.canonicalized_input_signature.tuple_value.values
    if len(parts) > 0:
        for index, value in enumerate(parts[0].tuple_value.values):
            name = names[index] if index < len(names) else str(index)
            passed[name] = value
    if len(parts) > 1:
        passed |= dict(sorted(parts[1].dict_value.fields.items()))
    yield from passed.items()


def _leaves(
    value: StructuredValue, place: str, places: Budget
) -> dict[str, TensorRecord]:
    found = {}
    for name, record in structured_value.leaves(value, place):
        places.spend(len(name))
        found[name] = record
    return found


def _nests(
    value: StructuredValue, place: str, places: Budget
) -> dict[str, str]:
    found = {}
    for name, kind in structured_value.nests(value, place):
        places.spend(len(name))
        found[name] = kind
    return found


def _unnamed(outputs: Mapping[str, TensorRecord]) -> dict[str, TensorRecord]:
    """Drops the names of outputs, which TensorFlow generates and no caller uses."""
    return {
        place: replace(record, name=None) for place, record in outputs.items()
    }
