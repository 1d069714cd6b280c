"""Follows edges of a graph of any kind, in time that is linear in its size."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Generic, TypeVar

_Node = TypeVar("_Node", bound=Hashable)


def unions(
    roots: Iterable[_Node],
    successors: Callable[[_Node], Iterable[_Node]],
    mark: Callable[[_Node], int],
) -> dict[_Node, int]:
    """Returns the marks of everything that can be reached from each node, itself included.

    Args:
        roots: Where to begin.
        successors: Gives the nodes that a node leads to; called once for each.
        mark: Gives the marks of a node, each of them a bit.
    """
    search = _Search(successors, mark)
    for root in roots:
        search.visit(root)
    return search.marks


class _Search(Generic[_Node]):
    """Tarjan's search for strongly connected components, whose nodes reach the same.

    Attributes:
        marks: Of the nodes whose component is complete.
    """

    def __init__(
        self,
        successors: Callable[[_Node], Iterable[_Node]],
        mark: Callable[[_Node], int],
    ) -> None:
        self._successors, self._mark = successors, mark
        self.marks: dict[_Node, int] = {}
        self._numbers: dict[_Node, int] = {}
        self._lowest: dict[_Node, int] = {}
        self._found: dict[_Node, int] = {}  # marks of what is not complete
        self._stack: list[_Node] = []
        self._path: list[tuple[_Node, Iterator[_Node]]] = []

    def visit(self, root: _Node) -> None:
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
                self._lowest[node] = min(self._lowest[node], self._numbers[after])

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
        """Gives all nodes of a component the marks of its first one, from which all others were found."""
        while True:
            node = self._stack.pop()
            self.marks[node] = self._found[first]
            if node == first:
                return
