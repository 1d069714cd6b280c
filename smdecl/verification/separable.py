"""Tells which SavedModels leave nothing behind in a process that has loaded and run them."""

from __future__ import annotations

from pathlib import Path

from tensorflow.python.framework import op_def_registry

from smdecl.savedmodel import inspection
from smdecl.savedmodel.audits import outside_ops

# Variables, and calls of functions. Each load makes variables of its own.
_VARIABLES = frozenset({
    "Assert", "AssignAddVariableOp", "AssignSubVariableOp", "AssignVariableOp", "Case",
    "DisableCopyOnRead", "If", "MergeV2Checkpoints", "ReadVariableOp", "ResourceGather",
    "ResourceScatterAdd", "ResourceScatterUpdate", "RestoreV2", "SaveV2", "StatefulPartitionedCall",
    "VarHandleOp", "VarIsInitializedOp", "While",
})  # fmt: skip

_SHARING = ("container", "shared_name")


def is_separable(directory: Path) -> bool:
    """Returns whether the ops of a SavedModel have no state but variables, and no side effect.

    Loads of two such SavedModels in one process do not affect each other. Tables, for example,
    might: a process can share resources of one name.
    """
    message = inspection.read(directory)
    if outside_ops.find(message):
        return False
    names: set[str] = set()
    for graph in message.meta_graphs:
        names.update(node.op for _, node in inspection.all_nodes(graph))
    return all(_is_separable(name) for name in names)


def _is_separable(name: str) -> bool:
    if name in _VARIABLES:
        return True
    definition = op_def_registry.get(name)
    if definition is None or definition.is_stateful:
        return False
    attributes = {attribute.name for attribute in definition.attr}
    # Ops of one name share something, even some that are not called stateful.
    is_shared = not attributes.isdisjoint(_SHARING)
    return not is_shared and not definition.is_distributed_communication
