"""Refuses overrides that drop the digests which a config file pins.

Whoever reviews a release file relies on its pins, whatever overrides are added.
"""

from __future__ import annotations

from collections.abc import Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig

from smdecl.config import search_path
from smdecl.config.explaining import attempts
from smdecl.config.locate import Locator
from smdecl.errors import Origin, Problem

_KEY = "sha256"


def dropped(config: DictConfig, locator: Locator) -> list[Problem]:
    """Returns the problems with overrides that drop pins, or try to.

    Hydra merges `sha256={}`, so that override drops nothing; it is refused all the same.

    Args:
        config: The composed config.
        locator: Has the primary config and the overrides.
    """
    if not any(_KEY in override for override in locator.overrides):
        return []  # parsing takes time
    parser = OverridesParser.create()
    parsed = parser.parse_overrides(list(locator.overrides))
    dropping = [override for override in parsed if _drops(override)]
    if not dropping:
        return []
    others = [override for override in parsed if not _is_pin(override)]
    lines = tuple(str(override.input_line) for override in others)
    declared = _declared(locator.config_name, lines)
    if not declared:
        return []
    kept = _pins(config)
    lost = [pin for pin in declared if pin not in kept] or declared
    locate_declared = Locator(locator.config_name, lines, locator.directories)
    place = locate_declared((_KEY, declared[0]))
    message = f"an override cannot drop the pins of {', '.join(lost)}; change them in {place}"
    problems = []
    for override in dropping:
        origin = Origin(override=override.input_line)
        problems.append(Problem((_KEY,), message, origin))
    return problems


def _is_pin(override: Override) -> bool:
    return override.key_or_group.split(".")[0] == _KEY


def _drops(override: Override) -> bool:
    if not _is_pin(override):
        return False
    return override.is_delete() or override.value() in ({}, None)


def _declared(config_name: str, overrides: Sequence[str]) -> list[str]:
    """Returns the pins of the config without the overrides of pins."""
    with search_path.session():
        return _pins(attempts.attempt(config_name, overrides).config)


def _pins(config: DictConfig | None) -> list[str]:
    pins = None if config is None else config.get(_KEY)
    if not isinstance(pins, DictConfig):
        return []
    return sorted(str(name) for name in pins)
