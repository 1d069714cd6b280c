"""Collects what can be reached from the nodes of any graph, in time linear in its size."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Generic, TypeVar

_Node = TypeVar("_Node", bound=Hashable)


def unions(
    roots: Iterable[_Node],
    successors: Callable[[_Node], Iterable[_Node]],
    mark: Callable[[_Node], int],
) -> dict[_Node, int]:
    """Returns each visited node with the marks of all nodes that it reaches, itself included.

    Args:
        roots: The nodes to start from.
        successors: Returns the nodes that a node leads to; called once per node.
        mark: Returns the marks of a node, one bit each.
    """
    search = _Search(successors, mark)
    for root in roots:
        search.visit(root)
    return search.marks


class _Search(Generic[_Node]):
    """Tarjan's search for strongly connected components: all nodes of one reach the same nodes.

    Attributes:
        marks: Node to marks, for the nodes of complete components.
    """

    def __init__(
        self,
        successors: Callable[[_Node], Iterable[_Node]],
        mark: Callable[[_Node], int],
    ) -> None:
        self._successors = successors
        self._mark = mark
        self.marks: dict[_Node, int] = {}
        self._numbers: dict[_Node, int] = {}
        self._lowest: dict[_Node, int] = {}
        self._found: dict[_Node, int] = {}  # marks in incomplete components
        self._stack: list[_Node] = []
        self._path: list[tuple[_Node, Iterator[_Node]]] = []

    def visit(self, root: _Node) -> None:
        """Completes the components of all nodes that a root reaches."""
        if root not in self._numbers:
            self._enter(root)
        while self._path:
            node, following = self._path[-1]
            after = next(following, None)
            if after is None:
                self._leave(node)
            elif after not in self._numbers:
                self._enter(after)
            elif after in self.marks:
                self._found[node] |= self.marks[after]
            else:
                self._lowest[node] = min(
                    self._lowest[node], self._numbers[after]
                )

    def _enter(self, node: _Node) -> None:
        self._numbers[node] = self._lowest[node] = len(self._numbers)
        self._found[node] = self._mark(node)
        self._stack.append(node)
        self._path.append((node, iter(self._successors(node))))

    def _leave(self, node: _Node) -> None:
        self._path.pop()
        if self._lowest[node] == self._numbers[node]:
            self._complete(node)
        if not self._path:
            return
        above = self._path[-1][0]
        self._found[above] |= self._found[node]
        self._lowest[above] = min(self._lowest[above], self._lowest[node])

    def _complete(self, first: _Node) -> None:
        """Sets the marks of a component to those of its first node, which reaches all others."""
        while True:
            node = self._stack.pop()
            self.marks[node] = self._found[first]
            if node == first:
                return
