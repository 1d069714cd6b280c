"""Reads the functions that tf.saved_model.load gives: their arguments, and each of their traces."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from smdecl import structured_values
from smdecl.object_graphs import is_function, named_objects
from smdecl.protos import FunctionSpec, MetaGraphDef, SavedConcreteFunction, SavedObject
from smdecl.records import VALUE, ArgumentsRecord, FunctionRecord, TensorRecord, TraceRecord


def saved_functions(graph: MetaGraphDef) -> Iterator[tuple[str, FunctionRecord]]:
    """Yields every function that hangs on the saved object, by each dotted path that leads to it.

    Inputs of a trace are named as in Python, or by position where they have no name, and by the
    place in a nest: `x`, `batch.ids`, `2`.
    """
    objects, known = graph.object_graph_def.nodes, dict[int, FunctionRecord]()
    for name, index in named_objects(graph.object_graph_def):
        if is_function(objects[index]):
            if index not in known:
                traces = graph.object_graph_def.concrete_functions
                known[index] = _function(objects[index], traces)
            yield name, known[index]


def _function(node: SavedObject, traces: Mapping[str, SavedConcreteFunction]) -> FunctionRecord:
    if node.WhichOneof("kind") == "bare_concrete_function":
        trace = traces[node.bare_concrete_function.concrete_function_name]
        return FunctionRecord((_trace(trace, ()),), None)
    arguments = _arguments(node.function.function_spec)
    names = arguments.positional if arguments else ()
    found = tuple(_trace(traces[name], names) for name in node.function.concrete_functions)
    return FunctionRecord(found, arguments)


def _arguments(function_spec: FunctionSpec) -> ArgumentsRecord | None:
    pairs = function_spec.fullargspec.named_tuple_value.values
    parts = {pair.key: pair.value for pair in pairs}
    if "args" not in parts:
        return None
    positional = [value.string_value for value in parts["args"].list_value.values]
    keyword_only = [value.string_value for value in parts["kwonlyargs"].list_value.values]
    values = parts["defaults"].tuple_value.values
    defaults = dict(zip(positional[len(positional) - len(values) :], values, strict=True))
    defaults |= dict(parts["kwonlydefaults"].dict_value.fields)
    return ArgumentsRecord(
        tuple(positional[1:] if function_spec.is_method else positional),
        tuple(sorted(keyword_only)),
        {name: structured_values.text(value) for name, value in sorted(defaults.items())},
    )


def _trace(function: SavedConcreteFunction, names: tuple[str, ...]) -> TraceRecord:
    signature = function.canonicalized_input_signature.tuple_value.values
    positional, keywords = (*signature, None, None)[:2]
    values = enumerate(positional.tuple_value.values if positional else ())
    given = {names[index] if index < len(names) else str(index): value for index, value in values}
    given |= dict(sorted(keywords.dict_value.fields.items())) if keywords else {}
    leaves = {name: dict(structured_values.leaves(value, name)) for name, value in given.items()}
    nests = (structured_values.nests(value, name) for name, value in given.items())
    inputs: dict[str, TensorRecord] = {}
    for each in leaves.values():
        inputs |= each
    return TraceRecord(
        inputs=inputs,
        outputs=_unnamed(dict(structured_values.leaves(function.output_signature, ""))),
        values={
            name: structured_values.text(given[name])
            for name, each in leaves.items()
            if all(leaf.dtype.startswith(VALUE) for leaf in each.values())
        },
        nests={place: kind for each in nests for place, kind in each},
        returns=dict(structured_values.nests(function.output_signature, "")),
    )


def _unnamed(outputs: Mapping[str, TensorRecord]) -> dict[str, TensorRecord]:
    """Drops the names of outputs, which TensorFlow generates and no caller uses."""
    return {place: replace(record, name=None) for place, record in outputs.items()}
