"""Makes plain values of a composed config, and a second form of them that may be written down."""

from __future__ import annotations

import os
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from smdecl.config import bounded_interpolations, bounded_yaml
from smdecl.config.bounded_interpolations import Budget
from smdecl.config.interrupting import interrupts_first
from smdecl.errors import KeyPath, Problem, dotted

_NOT_GIVEN = object()
_read: ContextVar[dict[str, str] | None] = ContextVar("_read", default=None)


def oc_env(name: str, default: Any = _NOT_GIVEN) -> Any:
    """Does as OmegaConf's own `oc.env`, and notes what was read: the text of a config need not show it.

    Anywhere but in a config's own values, in defaults lists and Hydra's settings and what Hydra shows, nothing is read,
    for nobody has looked whether the project declares it: the interpolation stands for itself.
    """
    read = _read.get()
    if read is None:
        return f"${{oc.env:{name}}}"
    read[name] = os.environ.get(name, "")
    if name in os.environ:
        return os.environ[name]
    if default is _NOT_GIVEN:
        raise KeyError(f"Environment variable '{name}' not found")
    return None if default is None else str(default)


@dataclass(frozen=True)
class Resolved:
    """A value, and the same with what was read from the environment left unresolved."""

    value: Any
    recorded: Any


@dataclass(frozen=True)
class Environment:
    """What a config read from the environment.

    Attributes:
        reads: Key path and name of a variable, for each time that one was read.
        values: Name to value.
    """

    reads: list[tuple[KeyPath, str]] = field(default_factory=list)
    values: dict[str, str] = field(default_factory=dict)


def resolve(
    config: DictConfig,
) -> tuple[dict[str, Any], dict[str, Any], Environment, list[Problem]]:
    """Returns the values of all keys but Hydra's own, the same as they may be written down, and every problem.

    Runs in a scope of `hydra_scope`, where `oc.env` is `oc_env`.

    OmegaConf itself would raise at the first interpolation that leads nowhere.
    """
    raw: Any = OmegaConf.to_container(config, resolve=False)
    pairs: dict[str, Resolved] = {}
    with bounded_interpolations.shared_budget() as budget:
        resolver = _Resolver([], Environment(), budget)
        for key in config:
            if key != "hydra" and not budget.excess:
                pairs[str(key)] = resolver.resolve(config, key, raw[key], (str(key),))
    values = {key: pair.value for key, pair in pairs.items()}
    recorded = {key: pair.recorded for key, pair in pairs.items()}
    return values, recorded, resolver.environment, resolver.problems


@dataclass(frozen=True)
class _Resolver:
    problems: list[Problem]
    environment: Environment
    budget: Budget

    def resolve(
        self, node: DictConfig | ListConfig, key: Any, raw: Any, path: KeyPath
    ) -> Resolved:
        if (
            self.budget.excess
        ):  # it is reported, and whatever follows would exceed it too
            return Resolved(None, None)
        if len(path) > bounded_yaml.DEEPEST:
            self.problems.append(
                Problem(
                    path[:3],
                    f"nested more than {bounded_yaml.DEEPEST} deep; expected less",
                )
            )
            return Resolved(None, None)
        if raw == "???":
            self.problems.append(
                Problem(path, f"must be given: write {dotted(path)}=...")
            )
            return Resolved(None, None)
        read: dict[str, str] = {}
        token = _read.set(read)
        try:
            with interrupts_first():
                value = node[key]
        except OmegaConfBaseException as error:
            message = self.budget.excess or interpolation_error(error)
            self.problems.append(Problem(path, message))
            return Resolved(None, None)
        finally:
            _read.reset(token)
            self.environment.values.update(read)
            self.environment.reads.extend((path, name) for name in read)
        if isinstance(value, (DictConfig, ListConfig)):
            # Where an interpolation led here, what stands here is the text of the interpolation.
            items = self._resolve_items(
                value,
                OmegaConf.to_container(value) if isinstance(raw, str) else raw,
                path,
            )
            return Resolved(items.value, raw) if read else items
        return Resolved(value, raw if read else value)

    def _resolve_items(
        self, node: DictConfig | ListConfig, raw: Any, path: KeyPath
    ) -> Resolved:
        if isinstance(node, ListConfig):
            items = [
                self.resolve(node, index, raw[index], (*path, index))
                for index in range(len(node))
            ]
            return Resolved(
                [item.value for item in items], [item.recorded for item in items]
            )
        # A key is left what it is: the check refuses one that is no text.
        pairs = {
            key: self.resolve(node, key, raw[key], (*path, str(key))) for key in node
        }
        return Resolved(
            {key: pair.value for key, pair in pairs.items()},
            {key: pair.recorded for key, pair in pairs.items()},
        )


def interpolation_error(error: OmegaConfBaseException) -> str:
    """Returns why OmegaConf could not resolve a value, without what it says of its own types."""
    text = str(error).splitlines()[0]
    text = text.removeprefix("KeyError raised while resolving interpolation: ").strip(
        '"'
    )
    name = f"oc.{text.rpartition(' ')[2]}"
    meant = text.startswith(
        "Unsupported interpolation type"
    ) and OmegaConf.has_resolver(name)
    return f"{text} (did you mean {name!r}?)" if meant else text
