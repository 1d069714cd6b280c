"""Makes serialized `tf.train.Example`s of the features that a function parses."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import tensorflow as tf

from smdecl.exporting.types import ConcreteFunction
from smdecl.savedmodel.comparing.array_distances import Array
from smdecl.savedmodel.parsed_features import PARSER
from smdecl.savedmodel.protos import NodeDef

_ANY_SIZE = 2  # what a size that may be any is in an example

Draw: TypeAlias = Callable[[str, Sequence[int]], Array]
"""Draws values of a dtype and a shape."""


@dataclass(frozen=True)
class Feature:
    """A feature that a function parses.

    Attributes:
        key: Its key in a tf.Example.
        dtype: The canonical name of its dtype.
        shape: Its shape, in which None may be any size.
    """

    key: str
    dtype: str
    shape: tuple[int | None, ...]


def features(function: ConcreteFunction) -> list[Feature]:
    """Returns the features that a function parses, sorted by key.

    Only `tf.io.parse_example` is recognised; a function that parses otherwise has none.
    """
    graph = function.graph.as_graph_def()
    bodies = [graph.node, *(body.node_def for body in graph.library.function)]
    found: dict[str, Feature] = {}
    for nodes in bodies:
        by_name = {node.name: node for node in nodes}
        for node in nodes:
            if node.op == PARSER:
                found.update(
                    (each.key, each) for each in _parsed(node, by_name)
                )
    return [found[key] for key in sorted(found)]


def _parsed(node: NodeDef, nodes: Mapping[str, NodeDef]) -> Iterator[Feature]:
    sparse = _constant(node.input[2], nodes)
    dense = _constant(node.input[3], nodes)
    ragged = _constant(node.input[4], nodes)
    dense_types = node.attr["Tdense"].list.type
    dense_shapes = node.attr["dense_shapes"].list.shape
    for key, dtype, shape in zip(
        dense, dense_types, dense_shapes, strict=True
    ):
        sizes = tf.TensorShape(shape).as_list()
        yield Feature(key, tf.as_dtype(dtype).name, tuple(sizes))
    for keys, attribute in (
        (sparse, "sparse_types"),
        (ragged, "ragged_value_types"),
    ):
        for key, dtype in zip(
            keys, node.attr[attribute].list.type, strict=True
        ):
            yield Feature(key, tf.as_dtype(dtype).name, (None,))


def _constant(reference: str, nodes: Mapping[str, NodeDef]) -> list[str]:
    """Returns the texts of a constant; empty if the tensor is computed."""
    node = nodes.get(reference.partition(":")[0])
    if node is None or node.op != "Const":
        return []
    texts = tf.make_ndarray(node.attr["value"].tensor).ravel()
    return [text.decode() for text in texts]


def draw(parsed: Sequence[Feature], draw_feature: Draw) -> dict[str, Array]:
    """Draws the values of the features of a tf.Example, by key."""
    values = {}
    for feature in parsed:
        shape = [_ANY_SIZE if size is None else size for size in feature.shape]
        values[feature.key] = draw_feature(feature.dtype, shape)
    return values


def serialize(
    parsed: Sequence[Feature], rows: Sequence[Mapping[str, Array]]
) -> Array:
    """Returns a one-dimensional array of serialized tf.Examples.

    Args:
        parsed: The features of each tf.Example.
        rows: Their values by key.
    """
    serialized = np.empty(len(rows), dtype=object)
    for index, row in enumerate(rows):
        example = _example(parsed, row)
        serialized[index] = example.SerializeToString(deterministic=True)
    return serialized


def _example(
    parsed: Sequence[Feature], row: Mapping[str, Array]
) -> tf.train.Example:
    example = tf.train.Example()
    for feature in parsed:
        values = np.ravel(row[feature.key]).tolist()
        field = _FIELDS.get(feature.dtype, "int64_list")
        getattr(example.features.feature[feature.key], field).value.extend(
            values
        )
    return example


_FIELDS = {"float32": "float_list", "string": "bytes_list"}
