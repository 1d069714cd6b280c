"""Makes serialized `tf.train.Example`s of the features that a function parses, for the APIs that send these."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from smdecl.savedmodel.protos import NodeDef

_PARSER = "ParseExampleV2"
_VALUES = 2  # of a feature of any number of values
Draw = Callable[[str, Sequence[int]], Any]


@dataclass(frozen=True)
class Feature:
    """A feature that a function parses: its key, its dtype, and its shape, of which None may be any size."""

    key: str
    dtype: str
    shape: tuple[int | None, ...]


def features(function: tf.types.experimental.ConcreteFunction) -> list[Feature]:
    """Returns the features that a function parses, by their keys; none where it parses by other ops."""
    graph = function.graph.as_graph_def()
    found: dict[str, Feature] = {}
    for nodes in (graph.node, *(body.node_def for body in graph.library.function)):
        by_name = {node.name: node for node in nodes}
        for node in nodes:
            if node.op == _PARSER:
                found |= {feature.key: feature for feature in _parsed(node, by_name)}
    return [found[key] for key in sorted(found)]


def _parsed(node: NodeDef, nodes: Mapping[str, NodeDef]) -> Iterator[Feature]:
    sparse, dense, ragged = (_constant(node.input[index], nodes) for index in (2, 3, 4))
    shapes = [
        tf.TensorShape(shape).as_list()
        for shape in node.attr["dense_shapes"].list.shape
    ]
    for key, dtype, shape in zip(
        dense, node.attr["Tdense"].list.type, shapes, strict=True
    ):
        yield Feature(key, tf.as_dtype(dtype).name, tuple(shape))
    for keys, attribute in ((sparse, "sparse_types"), (ragged, "ragged_value_types")):
        for key, dtype in zip(keys, node.attr[attribute].list.type, strict=True):
            yield Feature(key, tf.as_dtype(dtype).name, (None,))


def _constant(reference: str, nodes: Mapping[str, NodeDef]) -> list[str]:
    """Returns the texts of a constant; none of what is computed."""
    node = nodes.get(reference.partition(":")[0])
    if node is None or node.op != "Const":
        return []
    return [
        text.decode() for text in tf.make_ndarray(node.attr["value"].tensor).ravel()
    ]


def make(parsed: Sequence[Feature], count: int, draw: Draw) -> Any:
    """Returns an array of serialized examples.

    Args:
        parsed: The features of each example.
        count: Of the examples.
        draw: Draws values of a dtype and a shape.
    """
    made = [
        _example(parsed, draw).SerializeToString(deterministic=True)
        for _ in range(count)
    ]
    return np.array([*made, None], dtype=object)[
        :-1
    ]  # NumPy would make an array of bytes of one length of them


def _example(parsed: Sequence[Feature], draw: Draw) -> tf.train.Example:
    example = tf.train.Example()
    for feature in parsed:
        shape = [_VALUES if size is None else size for size in feature.shape]
        values = np.ravel(draw(feature.dtype, shape)).tolist()
        field = _FIELDS.get(feature.dtype, "int64_list")
        getattr(example.features.feature[feature.key], field).value.extend(values)
    return example


_FIELDS = {"float32": "float_list", "string": "bytes_list"}
