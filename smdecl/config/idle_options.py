"""Refuses overrides that choose an option of which a config file replaces every key.

Hydra merges a release file after the options, so its keys win even over an option that an override
chooses.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from smdecl import resources
from smdecl.config import bounded_yaml, search_path
from smdecl.config.explaining import attempts
from smdecl.config.locate import Locator
from smdecl.config.types import Values
from smdecl.errors import KeyPath, Origin, Problem, dotted

_MISSING = "???"
_OPTION = re.compile(r"[\w./-]+")


@dataclass(frozen=True)
class _Choice:
    """An override that chooses an option.

    Attributes:
        override: As it was written.
        group: The group, such as `weights`.
        option: The option, such as `checkpoint`.
        file: The file of the option.
    """

    override: str
    group: str
    option: str
    file: Path


def refused(config: DictConfig, locator: Locator) -> list[Problem]:
    """Returns the problems with overrides that choose an option without any effect.

    Args:
        config: The composed config.
        locator: Has the primary config and the overrides.
    """
    problems = []
    for choice in _choices(locator):
        found = _refused(choice, config, locator)
        if found is not None:
            problems.append(found)
    return problems


def _choices(locator: Locator) -> Iterator[_Choice]:
    directories = (*locator.directories, resources.conf_dir())
    for override in locator.overrides:
        key, _, option = override.partition("=")
        group = key.lstrip("+")
        if not (group.isidentifier() and _OPTION.fullmatch(option)):
            continue
        for directory in directories:
            file = directory / group / f"{option}.yaml"
            # Not by pathlib, which raises at a name that is too long.
            if os.path.isfile(file):  # noqa: PTH113
                yield _Choice(override, group, option, file)
                break


def _refused(
    choice: _Choice, config: DictConfig, locator: Locator
) -> Problem | None:
    text = choice.file.read_text(encoding="utf-8")
    if "@package" in text:
        return None  # its keys are not below the group
    path: KeyPath = (choice.group,)
    present = _values(config, choice.group)
    overridden = {
        line.partition("=")[0].lstrip("+") for line in locator.overrides
    }
    replaced = []
    for key, value in _set_by(text, choice):
        if dotted(key) in overridden:
            continue
        origin = locator(key) if _at(present, key[1:]) != value else None
        if origin is not None and origin.file is not None:
            replaced.append((key, origin))
    if not replaced or _has_effect(choice, present, locator):
        return None
    key, origin = replaced[0]
    if origin.file == search_path.shown(choice.file):
        key, origin = path, locator(path) or origin
    message = (
        f"the option {choice.option!r} has no effect, because {origin} sets {dotted(key)};"
        f" override that key instead, or move the keys of {choice.group} from there into a"
        f" file of the group, such as {choice.group}/mine.yaml, and select it with"
        f" '- override /{choice.group}: mine'"
    )
    return Problem(path, message, Origin(override=choice.override))


def _has_effect(choice: _Choice, present: object, locator: Locator) -> bool:
    """Returns whether the group has other values without the override."""
    overrides = [line for line in locator.overrides if line != choice.override]
    with search_path.session():
        found = attempts.attempt(locator.config_name, overrides)
    if found.config is None:
        return True
    without = _values(found.config, choice.group)
    return _without_defaults(present, choice.group) != _without_defaults(
        without, choice.group
    )


def _values(config: DictConfig, group: str) -> object:
    node = OmegaConf.select(config, group, throw_on_resolution_failure=False)
    if not OmegaConf.is_config(node):
        return node
    return OmegaConf.to_container(node, resolve=False)


def _without_defaults(value: object, group: str) -> object:
    """Returns the values of a group without those that are null or a default."""
    if not isinstance(value, dict):
        return value
    # The primary config has the defaults of the other groups.
    defaults = {"expect": "full"} if group == "weights" else {}
    return {
        key: item
        for key, item in value.items()
        if item is not None and defaults.get(key) != item
    }


# The variants of a sweep choose the same options.
@functools.lru_cache(maxsize=64)
def _set_by(text: str, choice: _Choice) -> tuple[tuple[KeyPath, object], ...]:
    """Returns the values that the text of an option sets, each with its key path."""
    return tuple(_leaves(_mapping(text, choice.file), (choice.group,)))


def _mapping(text: str, file: Path) -> Values:
    values = bounded_yaml.load(text, str(file))
    if not isinstance(values, dict):
        return {}
    values.pop("defaults", None)
    return values


def _leaves(value: object, path: KeyPath) -> Iterator[tuple[KeyPath, object]]:
    """Yields the key paths of the values that an option sets."""
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _leaves(item, (*path, str(key)))
    elif value not in (None, _MISSING, {}):
        yield path, value


def _at(values: object, path: KeyPath) -> object:
    for part in path:
        values = values.get(part) if isinstance(values, dict) else None
    return values
