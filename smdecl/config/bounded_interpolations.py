"""Bounds what the interpolations of a config expand to.

A chain of values such as `${a}${a}` doubles with each link, and OmegaConf has no limit. While
smdecl composes, each interpolation and the characters that it resolves to are counted in the
composing thread; other threads resolve as usual.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

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
        steps: How many more interpolations may be resolved.
        characters: How many more characters they may resolve to.
        excess: The message about the limit that was exceeded; empty if none was.
    """

    steps: int = MOST_STEPS
    characters: int = MOST_CHARACTERS
    excess: str = ""

    def spend(self, steps: int, characters: int) -> None:
        """Spends a part of the budget.

        Raises:
            InterpolationResolutionError: If less than that is left.
        """
        self.steps -= steps
        self.characters -= characters
        if self.steps < 0:
            self.excess = _excess(MOST_STEPS, "values")
        elif self.characters < 0:
            self.excess = _excess(MOST_CHARACTERS, "characters")
        if self.excess:
            raise InterpolationResolutionError(self.excess)


def _excess(limit: int, unit: str) -> str:
    return f"interpolations expand to more than {limit} {unit}; expected fewer"


@contextmanager
def shared_budget() -> Iterator[Budget]:
    """Shares one budget among all values that this thread resolves; each has its own otherwise."""
    budget = Budget()
    token = _budget.set(budget)
    try:
        yield budget
    finally:
        _budget.reset(token)


@contextmanager
def bounded() -> Iterator[None]:
    """Counts what this thread resolves; only one thread of the process may enter at a time."""
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


def _counted(step: Callable[..., object]) -> Callable[..., object]:
    @functools.wraps(step)
    def counted(
        container: Container, *args: object, **options: object
    ) -> object:
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


def _characters(found: object) -> int:
    """Estimates how many characters a value has as part of a text; stops above the limit."""
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
