"""Reads the functions that tf.saved_model.load gives: their arguments, and each of their traces."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from smdecl.budgets import Budget
from smdecl.savedmodel import structured_value
from smdecl.savedmodel.object_graph import is_function, named_objects
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

_MOST_TRACES = 30_000  # of all functions, under each of their names
_MOST_PLACES = 1 << 26  # characters in the places of all arguments and results
_MOST_SHARED = 4  # times the size of all traces, for traces that several functions have
_SMALL = 1 << 18  # bytes


def saved_functions(graph: MetaGraphDef) -> Iterator[tuple[str, FunctionRecord]]:
    """Yields every function that hangs on the saved object, by each dotted path that leads to it.

    Inputs of a trace are named as in Python, or by position where they have no name, and by the
    place in a nest: `x`, `batch.ids`, `2`.

    Raises:
        ValueError: Where the graph is malformed, or its functions are more than any file has.
        IndexError, KeyError: Where it is malformed.
    """
    objects, known = graph.object_graph_def.nodes, dict[int, FunctionRecord]()
    traces = _Traces(graph.object_graph_def.concrete_functions)
    listed = Budget(_MOST_TRACES, "traces of its functions")
    for name, index in named_objects(graph.object_graph_def):
        if is_function(objects[index]):
            if index not in known:
                known[index] = _function(objects[index], traces)
            listed.spend(len(known[index].traces))
            yield name, known[index]


class _Traces:
    """The traces of a graph; those that several functions have are read within bounds."""

    def __init__(self, traces: Mapping[str, SavedConcreteFunction]) -> None:
        self._traces = traces
        self._sizes = {name: trace.ByteSize() for name, trace in traces.items()}
        most = max(_MOST_SHARED * sum(self._sizes.values()), _SMALL)
        self._bytes = Budget(most, "bytes of traces that several functions have")
        self._places = Budget(
            _MOST_PLACES, "characters in the places of arguments and results"
        )

    def read(self, name: str, arguments: tuple[str, ...]) -> TraceRecord:
        """Returns a trace of a function with these positional arguments."""
        if name not in self._sizes:
            raise ValueError(f"a function has the trace {name!r}, which is not there")
        self._bytes.spend(self._sizes[name])
        return _trace(self._traces[name], arguments, self._places)


def _function(node: SavedObject, traces: _Traces) -> FunctionRecord:
    if node.WhichOneof("kind") == "bare_concrete_function":
        trace = traces.read(node.bare_concrete_function.concrete_function_name, ())
        return FunctionRecord((trace,), None)
    arguments = _arguments(node.function.function_spec)
    names = arguments.positional if arguments else ()
    listed = dict.fromkeys(node.function.concrete_functions)
    return FunctionRecord(tuple(traces.read(name, names) for name in listed), arguments)


def _arguments(function_spec: FunctionSpec) -> ArgumentsRecord | None:
    pairs = function_spec.fullargspec.named_tuple_value.values
    parts = {pair.key: pair.value for pair in pairs}
    if "args" not in parts:
        return None
    positional = [value.string_value for value in parts["args"].list_value.values]
    keyword_only = [
        value.string_value for value in parts["kwonlyargs"].list_value.values
    ]
    values = parts["defaults"].tuple_value.values
    defaults = dict(
        zip(positional[len(positional) - len(values) :], values, strict=True)
    )
    defaults |= dict(parts["kwonlydefaults"].dict_value.fields)
    return ArgumentsRecord(
        tuple(positional[1:] if function_spec.is_method else positional),
        tuple(sorted(keyword_only)),
        {
            name: structured_value.text(value)
            for name, value in sorted(defaults.items())
        },
    )


_Leaves = dict[str, TensorRecord]


def _leaves(value: StructuredValue, place: str, places: Budget) -> _Leaves:
    found: _Leaves = {}
    for name, record in structured_value.leaves(value, place):
        places.spend(len(name))
        found[name] = record
    return found


def _nests(
    value: StructuredValue, place: str, places: Budget
) -> Iterator[tuple[str, str]]:
    for name, kind in structured_value.nests(value, place):
        places.spend(len(name))
        yield name, kind


def _trace(
    function: SavedConcreteFunction, names: tuple[str, ...], places: Budget
) -> TraceRecord:
    signature = function.canonicalized_input_signature.tuple_value.values
    positional, keywords = (*signature, None, None)[:2]
    given: dict[str, StructuredValue] = {}
    for index, value in enumerate(positional.tuple_value.values if positional else ()):
        name = names[index] if index < len(names) else str(index)
        given[name] = value
    if keywords:
        given |= dict(sorted(keywords.dict_value.fields.items()))
    leaves = {name: _leaves(value, name, places) for name, value in given.items()}
    inputs: _Leaves = {}
    values: dict[str, str] = {}
    nests: dict[str, str] = {}
    for name, each in leaves.items():
        inputs |= each
        if all(leaf.dtype.startswith(VALUE) for leaf in each.values()):
            values[name] = structured_value.text(given[name])
    for name, value in given.items():
        nests |= dict(_nests(value, name, places))
    return TraceRecord(
        inputs=inputs,
        outputs=_unnamed(_leaves(function.output_signature, "", places)),
        values=values,
        nests=nests,
        returns=dict(_nests(function.output_signature, "", places)),
    )


def _unnamed(outputs: Mapping[str, TensorRecord]) -> dict[str, TensorRecord]:
    """Drops the names of outputs, which TensorFlow generates and no caller uses."""
    return {place: replace(record, name=None) for place, record in outputs.items()}
