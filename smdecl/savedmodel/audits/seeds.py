"""Finds random ops whose seed is in a variable that the signature itself changes.

Such an op has no state, but each call uses a different seed, as layers of Keras 3 do in training.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from smdecl.savedmodel.audits.seed_functions import (
    GRAPH,
    Bodies,
    data_inputs,
    seed_inputs,
)
from smdecl.savedmodel.audits.seed_origins import Origins, Value
from smdecl.savedmodel.protos import MetaGraphDef, NodeDef


@dataclass(frozen=True)
class Draw:
    """A random op, by its function and node, and the variables that its seed comes from."""

    function: str
    node: NodeDef
    variables: frozenset[str]


def draws(meta_graph: MetaGraphDef) -> Iterator[Draw]:
    """Yields the random ops with a seed in a variable that their signature writes."""
    bodies = Bodies(meta_graph.graph_def)
    graph = bodies.of(GRAPH)
    # Draws that were found are not searched again in other signatures that share their function.
    seen = set[Value]()
    for signature in meta_graph.signature_def.values():
        outputs = [tensor.name for tensor in signature.outputs.values()]
        sources = sorted({name.partition(":")[0] for name in outputs})
        calls = [graph.nodes[name] for name in sources if name in graph.runs]
        for draw in _Signature(bodies, calls).draws(outputs, seen):
            seen.add((draw.function, draw.node.name))
            yield draw


class _Signature:
    """The functions that a signature runs, directly or not.

    Args:
        bodies: The functions of the graph.
        calls: The nodes in the graph that run functions for the outputs of the signature.
    """

    def __init__(self, bodies: Bodies, calls: list[NodeDef]) -> None:
        self._bodies = bodies
        self._functions: dict[str, None] = {}
        self._calls: list[tuple[str, NodeDef]] = []
        pending = [(GRAPH, call) for call in calls]
        while pending:
            caller, node = pending.pop()
            self._calls.append((caller, node))
            for name in self._bodies.of(caller).called(node.name):
                if name not in self._functions:
                    self._functions[name] = None
                    body = self._bodies.of(name)
                    pending += [
                        (name, body.nodes[inner]) for inner in body.runs
                    ]

    def draws(self, outputs: list[str], seen: set[Value]) -> Iterator[Draw]:
        """Yields the random ops with a changing seed whose results are used.

        Args:
            outputs: References to the outputs of the signature.
            seen: The ops to leave out, by function and name.
        """
        drawing = self._drawing(seen)
        writing = self._writing()
        if not drawing or not writing:
            return
        origins = Origins(self._bodies, self._calls)
        targets = [(function, node.input[0]) for function, node in writing]
        written = origins.variables(targets)
        used = origins.nodes(self._results(outputs, writing))
        seeds = []
        for function, node in drawing:
            seeds.append([(function, seed) for seed in seed_inputs(node)])
        found = origins.variables_of_each(seeds)
        for (function, node), variables in zip(drawing, found, strict=True):
            changing = variables & written
            if changing and (function, node.name) in used:
                yield Draw(function, node, changing)

    def _drawing(self, seen: set[Value]) -> list[tuple[str, NodeDef]]:
        found = []
        for function in self._functions:
            for node in self._bodies.of(function).drawing:
                if (function, node.name) not in seen:
                    found.append((function, node))
        return found

    def _writing(self) -> list[tuple[str, NodeDef]]:
        found = []
        for function in self._functions:
            for node in self._bodies.of(function).writing:
                found.append((function, node))
        return found

    def _results(
        self, outputs: list[str], writing: list[tuple[str, NodeDef]]
    ) -> list[Value]:
        """Returns the values that leave the signature: its outputs, and new values of variables."""
        results = [(GRAPH, output) for output in outputs]
        for function, node in writing:
            for reference in data_inputs(node)[1:]:
                results.append((function, reference))
        return results
