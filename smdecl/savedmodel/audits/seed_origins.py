"""Traces the values in a signature back to the values that they are computed from."""

from __future__ import annotations

import functools
import itertools
import operator
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

from smdecl.names import LOOPS
from smdecl.savedmodel.audits import reaching
from smdecl.savedmodel.audits.seed_functions import GRAPH, Bodies
from smdecl.savedmodel.protos import NodeDef

Value: TypeAlias = tuple[str, str]
"""The name of a function and a reference to an output in it.

All outputs of a node that runs no function are one value: the node's name. All its inputs together
are one value, too: the node's name after `_INPUTS`.
"""

_INPUTS = "="  # no node's name begins with it
_VARIABLE = ("VarHandleOp", "VariableV2")
# Ops whose results do not depend on the values in a tensor.
_SIZES = (
    "Rank",
    "Shape",
    "ShapeN",
    "Size",
    "VariableShape",
    "VarIsInitializedOp",
)
# Op that calls functions to the attributes with the functions whose results it returns, and the
# position of the input that is their first argument.
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


class Origins:
    """The origins of the values in a signature.

    Args:
        bodies: The functions of the graph.
        calls: Every node in the signature that runs functions, with the function that it is in.
    """

    def __init__(
        self, bodies: Bodies, calls: list[tuple[str, NodeDef]]
    ) -> None:
        self._bodies = bodies
        # Function to the arguments of each of its calls, with the function that the call is in.
        self._passed = defaultdict[str, list[tuple[str, list[str]]]](list)
        for caller, node in calls:
            self._add_call(caller, node)

    def _add_call(self, caller: str, node: NodeDef) -> None:
        body = self._bodies.of(caller)
        for name in body.called(node.name):
            arguments = self._bodies.of(name).arguments
            if node.op in _CALLS:
                _, first = _CALLS[node.op]
                passed = body.inputs(node.name)[first : first + len(arguments)]
            else:
                # A dataset, for one, passes its elements and what it captures.
                passed = [f"{_INPUTS}{node.name}"] * len(arguments)
            self._passed[name].append((caller, passed))
        if node.op in LOOPS:
            # Each iteration passes the results of the last one.
            loop_body = node.attr["body"].func.name
            returned = (loop_body, self._bodies.of(loop_body).returns)
            for function in body.called(node.name):
                self._passed[function].append(returned)

    def variables(self, values: Iterable[Value]) -> frozenset[str]:
        """Returns the names of the variables that some values are computed from."""
        return frozenset(
            name
            for function, name in self.nodes(values)
            if self._is_variable(function, name)
        )

    def variables_of_each(
        self, several: Sequence[Iterable[Value]]
    ) -> list[frozenset[str]]:
        """Applies `variables` to each of several collections of values, in linear time."""
        bits: dict[str, int] = {}

        def mark(value: Value) -> int:
            function, name = value
            if not self._is_variable(function, name):
                return 0
            return bits.setdefault(name, 1 << len(bits))

        starts = [
            list(itertools.starmap(self._value, values)) for values in several
        ]
        roots = itertools.chain.from_iterable(starts)
        marks = reaching.unions(roots, self._origins, mark)
        found = []
        for values in starts:
            union = functools.reduce(
                operator.or_, map(marks.__getitem__, values), 0
            )
            found.append(
                frozenset(name for name in bits if bits[name] & union)
            )
        return found

    def _is_variable(self, function: str, name: str) -> bool:
        nodes = self._bodies.of(GRAPH).nodes
        return (
            function == GRAPH and name in nodes and nodes[name].op in _VARIABLE
        )

    def nodes(self, values: Iterable[Value]) -> set[Value]:
        """Returns the nodes, by function and name, that some values are computed from."""
        pending = [self._value(*value) for value in values]
        seen = set(pending)
        while pending:
            new = set(self._origins(pending.pop())) - seen
            seen |= new
            pending += new
        return {
            (function, reference.partition(":")[0])
            for function, reference in seen
        }

    def _value(self, function: str, reference: str) -> Value:
        name = reference.partition(":")[0]
        node = self._bodies.of(function).nodes.get(name)
        is_call = node is not None and node.op in _CALLS
        return function, reference if is_call else name

    def _origins(self, value: Value) -> Iterator[Value]:
        """Yields the values that a value is directly computed from."""
        return itertools.starmap(self._value, self._references(*value))

    def _references(self, function: str, reference: str) -> Iterator[Value]:
        body = self._bodies.of(function)
        name = reference.partition(":")[0]
        if name.startswith(_INPUTS):
            for given in body.inputs(name.removeprefix(_INPUTS)):
                yield function, given
        elif name not in body.nodes:
            position = body.arguments[name]
            for caller, passed in self._passed[function]:
                yield caller, passed[position]
        elif body.nodes[name].op in _CALLS:
            yield from self._returned(function, body.nodes[name], reference)
        elif body.nodes[name].op not in _SIZES:
            yield function, f"{_INPUTS}{name}"
            for called in body.called(name):
                for returned in self._bodies.of(called).returns:
                    yield called, returned

    def _returned(
        self, function: str, node: NodeDef, reference: str
    ) -> Iterator[Value]:
        """Yields the origins of an output of a call: the results there, and what selects them."""
        attributes, first = _CALLS[node.op]
        number = reference.rpartition(":")[2]
        index = int(number) if number.isdigit() else 0
        body = self._bodies.of(function)
        for attribute in attributes:
            for name in body.runs[node.name].get(attribute, ()):
                yield name, self._bodies.of(name).returns[index]
        inputs = body.inputs(node.name)
        for selector in inputs[:first]:
            yield function, selector
        if node.op in LOOPS:
            yield function, inputs[index]  # the loop may not run even once
            condition = node.attr["cond"].func.name
            for selector in self._bodies.of(condition).returns:
                yield condition, selector
