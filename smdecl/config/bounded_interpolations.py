"""Bounds what the interpolations of a config expand to: `${a}${a}` of a value that has the same form doubles it.

OmegaConf has no limit, and resolves a value that is led to anew each time. While smdecl composes, each step and each
character that a step leads to is counted in its thread; other threads resolve as ever.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from omegaconf import Node
from omegaconf.base import Container
from omegaconf.errors import InterpolationResolutionError

MOST_STEPS = 5_000
MOST_CHARACTERS = 10_000_000
_STEPS = ("_resolve_node_interpolation", "_evaluate_custom_resolver")
_is_bounded: ContextVar[bool] = ContextVar("_is_bounded", default=False)
_budget: ContextVar[Budget | None] = ContextVar("_budget", default=None)


@dataclass
class Budget:
    """What interpolations may still expand to.

    Attributes:
        excess: What was exceeded; empty where nothing was.
    """

    steps: int = MOST_STEPS
    characters: int = MOST_CHARACTERS
    excess: str = ""

    def spend(self, steps: int, characters: int) -> None:
        """Takes what a step leads to.

        Raises:
            InterpolationResolutionError: If it is more than is left.
        """
        self.steps -= steps
        self.characters -= characters
        if self.steps < 0:
            self.excess = f"interpolations expand to more than {MOST_STEPS} values; expected fewer"
        elif self.characters < 0:
            self.excess = f"interpolations expand to more than {MOST_CHARACTERS} characters; expected fewer"
        if self.excess:
            raise InterpolationResolutionError(self.excess)


@contextmanager
def shared_budget() -> Iterator[Budget]:
    """Gives everything that this thread resolves meanwhile one budget; otherwise, each value has its own."""
    budget = Budget()
    token = _budget.set(budget)
    try:
        yield budget
    finally:
        _budget.reset(token)


@contextmanager
def bounded() -> Iterator[None]:
    """Counts what this thread resolves meanwhile; one thread of the process at a time."""
    unbounded = {name: getattr(Container, name) for name in _STEPS}
    token = _is_bounded.set(True)
    for name, step in unbounded.items():
        setattr(Container, name, _counted(step))
    try:
        yield
    finally:
        for name, step in unbounded.items():
            setattr(Container, name, step)
        _is_bounded.reset(token)


def _counted(step: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(step)
    def counted(container: Container, *args: Any, **options: Any) -> Any:
        if not _is_bounded.get():
            return step(container, *args, **options)
        budget = _budget.get()
        if budget is None:
            with shared_budget():
                return counted(container, *args, **options)
        budget.spend(1, 0)
        found = step(container, *args, **options)
        budget.spend(0, _characters(found))
        return found

    return counted


def _characters(found: Any) -> int:
    """Returns about how many characters a value takes if it becomes part of a text; stops above the limit."""
    characters = 0
    pending = [found]
    while pending and characters <= MOST_CHARACTERS:
        value = pending.pop()
        content = value._value() if isinstance(value, Node) else value
        if isinstance(content, dict):
            pending += content.values()
        elif isinstance(content, list):
            pending += content
        characters += len(content) if isinstance(content, str) else 1
    return characters
