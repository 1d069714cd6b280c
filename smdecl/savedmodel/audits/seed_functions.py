"""The functions of a graph as the search for changing seeds sees them, each read once."""

from __future__ import annotations

import re
from collections.abc import Iterable

from smdecl.savedmodel.protos import (
    FunctionDef,
    GraphDef,
    NodeDef,
    functions_of,
)

GRAPH = ""  # in place of a function's name

# Op to the positions of the inputs that decide what it draws.
_SEEDED = {
    "RandomIndexShuffle": (1,),
    "StatelessMultinomial": (2,),
    "StatelessParameterizedTruncatedNormal": (1,),
    "StatelessRandomBinomial": (1,),
    "StatelessRandomGammaV2": (1,),
    "StatelessRandomGammaV3": (1, 2),
    "StatelessRandomNormal": (1,),
    "StatelessRandomNormalV2": (1, 2),
    "StatelessRandomPoisson": (1,),
    "StatelessRandomUniform": (1,),
    "StatelessRandomUniformFullInt": (1,),
    "StatelessRandomUniformFullIntV2": (1, 2),
    "StatelessRandomUniformInt": (1,),
    "StatelessRandomUniformIntV2": (1, 2),
    "StatelessRandomUniformV2": (1, 2),
    "StatelessSampleDistortedBoundingBox": (3,),
    "StatelessShuffle": (1, 2),
    "StatelessTruncatedNormal": (1,),
    "StatelessTruncatedNormalV2": (1, 2),
}
_WRITE = re.compile(
    "Assign.*VariableOp$|Resource(Sparse)?Apply|ResourceScatter|ResourceStridedSliceAssign"
)


class Body:
    """A function, or the graph itself.

    Attributes:
        nodes: Name to node.
        arguments: Name of an argument to its position.
        returns: A reference for each result.
        runs: Name of each node that runs functions to those functions, by attribute.
        drawing: The random ops with a seed.
        writing: The ops that write variables.
    """

    def __init__(
        self, nodes: Iterable[NodeDef], function: FunctionDef | None = None
    ) -> None:
        self.nodes = {node.name: node for node in nodes}
        self.arguments: dict[str, int] = {}
        self.returns: list[str] = []
        if function is not None:
            for position, argument in enumerate(function.signature.input_arg):
                self.arguments[argument.name] = position
            for output in function.signature.output_arg:
                self.returns.append(function.ret[output.name])
        self.runs: dict[str, dict[str, list[str]]] = {}
        for name, node in self.nodes.items():
            functions = _called(node)
            if functions:
                self.runs[name] = functions
        self.drawing = [
            node for node in self.nodes.values() if node.op in _SEEDED
        ]
        self.writing = [
            node for node in self.nodes.values() if _WRITE.match(node.op)
        ]
        self._inputs: dict[str, list[str]] = {}

    def called(self, name: str) -> list[str]:
        """Returns the functions that a node runs; empty if it runs none."""
        called = []
        for functions in self.runs.get(name, {}).values():
            called += functions
        return called

    def inputs(self, name: str) -> list[str]:
        """Returns the data inputs of a node, cached for nodes with many outputs."""
        if name not in self._inputs:
            self._inputs[name] = data_inputs(self.nodes[name])
        return self._inputs[name]


class Bodies:
    """The functions of a graph by name."""

    def __init__(self, graph: GraphDef) -> None:
        self._library = {
            function.signature.name: function
            for function in graph.library.function
        }
        self._known = {GRAPH: Body(graph.node)}

    def of(self, name: str) -> Body:
        """Returns a function; the graph itself has the name `GRAPH`."""
        if name not in self._known:
            function = self._library[name]
            self._known[name] = Body(function.node_def, function)
        return self._known[name]


def seed_inputs(node: NodeDef) -> list[str]:
    """Returns the references to the seed of a random op."""
    return [node.input[position] for position in _SEEDED[node.op]]


def data_inputs(node: NodeDef) -> list[str]:
    """Returns the inputs of a node without control inputs."""
    return [
        reference for reference in node.input if not reference.startswith("^")
    ]


def _called(node: NodeDef) -> dict[str, list[str]]:
    """Returns the functions that a node names, by attribute."""
    found = {}
    for attribute, value in node.attr.items():
        functions = functions_of(value)
        names = [function.name for function in functions if function.name]
        if names:
            found[attribute] = names
    return found
