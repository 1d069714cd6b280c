"""Makes plain values of a composed config, and a second form of them that may be written down."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from smdecl.errors import KeyPath, Problem, dotted

_ENVIRONMENT = re.compile(r"\$\{\s*oc\.env\s*:\s*([^,}\s]+)")


@dataclass(frozen=True)
class Resolved:
    """A value, and the same with what was read from the environment left unresolved."""

    value: Any
    recorded: Any


def resolve(config: DictConfig) -> tuple[dict[str, Any], dict[str, Any], list[Problem]]:
    """Returns the values of all keys but Hydra's own, the same as they may be written down, and every problem.

    OmegaConf itself would raise at the first interpolation that leads nowhere.
    """
    raw = OmegaConf.to_container(config, resolve=False)
    resolver = _Resolver([], _secrets(str(raw)))
    pairs = {
        str(key): resolver.resolve(config, key, raw[key], (str(key),))  # type: ignore[index]
        for key in config
        if key != "hydra"
    }
    values = {key: pair.value for key, pair in pairs.items()}
    return values, {key: pair.recorded for key, pair in pairs.items()}, resolver.problems


def _secrets(raw: str) -> tuple[str, ...]:
    found = {os.environ.get(name, "") for name in _ENVIRONMENT.findall(raw)}
    return tuple(found - {""})


@dataclass(frozen=True)
class _Resolver:
    problems: list[Problem]
    secrets: tuple[str, ...]

    def resolve(self, node: DictConfig | ListConfig, key: Any, raw: Any, path: KeyPath) -> Resolved:
        if raw == "???":
            self.problems.append(Problem(path, f"must be given: write {dotted(path)}=..."))
            return Resolved(None, None)
        try:
            value = node[key]
        except OmegaConfBaseException as error:
            self.problems.append(Problem(path, _interpolation_error(error)))
            return Resolved(None, None)
        if isinstance(value, (DictConfig, ListConfig)):
            # Where an interpolation led here, what stands here is the text of the interpolation.
            return self._resolve_items(value, OmegaConf.to_container(value) if isinstance(raw, str) else raw, path)
        return Resolved(value, raw if self._is_secret(value, raw) else value)

    def _resolve_items(self, node: DictConfig | ListConfig, raw: Any, path: KeyPath) -> Resolved:
        if isinstance(node, ListConfig):
            items = [self.resolve(node, index, raw[index], (*path, index)) for index in range(len(node))]
            return Resolved([item.value for item in items], [item.recorded for item in items])
        pairs = {str(key): self.resolve(node, key, raw[key], (*path, str(key))) for key in node}
        return Resolved(
            {key: pair.value for key, pair in pairs.items()}, {key: pair.recorded for key, pair in pairs.items()}
        )

    def _is_secret(self, value: Any, raw: Any) -> bool:
        """Whether a value was read from the environment, directly or through another key."""
        if not isinstance(raw, str) or "${" not in raw:
            return False
        return bool(_ENVIRONMENT.search(raw)) or any(secret in str(value) for secret in self.secrets)


def _interpolation_error(error: OmegaConfBaseException) -> str:
    text = str(error).splitlines()[0]
    return text.removeprefix("KeyError raised while resolving interpolation: ").strip('"')
