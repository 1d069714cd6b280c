"""The graph that audit rules examine, and how they name a place in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from smdecl.savedmodel.audits import outside_ops
from smdecl.savedmodel.inspection import all_nodes
from smdecl.savedmodel.protos import MetaGraphDef, NodeDef


@dataclass(frozen=True)
class Subject:
    """The graph that is audited, and the context that rules need.

    Attributes:
        graph: The first MetaGraph of the SavedModel.
        providers: Op to the entry of the project's custom_ops that registers it.
        consumer: The oldest TensorFlow release that must load the graph; None if there is none.
    """

    graph: MetaGraphDef
    providers: Mapping[str, str] = field(default_factory=dict)
    consumer: str | None = None

    def nodes(self) -> Sequence[tuple[str, NodeDef]]:
        """Returns the function and node of everything in the user's code.

        Functions that save and restore variables are left out. Nodes of the graph itself have an
        empty function name.
        """
        return self._nodes

    @cached_property
    def _nodes(self) -> Sequence[tuple[str, NodeDef]]:
        savers = outside_ops.saver_functions(self.graph)
        return [
            (function, node)
            for function, node in all_nodes(self.graph)
            if function not in savers
        ]


def place(function: str, node: NodeDef) -> str:
    """Returns how a finding names a node."""
    return f"{function}/{node.name}" if function else str(node.name)
