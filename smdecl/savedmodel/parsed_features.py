"""Tells which feature of serialized tf.Examples an output of a parser has."""

from __future__ import annotations

from collections.abc import Mapping

from smdecl.savedmodel.audits.dataflow import source
from smdecl.savedmodel.protos import NodeDef

PARSER = "ParseExampleV2"
_KEYS = {"sparse_values": 2, "dense_values": 3, "ragged_values": 4}
"""Outputs that have the values of features, and the positions of the inputs that have their keys.

Each output is a list with a tensor for each key.
"""


def key(
    node: NodeDef, reference: str, nodes: Mapping[str, NodeDef]
) -> str | None:
    """Returns the key of the feature whose values an output has; None for any other output.

    Args:
        node: A parser.
        reference: The output, as `parse:dense_values:1` in a function, or as `parse:4` in a graph.
        nodes: All nodes by name.
    """
    _, *place = reference.split(":")
    if len(place) == 2:  # noqa: PLR2004 - a list and the index in it
        outputs, index = place[0], int(place[1])
    else:
        position = int(place[0]) if place else 0
        outputs, index = _output(node, position)
    if outputs not in _KEYS:
        return None
    keys = nodes.get(source(node.input[_KEYS[outputs]]))
    texts = keys.attr["value"].tensor.string_val if keys else ()
    return texts[index].decode() if index < len(texts) else None


def _output(node: NodeDef, position: int) -> tuple[str, int]:
    """Returns the list that an output is in, and its index there."""
    sparse = node.attr["num_sparse"].i
    counts = {
        "sparse_indices": sparse,
        "sparse_values": sparse,
        "sparse_shapes": sparse,
        "dense_values": len(node.attr["Tdense"].list.type),
        "ragged_values": len(node.attr["ragged_value_types"].list.type),
    }
    for name, count in counts.items():
        if position < count:
            return name, position
        position -= count
    return "ragged_row_splits", position
