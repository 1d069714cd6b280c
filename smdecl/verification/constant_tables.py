"""Reads the tables that a SavedModel fills with constants, such as vocabularies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import tensorflow as tf

from smdecl.savedmodel.audits.dataflow import source
from smdecl.savedmodel.comparing.array_distances import Array
from smdecl.savedmodel.protos import FunctionDef, MetaGraphDef, NodeDef

Table: TypeAlias = tuple[tuple[Any, Any], ...]
"""The values and keys of a table, sorted by value; those of a vocabulary are ids and tokens."""

_FILLS = ("InitializeTable", "InitializeTableV2", "LookupTableImportV2")
_KEYS, _VALUES = 1, 2


def read(graph: MetaGraphDef) -> list[Table]:
    """Returns the content of each table whose keys and values are constants.

    `tf.saved_model.save` saves a function that fills the table, and binds the constants to it.
    """
    constants = {
        node.name: node for node in graph.graph_def.node if node.op == "Const"
    }
    found = []
    for function in graph.graph_def.library.function:
        bound = _bound_constants(graph, function)
        for node in function.node_def:
            if node.op not in _FILLS:
                continue
            arrays = list(_arrays(node, bound, constants))
            if len(arrays) == len((_KEYS, _VALUES)):
                found.append(_table(*arrays))
    return found


def _bound_constants(
    graph: MetaGraphDef, function: FunctionDef
) -> dict[str, str]:
    """Returns the arguments of a function that are constants, with the names of their nodes."""
    objects = graph.object_graph_def
    if function.signature.name not in objects.concrete_functions:
        return {}
    concrete = objects.concrete_functions[function.signature.name]
    numbers = list(concrete.bound_inputs)
    arguments = [each.name for each in function.signature.input_arg]
    bound: dict[str, str] = {}
    for name, number in zip(arguments[::-1], numbers[::-1], strict=False):
        if 0 <= number < len(objects.nodes):
            bound[name] = objects.nodes[number].constant.operation
    return bound


def _arrays(
    node: NodeDef, bound: dict[str, str], constants: dict[str, NodeDef]
) -> Iterator[Array]:
    """Yields the keys and the values that a node fills a table with, if they are constants."""
    for position in (_KEYS, _VALUES):
        if position < len(node.input):
            name = bound.get(source(node.input[position]), "")
            if name in constants:
                yield tf.make_ndarray(constants[name].attr["value"].tensor)


def _table(keys: Array, values: Array) -> Table:
    pairs = zip(values.ravel().tolist(), keys.ravel().tolist(), strict=False)
    return tuple(sorted(pairs))


def texts(table: Table) -> Sequence[object]:
    """Returns the keys of a table in the order of their values, bytes as text."""
    found: list[object] = []
    for _, key in table:
        is_text = isinstance(key, bytes)
        found.append(key.decode("utf-8", "replace") if is_text else key)
    return found
