"""Configs that a program passes as a mapping, laid over the defaults of the primary config."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from smdecl import schema
from smdecl.config import bounded_yaml
from smdecl.errors import ConfigError, KeyPath, Problem

# As an option file of these groups does, a mapping may set some of their keys.
_MERGED = ("audit", "devices", "options", "publish", "verify")


def plain(values: Mapping[str, object]) -> dict[str, Any]:
    """Returns a mapping as dicts, lists and scalars; paths become text.

    Raises:
        ConfigError: With every value that no config can hold, and every key that is none of its;
            or if there are more values than a config may have.
    """
    problems = [*_misplaced(values)]
    try:
        numbers = itertools.count()
        found = {
            key: _plain(value, (str(key),), problems, numbers)
            for key, value in values.items()
        }
    except OmegaConfBaseException as error:  # of a program's own config
        raise ConfigError(str(error).partition("\n")[0]) from error
    if problems:
        raise ConfigError(problems)
    return found


def lay(values: Mapping[str, Any], config: DictConfig) -> None:
    """Sets the keys of a composed config that a mapping has.

    Raises:
        ConfigError: With every value that OmegaConf refuses.
    """
    problems = []
    with open_dict(config):
        for key, value in values.items():
            try:
                is_merged = key in _MERGED and isinstance(value, dict)
                config[key] = (
                    OmegaConf.merge(config[key], value) if is_merged else value
                )
            except OmegaConfBaseException as error:
                problems.append(Problem((str(key),), str(error).partition("\n")[0]))
        model = values.get("model")
        target = model.get("_target_") if isinstance(model, dict) else None
        if "name" not in values and isinstance(
            target, str
        ):  # no option has been chosen
            config["name"] = target.rpartition(".")[2]
    if problems:
        raise ConfigError(problems)


def _misplaced(values: Mapping[str, object]) -> list[Problem]:
    problems = []
    for key in schema.load("config")["x-groups"]:
        value = values.get(key)
        if isinstance(value, str) and not value.startswith("${"):
            hint = f'smdecl.compose(["{key}={value}"]) selects an option'
            problems.append(
                Problem((key,), f"expected a mapping, got the string {value!r}; {hint}")
            )
    if "hydra" in values:
        problems.append(
            Problem(
                ("hydra",),
                "expected no settings of Hydra; pass them to smdecl.compose as overrides",
            )
        )
    return problems


def _plain(
    value: object, path: KeyPath, problems: list[Problem], numbers: Iterator[int]
) -> Any:
    if (
        next(numbers) >= bounded_yaml.MOST_NODES
    ):  # a value that two others share is one for each
        raise ConfigError(
            Problem(
                path[:1], f"more than {bounded_yaml.MOST_NODES} values; expected fewer"
            )
        )
    if len(path) > bounded_yaml.DEEPEST:
        problems.append(
            Problem(path[:3], f"is nested more than {bounded_yaml.DEEPEST} deep")
        )
        return None
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Mapping):
        return {
            key: _plain(item, (*path, str(key)), problems, numbers)
            for key, item in value.items()
        }
    if value is None or isinstance(value, (str, bytes, int, float)):
        return value
    if isinstance(value, Sequence):
        return [
            _plain(item, (*path, index), problems, numbers)
            for index, item in enumerate(value)
        ]
    expected = "expected text, a number, a list or a mapping"
    problems.append(Problem(path, f"{expected}, got {type(value).__name__}"))
    return None
