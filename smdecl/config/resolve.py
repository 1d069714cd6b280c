"""Resolves a composed config to plain values, and to a second form that may be recorded.

The recorded form keeps interpolations that read the environment, so that it holds no secret.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from smdecl.config import (
    bounded_interpolations,
    bounded_yaml,
    interpolation_errors,
    nodes,
)
from smdecl.config.bounded_interpolations import Budget
from smdecl.config.interrupting import interrupts_first
from smdecl.errors import KeyPath, Problem, dotted

_NOT_GIVEN = object()
_MISSING = "???"
_INTERPOLATION = "${"
_variables_read: ContextVar[dict[str, str] | None] = ContextVar(
    "_variables_read", default=None
)


def oc_env(name: str, default: object = _NOT_GIVEN) -> str | None:
    """Does what OmegaConf's `oc.env` does, and notes each variable that it reads.

    It reads variables only while a config's own values are resolved. Nothing has checked whether
    the project declares those of defaults lists, of Hydra's settings and of what Hydra shows, so
    there the interpolation resolves to itself.
    """
    read = _variables_read.get()
    if read is None:
        return f"${{oc.env:{name}}}"
    read[name] = os.environ.get(name, "")
    if name in os.environ:
        return os.environ[name]
    if default is _NOT_GIVEN:
        raise KeyError(f"Environment variable '{name}' not found")
    return None if default is None else str(default)


@dataclass(frozen=True)
class Environment:
    """What a config read from the environment.

    Attributes:
        reads: The key path and the variable of each read.
        values: Variable to value.
    """

    reads: list[tuple[KeyPath, str]] = field(default_factory=list)
    values: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Resolution:
    """A resolved config.

    Attributes:
        values: Plain dicts, lists and scalars by the keys of the config, without Hydra's own.
        recorded: The same with reads of the environment left unresolved.
        environment: What was read from it.
        problems: Everything that could not be resolved; its value is None.
    """

    values: dict[str, Any]
    recorded: dict[str, Any]
    environment: Environment
    problems: list[Problem]


def resolve(config: DictConfig) -> Resolution:
    """Resolves all keys of a config but Hydra's own.

    OmegaConf itself would raise at the first broken interpolation. Runs in a scope of
    `hydra_scope`, where `oc.env` is `oc_env`.
    """
    unresolved = nodes.plain(config)
    values: dict[str, Any] = {}
    recorded: dict[str, Any] = {}
    with bounded_interpolations.shared_budget() as budget:
        resolver = _Resolver(Environment(), budget)
        for key in config:
            if key != "hydra" and not budget.excess:
                name = str(key)
                item = resolver.resolve(config, key, unresolved[key], (name,))
                values[name] = item.value
                recorded[name] = item.recorded
    return Resolution(
        values, recorded, resolver.environment, resolver.all_problems()
    )


@dataclass(frozen=True)
class _Resolved:
    """A value, and its form that may be recorded."""

    value: object
    recorded: object


_UNRESOLVED = _Resolved(None, None)


@dataclass(frozen=True)
class _Resolver:
    """Resolves values.

    Attributes:
        problems: What could not be resolved.
        environment: What was read from the environment.
        budget: What interpolations may still cost.
        causes: The messages of these problems, without hints.
        consequences: Values that could not be resolved because they refer to such a value.
    """

    environment: Environment
    budget: Budget
    problems: list[Problem] = field(default_factory=list)
    causes: set[str] = field(default_factory=set)
    consequences: list[Problem] = field(default_factory=list)

    def all_problems(self) -> list[Problem]:
        """Returns the problems, and the consequences of what is not one of them."""
        others = [
            problem
            for problem in self.consequences
            if problem.message not in self.causes
        ]
        return [*self.problems, *others]

    def resolve(
        self,
        node: DictConfig | ListConfig,
        key: Any,
        unresolved: Any,
        path: KeyPath,
    ) -> _Resolved:
        """Resolves one value.

        Args:
            node: Contains the value.
            key: Its key or index in `node`.
            unresolved: The same value, unresolved.
            path: Its key path.
        """
        if self.budget.excess:
            # It has been reported, and everything that follows would exceed it too.
            return _UNRESOLVED
        if len(path) > bounded_yaml.DEEPEST:
            return self._failed(path[:3], bounded_yaml.TOO_DEEP)
        if _is_literal(unresolved):
            return _Resolved(unresolved, unresolved)
        if unresolved == _MISSING:
            return self._failed(
                path, f"missing value; write {dotted(path)}=..."
            )
        return self._resolve_node(node, key, unresolved, path)

    def _resolve_node(
        self,
        node: DictConfig | ListConfig,
        key: Any,
        unresolved: Any,
        path: KeyPath,
    ) -> _Resolved:
        try:
            with self._noting_reads(path) as read, interrupts_first():
                value = node[key]
        except OmegaConfBaseException as error:
            return self._failed_with(error, unresolved, path)
        if not isinstance(value, (DictConfig, ListConfig)):
            return _Resolved(value, unresolved if read else value)
        if isinstance(unresolved, str):
            # An interpolation resolved to this collection.
            items = self._resolve_items(
                value, OmegaConf.to_container(value), path
            )
        else:
            items = self._resolve_items(value, unresolved, path)
        return _Resolved(items.value, unresolved) if read else items

    def _failed_with(
        self, error: OmegaConfBaseException, unresolved: object, path: KeyPath
    ) -> _Resolved:
        if self.budget.excess:
            return self._failed(path, self.budget.excess)
        message = interpolation_errors.message(error)
        if interpolation_errors.is_consequence(message, unresolved):
            self.consequences.append(Problem(path, message))
            return _UNRESOLVED
        self.causes.add(message)
        hint = interpolation_errors.hint(error, unresolved, path)
        return self._failed(path, f"{message}{hint}")

    def _failed(self, path: KeyPath, message: str) -> _Resolved:
        self.problems.append(Problem(path, message))
        return _UNRESOLVED

    @contextmanager
    def _noting_reads(self, path: KeyPath) -> Iterator[dict[str, str]]:
        """Notes the variables that are read meanwhile, as reads of a key path."""
        read: dict[str, str] = {}
        token = _variables_read.set(read)
        try:
            yield read
        finally:
            _variables_read.reset(token)
            self.environment.values.update(read)
            self.environment.reads.extend((path, name) for name in read)

    def _resolve_items(
        self, node: DictConfig | ListConfig, unresolved: Any, path: KeyPath
    ) -> _Resolved:
        if isinstance(node, ListConfig):
            items: list[object] = []
            recorded_items: list[object] = []
            for index in range(len(node)):
                below = (*path, index)
                item = self.resolve(node, index, unresolved[index], below)
                items.append(item.value)
                recorded_items.append(item.recorded)
            return _Resolved(items, recorded_items)
        # Keys keep their types: the check refuses those that are not text.
        values: dict[object, object] = {}
        recorded_values: dict[object, object] = {}
        for key in node:
            below = (*path, str(key))
            item = self.resolve(node, key, unresolved[key], below)
            values[key] = item.value
            recorded_values[key] = item.recorded
        return _Resolved(values, recorded_values)


def _is_literal(unresolved: object) -> bool:
    """Returns whether a value is a scalar that OmegaConf returns as it is."""
    if isinstance(unresolved, str):
        return unresolved != _MISSING and _INTERPOLATION not in unresolved
    return not isinstance(unresolved, (dict, list))
