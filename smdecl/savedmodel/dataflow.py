"""Tells which of their inputs the results of functions in a graph depend on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from smdecl.names import CALLS, LOOPS

_BRANCHES = ("If", "StatelessIf", "Case", "StatelessCase")


@dataclass(frozen=True)
class _Uses:
    """The positions of the arguments that each return value of a function, and what it does besides, depend on."""

    outputs: list[set[int]]
    effects: set[int]

    def of(self, outputs: Iterable[int]) -> set[int]:
        known = (self.outputs[index] for index in outputs if index < len(self.outputs))
        return self.effects.union(*known)


_DEEPEST_CALLS = 100


def _all_of(body: Any) -> _Uses:
    """Returns the uses of a function that calls itself, or is called very deep: it may need all."""
    return _Uses([], set(range(len(body.signature.input_arg))))


class Functions:
    """The functions of a graph and what their results depend on, through calls, branches and loops."""

    def __init__(self, library: Any) -> None:
        self._bodies = {function.signature.name: function for function in library.function}
        self._uses: dict[str, _Uses] = {}
        self._open: set[str] = set()

    def needed(self, node: Any, outputs: Iterable[int]) -> set[int]:
        """Returns the positions of the inputs of a node that some of its outputs, and its effects, depend on."""
        outputs = set(outputs)
        if node.op in CALLS:
            return self._of(node.attr["f"].func.name).of(outputs)
        if node.op in _BRANCHES:
            branches = [node.attr["then_branch"].func, node.attr["else_branch"].func]
            if node.op.endswith("Case"):
                branches = list(node.attr["branches"].list.func)
            arguments = set[int]().union(*(self._of(branch.name).of(outputs) for branch in branches))
            return {0, *(1 + position for position in arguments)}
        if node.op in LOOPS:
            condition, body = self._of(node.attr["cond"].func.name), self._of(node.attr["body"].func.name)
            found = outputs | condition.of([0]) | body.effects
            while (more := found | body.of(found)) != found:
                found = more
            return found
        return {index for index, name in enumerate(node.input) if not name.startswith("^")}

    def _of(self, name: str) -> _Uses:
        if name in self._open or len(self._open) >= _DEEPEST_CALLS:
            return _all_of(self._bodies[name])
        if name not in self._uses:
            self._open.add(name)
            body = self._bodies[name]
            nodes = {node.name: node for node in body.node_def}
            positions = {argument.name: index for index, argument in enumerate(body.signature.input_arg)}
            returned = [body.ret[argument.name] for argument in body.signature.output_arg]
            self._uses[name] = _Uses(
                [self._reached(nodes, positions, [reference]) for reference in returned],
                self._reached(nodes, positions, [f"^{node}" for node in body.control_ret.values()]),
            )
            self._open.remove(name)
        return self._uses[name]

    def _reached(self, nodes: Mapping[str, Any], positions: Mapping[str, int], references: list[str]) -> set[int]:
        pending, seen, found = list(references), set[str](), set[int]()
        while pending:
            reference = pending.pop()
            if reference in seen:
                continue
            seen.add(reference)
            name = source(reference)
            if name in positions:
                found.add(positions[name])
            else:
                node = nodes[name]
                outputs = [] if reference.startswith("^") else [int(reference.rpartition(":")[2])]
                pending += [node.input[position] for position in self.needed(node, outputs)]
                pending += [control for control in node.input if control.startswith("^")]
        return found


def source(reference: str) -> str:
    """Returns the name of the node that an input such as `^noop` or `mul:z:0` comes from."""
    return reference.removeprefix("^").split(":")[0]
