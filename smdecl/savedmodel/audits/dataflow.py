"""Finds the inputs that the results of functions in a graph depend on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

from smdecl.names import CALLS, LOOPS
from smdecl.savedmodel.protos import FunctionDef, FunctionDefLibrary, NodeDef

_BRANCHES = ("If", "StatelessIf", "Case", "StatelessCase")
_RUNS_FUNCTIONS = frozenset((*CALLS, *_BRANCHES, *LOOPS))
_DEEPEST_CALLS = 100
# Each call that uses different results of a function walks all of the function.
_MOST_WALKS = 100
# Questions about one node in a walk, before all of its outputs count as needed.
_MOST_QUESTIONS = 3

_Outputs: TypeAlias = frozenset[int] | None
"""The positions of outputs; None for all of them."""


@dataclass
class _Body:
    """A function, and what is known about it.

    Attributes:
        nodes: Name to node.
        positions: Name of an argument to its position.
        returned: A reference for each result.
        effects: References to the nodes that run for their side effects.
        left: The number of steps that exact answers may still take.
        known: Positions of results to the positions of the arguments that they depend on.
    """

    nodes: dict[str, NodeDef]
    positions: dict[str, int]
    returned: list[str]
    effects: list[str]
    left: int
    known: dict[frozenset[int], frozenset[int]] = field(default_factory=dict)


def _body(function: FunctionDef) -> _Body:
    nodes = {node.name: node for node in function.node_def}
    positions = {
        argument.name: index
        for index, argument in enumerate(function.signature.input_arg)
    }
    returned = [
        function.ret[argument.name]
        for argument in function.signature.output_arg
    ]
    effects = [f"^{node}" for node in function.control_ret.values()]
    steps = _MOST_WALKS * (len(nodes) + len(positions) + len(returned) + 1)
    return _Body(nodes, positions, returned, effects, steps)


class Functions:
    """The functions of a graph, with the dependencies through calls, branches and loops.

    The time is linear in the size of the graph. After too many questions about single results of a
    function, the answer is that for all of its results.
    """

    def __init__(self, library: FunctionDefLibrary) -> None:
        self._functions = {
            function.signature.name: function for function in library.function
        }
        self._bodies: dict[str, _Body] = {}
        self._open: set[str] = set()

    def needed(
        self, node: NodeDef, outputs: Iterable[int] | None
    ) -> frozenset[int]:
        """Returns the positions of the inputs that a node needs.

        Args:
            node: A node that runs functions.
            outputs: The positions of the outputs that are used; None for all. Side effects always
                count as used.
        """
        asked = None if outputs is None else frozenset(outputs)
        if node.op in CALLS:
            return self._of(node.attr["f"].func.name, asked)
        if node.op in _BRANCHES:
            return self._needed_by_branches(node, asked)
        if node.op in LOOPS and asked is not None:
            return self._needed_by_loop(node, asked)
        return frozenset(
            index
            for index, name in enumerate(node.input)
            if not name.startswith("^")
        )

    def _needed_by_branches(
        self, node: NodeDef, outputs: _Outputs
    ) -> frozenset[int]:
        branches = [
            node.attr["then_branch"].func,
            node.attr["else_branch"].func,
        ]
        if node.op.endswith("Case"):
            branches = list(node.attr["branches"].list.func)
        needed = {0}  # which selects the branch
        for branch in branches:
            needed |= {
                1 + position for position in self._of(branch.name, outputs)
            }
        return frozenset(needed)

    def _needed_by_loop(
        self, node: NodeDef, outputs: frozenset[int]
    ) -> frozenset[int]:
        body = node.attr["body"].func.name
        condition = node.attr["cond"].func.name
        needed = set(outputs | self._of(condition, frozenset([0])))
        new = frozenset(needed)
        # What an iteration needs, the previous one must compute.
        while new:
            new = self._of(body, new) - needed
            needed |= new
        return frozenset(needed) | self._of(body, frozenset())

    def _of(self, name: str, outputs: _Outputs) -> frozenset[int]:
        """Returns the positions of the arguments that some results of a function depend on."""
        if name not in self._bodies:
            self._bodies[name] = _body(self._functions[name])
        body = self._bodies[name]
        # A recursive or very deep call may need all arguments.
        if name in self._open or len(self._open) >= _DEEPEST_CALLS:
            return frozenset(body.positions.values())
        every = range(len(body.returned))
        if outputs is None:
            asked = frozenset(every)
        else:
            asked = frozenset(index for index in outputs if index in every)
        if asked not in body.known and body.left <= 0:
            asked = frozenset(every)
        if asked not in body.known:
            self._open.add(name)
            references = [body.returned[index] for index in asked]
            body.known[asked] = _Walk(self, body).reached(references)
            self._open.remove(name)
        return body.known[asked]


class _Walk:
    """A walk over a function from some results to the arguments that they depend on."""

    def __init__(self, functions: Functions, body: _Body) -> None:
        self._functions = functions
        self._body = body
        self._pending: list[str] = []
        self._seen: set[str] = set()
        self._found: set[int] = set()
        # Node that runs functions to the outputs to ask about, and to the questions so far.
        self._waiting: dict[str, set[int]] = {}
        self._questions: dict[str, int] = {}

    def reached(self, references: list[str]) -> frozenset[int]:
        """Returns the positions of the arguments that references and side effects depend on."""
        self._pending = [*references, *self._body.effects]
        while self._pending or self._waiting:
            self._body.left -= 1
            if self._pending:
                self._visit(self._pending.pop())
            else:
                # Nothing else is pending, so this asks about all outputs that were seen so far.
                self._ask(*self._waiting.popitem())
        return frozenset(self._found)

    def _visit(self, reference: str) -> None:
        name = source(reference)
        if name in self._body.positions:
            self._found.add(self._body.positions[name])
            return
        node = self._body.nodes[name]
        is_call = node.op in _RUNS_FUNCTIONS
        key = reference if is_call else name
        if key in self._seen:
            return
        self._seen.add(key)
        if is_call:
            outputs = self._waiting.setdefault(name, set())
            if not reference.startswith("^"):
                outputs.add(int(reference.rpartition(":")[2]))
        else:
            self._go_on(node.input)

    def _ask(self, name: str, outputs: set[int]) -> None:
        node = self._body.nodes[name]
        before = self._questions.get(name, 0)
        self._questions[name] = before + 1
        if before > _MOST_QUESTIONS:
            return
        asked = None if before == _MOST_QUESTIONS else outputs
        needed = self._functions.needed(node, asked)
        self._go_on(node.input[position] for position in needed)
        if before == 0:
            controls = [name for name in node.input if name.startswith("^")]
            self._go_on(controls)

    def _go_on(self, references: Iterable[str]) -> None:
        before = len(self._pending)
        self._pending += references
        self._body.left -= len(self._pending) - before


def source(reference: str) -> str:
    """Returns the name of the node that an input such as `^noop` or `mul:z:0` comes from."""
    return reference.removeprefix("^").split(":")[0]
