"""Finds random ops whose seed is kept in a variable that the signature itself changes.

Such an op has no state of its own, but each call draws by another seed, as the layers of Keras 3 do in training.
"""

from __future__ import annotations

import functools
import itertools
import operator
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from smdecl.names import LOOPS
from smdecl.savedmodel import reaching
from smdecl.savedmodel.protos import FunctionDef, GraphDef, MetaGraphDef, NodeDef

_Value: TypeAlias = tuple[str, str]

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
_INPUTS = "="  # begins no name of a node


@dataclass(frozen=True)
class Draw:
    """A random op, by its function and node, and the variables that its seed comes from."""

    function: str
    node: NodeDef
    variables: frozenset[str]


def draws(meta_graph: MetaGraphDef) -> Iterator[Draw]:
    """Yields the ops of each signature that draw by a seed in a variable which the signature writes."""
    bodies = _Bodies(meta_graph.graph_def)
    graph = bodies.of(_GRAPH)
    seen = set[_Value]()
    for signature in meta_graph.signature_def.values():
        outputs = [tensor.name for tensor in signature.outputs.values()]
        sources = sorted({name.partition(":")[0] for name in outputs})
        calls = [graph.nodes[name] for name in sources if name in graph.runs]
        # A function that many signatures call is looked at once for what is found in it.
        for draw in _Signature(bodies, calls).draws(outputs, seen):
            seen.add((draw.function, draw.node.name))
            yield draw


def _called(node: NodeDef) -> dict[str, list[str]]:
    """Returns the functions that a node names, by the attribute that names them."""
    found = {}
    for attribute, value in node.attr.items():
        functions = [value.func, *value.list.func]
        names = [function.name for function in functions if function.name]
        if names:
            found[attribute] = names
    return found


def _seeds(function: str, node: NodeDef) -> list[_Value]:
    return [(function, node.input[position]) for position in _SEEDED[node.op]]


def _data(node: NodeDef) -> list[str]:
    return [reference for reference in node.input if not reference.startswith("^")]


class _Body:
    """A function, or the graph itself.

    Attributes:
        nodes: Its nodes by name.
        arguments: The positions of its arguments by name.
        returns: A reference to each of its results.
        runs: The nodes that run functions, with those that they name, by attribute.
        drawing: The random ops.
        writing: The ops that write variables.
    """

    def __init__(
        self, nodes: Iterable[NodeDef], function: FunctionDef | None = None
    ) -> None:
        self.nodes = {node.name: node for node in nodes}
        arguments = [] if function is None else function.signature.input_arg
        outputs = [] if function is None else function.signature.output_arg
        returned = {} if function is None else function.ret
        self.arguments = {
            argument.name: position for position, argument in enumerate(arguments)
        }
        self.returns = [returned[output.name] for output in outputs]
        named = ((name, _called(node)) for name, node in self.nodes.items())
        self.runs = {name: functions for name, functions in named if functions}
        self.drawing = [node for node in self.nodes.values() if node.op in _SEEDED]
        self.writing = [node for node in self.nodes.values() if _WRITE.match(node.op)]
        self._inputs: dict[str, list[str]] = {}

    def called(self, name: str) -> list[str]:
        """Returns the functions that a node runs."""
        return [
            function for functions in self.runs[name].values() for function in functions
        ]

    def inputs(self, name: str) -> list[str]:
        """Returns what a node takes; a node that runs functions is asked once for each of its outputs."""
        if name not in self._inputs:
            self._inputs[name] = _data(self.nodes[name])
        return self._inputs[name]


class _Bodies:
    """The functions of a graph, each of them read once."""

    def __init__(self, graph: GraphDef) -> None:
        self._library = {
            function.signature.name: function for function in graph.library.function
        }
        self._known = {_GRAPH: _Body(graph.node)}

    def of(self, name: str) -> _Body:
        if name not in self._known:
            function = self._library[name]
            self._known[name] = _Body(function.node_def, function)
        return self._known[name]


class _Signature:
    """The functions that a signature runs, and what the values in them are made of.

    A value is a function and a reference to an output in it. All outputs of a node that runs no
    function are one value, its name, and all its inputs together are one, its name after `_INPUTS`.
    """

    def __init__(self, bodies: _Bodies, calls: list[NodeDef]) -> None:
        self._bodies = bodies
        self._functions: dict[str, None] = {}
        self._calls: list[tuple[str, NodeDef]] = []
        pending = [(_GRAPH, call) for call in calls]
        while pending:
            caller, node = pending.pop()
            self._calls.append((caller, node))
            for name in self._bodies.of(caller).called(node.name):
                if name not in self._functions:
                    self._functions[name] = None
                    body = self._bodies.of(name)
                    pending += [(name, body.nodes[inner]) for inner in body.runs]

    def draws(self, outputs: list[str], seen: set[_Value]) -> Iterator[Draw]:
        """Yields the ops that draw by a variable that some op writes, where anything is made of what they draw."""
        drawing = [
            (name, node)
            for name in self._functions
            for node in self._bodies.of(name).drawing
        ]
        drawing = [
            (name, node) for name, node in drawing if (name, node.name) not in seen
        ]
        writing = [
            (name, node)
            for name in self._functions
            for node in self._bodies.of(name).writing
        ]
        if not drawing or not writing:
            return
        origins = _Origins(self._bodies, self._calls)
        written = origins.variables(
            [(function, node.input[0]) for function, node in writing]
        )
        results = [
            (function, reference)
            for function, node in writing
            for reference in _data(node)[1:]
        ]
        used = origins.made_of([*((_GRAPH, output) for output in outputs), *results])
        seeds = [_seeds(function, node) for function, node in drawing]
        found = origins.variables_of_each(seeds)
        for (function, node), variables in zip(drawing, found, strict=True):
            if variables & written and (function, node.name) in used:
                yield Draw(function, node, variables & written)


class _Origins:
    """What the values of a signature are made of."""

    def __init__(self, bodies: _Bodies, calls: list[tuple[str, NodeDef]]) -> None:
        self._bodies = bodies
        # Function to what each place that it is called from gives to its arguments, with the function of that place.
        self._given = defaultdict[str, list[tuple[str, list[str]]]](list)
        for caller, node in calls:
            self._give(caller, node)

    def _give(self, caller: str, node: NodeDef) -> None:
        """Notes what a node gives to the functions that it runs."""
        body = self._bodies.of(caller)
        for name in body.called(node.name):
            arguments = self._bodies.of(name).arguments
            if node.op in _CALLS:
                _, first = _CALLS[node.op]
                given = body.inputs(node.name)[first : first + len(arguments)]
            else:  # such as a dataset, which gives its elements and what it captures
                given = [f"{_INPUTS}{node.name}"] * len(arguments)
            self._given[name].append((caller, given))
        if node.op in LOOPS:
            name = node.attr["body"].func.name
            returned = (name, self._bodies.of(name).returns)
            for function in body.called(node.name):
                self._given[function].append(returned)

    def variables(self, values: Iterable[_Value]) -> frozenset[str]:
        """Returns the names of the variables that some values are made of."""
        return frozenset(
            name
            for function, name in self.made_of(values)
            if self._is_variable(function, name)
        )

    def variables_of_each(
        self, several: Sequence[Iterable[_Value]]
    ) -> list[frozenset[str]]:
        """Returns the names of the variables that each of several lists of values is made of."""
        names: list[str] = []
        bits: dict[str, int] = {}

        def mark(value: _Value) -> int:
            function, name = value
            if not self._is_variable(function, name):
                return 0
            if name not in bits:
                bits[name] = 1 << len(names)
                names.append(name)
            return bits[name]

        starts = [[self._value(*value) for value in values] for values in several]
        marks = reaching.unions(
            itertools.chain.from_iterable(starts), self._origins, mark
        )
        found = [
            functools.reduce(operator.or_, (marks[value] for value in values), 0)
            for values in starts
        ]
        return [
            frozenset(name for name in names if bits[name] & each) for each in found
        ]

    def _is_variable(self, function: str, name: str) -> bool:
        nodes = self._bodies.of(_GRAPH).nodes
        return function == _GRAPH and name in nodes and nodes[name].op in _VARIABLE

    def made_of(self, values: Iterable[_Value]) -> set[_Value]:
        """Returns the nodes, by function and name, that some values are made of, by whatever way."""
        pending = [self._value(*value) for value in values]
        seen = set(pending)
        while pending:
            new = set(self._origins(pending.pop())) - seen
            seen |= new
            pending += new
        return {(function, reference.partition(":")[0]) for function, reference in seen}

    def _value(self, function: str, reference: str) -> _Value:
        name = reference.partition(":")[0]
        node = self._bodies.of(function).nodes.get(name)
        return (function, reference if node is not None and node.op in _CALLS else name)

    def _origins(self, value: _Value) -> Iterator[_Value]:
        """Yields the values that a value is made of, each with the function that has it."""
        return itertools.starmap(self._value, self._references(*value))

    def _references(self, function: str, reference: str) -> Iterator[_Value]:
        body = self._bodies.of(function)
        name = reference.partition(":")[0]
        if name.startswith(_INPUTS):
            yield from (
                (function, given) for given in body.inputs(name.removeprefix(_INPUTS))
            )
        elif name not in body.nodes:
            position = body.arguments[name]
            yield from (
                (caller, given[position]) for caller, given in self._given[function]
            )
        elif body.nodes[name].op in _CALLS:
            yield from self._returned(function, body.nodes[name], reference)
        elif body.nodes[name].op not in _SIZES:
            yield (function, f"{_INPUTS}{name}")
            for called in body.called(name) if name in body.runs else ():
                yield from (
                    (called, returned) for returned in self._bodies.of(called).returns
                )

    def _returned(
        self, function: str, node: NodeDef, reference: str
    ) -> Iterator[_Value]:
        """Yields what an output of a call is made of: what is returned there, and what decides on that."""
        attributes, first = _CALLS[node.op]
        number = reference.rpartition(":")[2]
        index = int(number) if number.isdigit() else 0
        body = self._bodies.of(function)
        named = body.runs[node.name]
        for attribute in attributes:
            yield from (
                (name, self._bodies.of(name).returns[index])
                for name in named.get(attribute, ())
            )
        inputs = body.inputs(node.name)
        yield from ((function, decides) for decides in inputs[:first])
        if node.op in LOOPS:
            yield function, inputs[index]  # it may not run even once
            condition = node.attr["cond"].func.name
            yield from (
                (condition, decides) for decides in self._bodies.of(condition).returns
            )
