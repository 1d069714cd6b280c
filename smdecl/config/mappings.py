"""Lays a config that a program passes as a mapping over the defaults of the primary config."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from smdecl import schema
from smdecl.config import bounded_yaml
from smdecl.errors import ConfigError, KeyPath, Problem

# A mapping may set some of the keys of these groups, as an option file of them may.
_MERGED = ("audit", "devices", "options", "publish", "verify")


def plain(values: Mapping[str, object]) -> dict[str, Any]:
    """Returns a mapping as dicts, lists and scalars; paths become text.

    Raises:
        ConfigError: With every value that a config cannot hold, and every misplaced key; or if
            there are more values than a config may have.
    """
    problems = _misplaced(values)
    converter = _Converter(problems, itertools.count())
    found: dict[str, Any] = {}
    try:
        for key, value in values.items():
            found[key] = converter.plain(value, (str(key),))
    except OmegaConfBaseException as error:
        # The mapping is, or contains, a config of the program's own that does not resolve.
        raise ConfigError(_first_line(error)) from error
    if problems:
        raise ConfigError(problems)
    return found


def lay(values: Mapping[str, Any], config: DictConfig) -> None:
    """Sets the keys of a mapping in a composed config.

    Raises:
        ConfigError: With every value that OmegaConf refuses.
    """
    problems = []
    with open_dict(config):
        for key, value in values.items():
            try:
                if key in _MERGED and isinstance(value, dict):
                    config[key] = OmegaConf.merge(config[key], value)
                else:
                    config[key] = value
            except OmegaConfBaseException as error:
                problems.append(Problem((str(key),), _first_line(error)))
        # By default the name is that of the chosen option, and no option is chosen here.
        target = _target(values.get("model"))
        if "name" not in values and isinstance(target, str):
            config["name"] = target.rpartition(".")[2]
    if problems:
        raise ConfigError(problems)


def _target(model: object) -> object:
    return model.get("_target_") if isinstance(model, dict) else None


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _misplaced(values: Mapping[str, object]) -> list[Problem]:
    problems = []
    for key in schema.load("config")["x-groups"]:
        value = values.get(key)
        if isinstance(value, str) and not value.startswith("${"):
            hint = f'smdecl.compose(["{key}={value}"]) selects an option'
            message = f"expected a mapping, got the string {value!r}; {hint}"
            problems.append(Problem((key,), message))
    if "hydra" in values:
        hint = "pass them to smdecl.compose as overrides"
        message = f"expected no settings of Hydra; {hint}"
        problems.append(Problem(("hydra",), message))
    return problems


@dataclass(frozen=True)
class _Converter:
    """Converts the values of one mapping.

    Attributes:
        problems: Receives the problem with each value that a config cannot hold.
        numbers: Counts the values; a value that two others share counts twice.
    """

    problems: list[Problem]
    numbers: Iterator[int]

    def plain(self, value: object, path: KeyPath) -> object:
        """Returns a value as dicts, lists and scalars; None if a config cannot hold it.

        Raises:
            ConfigError: If there are more values than a config may have.
        """
        if next(self.numbers) >= bounded_yaml.MOST_NODES:
            message = (
                f"more than {bounded_yaml.MOST_NODES} values; expected fewer"
            )
            raise ConfigError(Problem(path[:1], message))
        if len(path) > bounded_yaml.DEEPEST:
            self.problems.append(Problem(path[:3], bounded_yaml.TOO_DEEP))
            return None
        if isinstance(value, os.PathLike):
            return os.fspath(value)
        if isinstance(value, Mapping):
            result = {}
            for key, item in value.items():
                result[key] = self.plain(item, (*path, str(key)))
            return result
        if value is None or isinstance(value, (str, bytes, int, float)):
            return value
        if isinstance(value, Sequence):
            return [
                self.plain(item, (*path, index))
                for index, item in enumerate(value)
            ]
        expected = "expected text, a number, a list or a mapping"
        found = type(value).__name__
        self.problems.append(Problem(path, f"{expected}, got {found}"))
        return None
