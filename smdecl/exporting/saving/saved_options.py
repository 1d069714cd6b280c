"""Checks what was saved against the save options, without TensorFlow."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from smdecl.errors import ConfigError, ContractError, Problem
from smdecl.savedmodel.inspection import all_nodes, serving_graph
from smdecl.savedmodel.protos import GraphDef, MetaGraphDef, SavedModel


def require(
    message: SavedModel, options: Mapping[str, Any], loaders: Collection[str]
) -> None:
    """Raises if a SavedModel contradicts its save options or cannot be served because of them.

    Args:
        message: What was saved.
        options: The save options of the config.
        loaders: The loaders of the config that verify it.

    Raises:
        ConfigError: If an op has a namespace that is not allowed.
        ContractError: If a server needs a saver for variables, and there is none.
    """
    graph = serving_graph(message)
    allowed = options["namespace_whitelist"]
    if allowed is not None:
        _require_namespaces(graph, allowed)
    if options["experimental_skip_saver"] and "cpp" in loaders:
        _require_no_variables(graph.graph_def)


def _require_namespaces(graph: MetaGraphDef, allowed: Collection[str]) -> None:
    found = sorted(set(_namespaced_ops(graph, allowed)))
    if found:
        known = ", ".join(allowed) or "none"
        message = f"allows {known}, but the graph has {', '.join(found)}"
        raise ConfigError(Problem(("options", "namespace_whitelist"), message))


def _namespaced_ops(
    graph: MetaGraphDef, allowed: Collection[str]
) -> Iterator[str]:
    """Yields the ops with a namespace that is not allowed; an op is written `Namespace>Name`."""
    for _, node in all_nodes(graph):
        namespace, separator, _ = node.op.partition(">")
        if separator and namespace not in allowed:
            yield node.op


def _require_no_variables(graph: GraphDef) -> None:
    variables = {node.name for node in graph.node if node.op == "VarHandleOp"}
    for node in graph.node:
        is_call = node.op.endswith("PartitionedCall")
        if is_call and not variables.isdisjoint(node.input):
            message = (
                "leaves no saver for variables that signatures read,"
                " so no server can restore them; "
                "expected false, or verify.loaders=[python] if only tf.saved_model.load loads it"
            )
            raise ContractError(
                Problem(("options", "experimental_skip_saver"), message)
            )
