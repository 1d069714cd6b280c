"""Finds random ops whose seed is kept in a variable that the signature itself changes.

Such an op has no state of its own, but each call draws by another seed, as the layers of Keras 3 do in training.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from smdecl.names import LOOPS

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
_WRITE = re.compile("Assign.*VariableOp$|Resource(Sparse)?Apply|ResourceScatter|ResourceStridedSliceAssign")
_VARIABLE = ("VarHandleOp", "VariableV2")
# What they return says nothing of the values in a tensor.
_SIZES = ("Rank", "Shape", "ShapeN", "Size", "VariableShape", "VarIsInitializedOp")
# What runs functions: the attributes that name one which returns its outputs, and the input that is the first argument.
_CALLS = {
    "PartitionedCall": (("f",), 0),
    "StatefulPartitionedCall": (("f",), 0),
    "If": (("then_branch", "else_branch"), 1),
    "StatelessIf": (("then_branch", "else_branch"), 1),
    "Case": (("branches",), 1),
    "StatelessCase": (("branches",), 1),
    "While": (("body",), 0),
    "StatelessWhile": (("body",), 0),
}
_GRAPH = ""  # in the place of a function's name


@dataclass(frozen=True)
class Draw:
    """A random op, by its function and node, and the variables that its seed comes from."""

    function: str
    node: Any
    variables: frozenset[str]


def draws(meta_graph: Any) -> Iterator[Draw]:
    """Yields the ops of each signature that draw by a seed in a variable which the signature writes."""
    nodes = {node.name: node for node in meta_graph.graph_def.node}
    seen = set[tuple[str, str]]()
    for signature in meta_graph.signature_def.values():
        sources = {tensor.name.partition(":")[0] for tensor in signature.outputs.values()}
        calls = [nodes[name] for name in sorted(sources) if name in nodes and _all_called(nodes[name])]
        outputs = [tensor.name for tensor in signature.outputs.values()]
        for draw in _Signature(meta_graph.graph_def, calls).draws(outputs):
            if (draw.function, draw.node.name) not in seen:
                seen.add((draw.function, draw.node.name))
                yield draw


def _called(node: Any) -> dict[str, list[str]]:
    """Returns the functions that a node names, by the attribute that names them."""
    found = {}
    for attribute, value in node.attr.items():
        functions = [value.func, *value.list.func]
        names = [function.name for function in functions if function.name]
        if names:
            found[attribute] = names
    return found


def _all_called(node: Any) -> list[str]:
    return [name for names in _called(node).values() for name in names]


def _data(node: Any) -> list[str]:
    return [reference for reference in node.input if not reference.startswith("^")]


class _Body:
    """The nodes of a function by name, the positions of its arguments, and what it returns."""

    def __init__(self, nodes: Any, signature: Any = None, returns: Any = None) -> None:
        self.nodes = {node.name: node for node in nodes}
        arguments = [] if signature is None else signature.input_arg
        outputs = [] if signature is None else signature.output_arg
        self.arguments = {argument.name: position for position, argument in enumerate(arguments)}
        self.returns = [returns[output.name] for output in outputs]


class _Signature:
    """The functions that a signature runs, and what the values in them are made of."""

    def __init__(self, graph: Any, calls: list[Any]) -> None:
        library = {function.signature.name: function for function in graph.library.function}
        self._bodies = {_GRAPH: _Body(graph.node)}
        # Function to what each place that it is called from gives to its arguments, with the function of that place.
        self._given = defaultdict[str, list[tuple[str, list[list[str]]]]](list)
        pending = [(_GRAPH, call) for call in calls]
        while pending:
            caller, node = pending.pop()
            for name in _all_called(node):
                if name not in self._bodies:
                    function = library[name]
                    self._bodies[name] = _Body(function.node_def, function.signature, function.ret)
                    pending += [(name, inner) for inner in self._bodies[name].nodes.values()]
            self._give(caller, node)

    def _give(self, caller: str, node: Any) -> None:
        """Notes what a node gives to the functions that it runs."""
        inputs = _data(node)
        for name in _all_called(node):
            arguments = self._bodies[name].arguments
            if node.op in _CALLS:
                _, first = _CALLS[node.op]
                given = [[reference] for reference in inputs[first : first + len(arguments)]]
            else:  # such as a dataset, which gives its elements and what it captures
                given = [inputs] * len(arguments)
            self._given[name].append((caller, given))
            if node.op in LOOPS:
                body = node.attr["body"].func.name
                self._given[name].append((body, [[reference] for reference in self._bodies[body].returns]))

    def draws(self, outputs: list[str]) -> Iterator[Draw]:
        """Yields the ops that draw by a variable that some op writes, where anything is made of what they draw."""
        drawing = [(function, node) for function, node in self._nodes() if node.op in _SEEDED]
        writing = [(function, node) for function, node in self._nodes() if _WRITE.match(node.op)]
        if not drawing or not writing:
            return
        written = self._variables((function, node.input[0]) for function, node in writing)
        results = [(function, reference) for function, node in writing for reference in _data(node)[1:]]
        used = self._made_of([*((_GRAPH, output) for output in outputs), *results])
        for function, node in drawing:
            seeds = self._variables((function, node.input[position]) for position in _SEEDED[node.op])
            if seeds & written and (function, node.name) in used:
                yield Draw(function, node, frozenset(seeds & written))

    def _nodes(self) -> Iterator[tuple[str, Any]]:
        for function, body in self._bodies.items():
            if function != _GRAPH:
                yield from ((function, node) for node in body.nodes.values())

    def _variables(self, values: Iterable[tuple[str, str]]) -> set[str]:
        """Returns the names of the variables that some values are made of."""
        graph = self._bodies[_GRAPH].nodes
        names = [name for function, name in self._made_of(values) if function == _GRAPH]
        return {name for name in names if name in graph and graph[name].op in _VARIABLE}

    def _made_of(self, values: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
        """Returns the nodes, by function and name, that some values are made of, by whatever way."""
        pending = list(values)
        seen = set(pending)
        while pending:
            new = set(self._origins(*pending.pop())) - seen
            seen |= new
            pending += new
        return {(function, reference.partition(":")[0]) for function, reference in seen}

    def _origins(self, function: str, reference: str) -> Iterator[tuple[str, str]]:
        """Yields the values that a value is made of, each with the function that has it."""
        name = reference.partition(":")[0]
        node = self._bodies[function].nodes.get(name)
        if node is None:
            position = self._bodies[function].arguments[name]
            for caller, arguments in self._given[function]:
                yield from ((caller, given) for given in arguments[position])
        elif node.op in _CALLS:
            yield from self._returned(function, node, reference)
        elif node.op not in _SIZES:
            yield from ((function, given) for given in _data(node))
            for called in _all_called(node):
                yield from ((called, returned) for returned in self._bodies[called].returns)

    def _returned(self, function: str, node: Any, reference: str) -> Iterator[tuple[str, str]]:
        """Yields what an output of a call is made of: what is returned there, and what decides on that."""
        attributes, first = _CALLS[node.op]
        number = reference.rpartition(":")[2]
        index = int(number) if number.isdigit() else 0
        for attribute in attributes:
            yield from ((name, self._bodies[name].returns[index]) for name in _called(node).get(attribute, ()))
        yield from ((function, decides) for decides in _data(node)[:first])
        if node.op in LOOPS:
            yield function, _data(node)[index]  # it may not run even once
            condition = node.attr["cond"].func.name
            yield from ((condition, decides) for decides in self._bodies[condition].returns)
