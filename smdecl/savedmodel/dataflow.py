"""Tells which of their inputs the results of functions in a graph depend on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from smdecl.names import CALLS, LOOPS
from smdecl.savedmodel.protos import FunctionDef, FunctionDefLibrary, NodeDef

_BRANCHES = ("If", "StatelessIf", "Case", "StatelessCase")
_RUNS_FUNCTIONS = frozenset((*CALLS, *_BRANCHES, *LOOPS))
_DEEPEST_CALLS = 100
# Many calls that take different results of a function would walk all of it for each.
_MOST_WALKS = 100
_MOST_QUESTIONS = (
    3  # of one node in a walk, before the rest of its outputs counts as needed
)

_Outputs = frozenset[int] | None
"""The positions of outputs; None for all of them."""


@dataclass
class _Body:
    """A function, and what is known of it.

    Attributes:
        nodes: Its nodes by name.
        positions: Its arguments by name.
        returned: A reference to each of its results.
        effects: References to the nodes that run for what they do besides.
        left: How many more steps exact answers may take.
        known: Outputs to the positions of the arguments that they depend on.
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
        function.ret[argument.name] for argument in function.signature.output_arg
    ]
    effects = [f"^{node}" for node in function.control_ret.values()]
    steps = _MOST_WALKS * (len(nodes) + len(positions) + len(returned) + 1)
    return _Body(nodes, positions, returned, effects, steps)


class Functions:
    """The functions of a graph and what their results depend on, through calls, branches and loops.

    The time is linear in the size of the graph. A function that is asked about more of its outputs,
    one by one, than there is time for is answered as if all were asked for.
    """

    def __init__(self, library: FunctionDefLibrary) -> None:
        self._functions = {
            function.signature.name: function for function in library.function
        }
        self._bodies: dict[str, _Body] = {}
        self._open: set[str] = set()

    def needed(self, node: NodeDef, outputs: Iterable[int] | None) -> frozenset[int]:
        """Returns the positions of the inputs of a node that some of its outputs, and its effects, depend on."""
        asked = None if outputs is None else frozenset(outputs)
        if node.op in CALLS:
            return self._of(node.attr["f"].func.name, asked)
        if node.op in _BRANCHES:
            branches = [node.attr["then_branch"].func, node.attr["else_branch"].func]
            if node.op.endswith("Case"):
                branches = list(node.attr["branches"].list.func)
            arguments = frozenset[int]().union(
                *(self._of(branch.name, asked) for branch in branches)
            )
            return frozenset((0, *(1 + position for position in arguments)))
        inputs = frozenset(
            index for index, name in enumerate(node.input) if not name.startswith("^")
        )
        if node.op not in LOOPS or asked is None:
            return inputs
        body = node.attr["body"].func.name
        found = set(asked | self._of(node.attr["cond"].func.name, frozenset([0])))
        new = frozenset(found)
        while new:
            new = self._of(body, new) - found
            found |= new
        return frozenset(found) | self._of(body, frozenset())

    def _of(self, name: str, outputs: _Outputs) -> frozenset[int]:
        """Returns the positions of the arguments of a function that some of its outputs depend on."""
        if name not in self._bodies:
            self._bodies[name] = _body(self._functions[name])
        body = self._bodies[name]
        # A function that calls itself, or is called very deep, may need all.
        if name in self._open or len(self._open) >= _DEEPEST_CALLS:
            return frozenset(body.positions.values())
        every = range(len(body.returned))
        asked = frozenset(
            every if outputs is None else (index for index in outputs if index in every)
        )
        if asked not in body.known and body.left <= 0:
            asked = frozenset(every)
        if asked not in body.known:
            self._open.add(name)
            body.known[asked] = _Walk(self, body).reached(
                [body.returned[index] for index in asked]
            )
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
        # Of nodes that run functions: outputs that were not asked about yet, and how often others were.
        self._waiting: dict[str, set[int]] = {}
        self._questions: dict[str, int] = {}

    def reached(self, references: list[str]) -> frozenset[int]:
        """Returns the positions of the arguments that references, and the effects of the function, lead to."""
        self._pending = [*references, *self._body.effects]
        while self._pending or self._waiting:
            self._body.left -= 1
            if self._pending:
                self._visit(self._pending.pop())
            else:
                # Once nothing else is pending, all outputs of a node are known that the walk came by.
                self._ask(*self._waiting.popitem())
        return frozenset(self._found)

    def _visit(self, reference: str) -> None:
        name = source(reference)
        if name in self._body.positions:
            self._found.add(self._body.positions[name])
            return
        node = self._body.nodes[name]
        runs = node.op in _RUNS_FUNCTIONS
        key = reference if runs else name
        if key in self._seen:
            return
        self._seen.add(key)
        if runs:
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
        needed = self._functions.needed(
            node, None if before == _MOST_QUESTIONS else outputs
        )
        self._go_on(node.input[position] for position in needed)
        if before == 0:
            self._go_on(
                reference for reference in node.input if reference.startswith("^")
            )

    def _go_on(self, references: Iterable[str]) -> None:
        before = len(self._pending)
        self._pending += references
        self._body.left -= len(self._pending) - before


def source(reference: str) -> str:
    """Returns the name of the node that an input such as `^noop` or `mul:z:0` comes from."""
    return reference.removeprefix("^").split(":")[0]
