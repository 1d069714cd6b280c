"""Finds the override that caused one of Hydra's errors."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import MissingConfigException, OverrideParseException

from smdecl.config import bounded_yaml, config_sources, search_path
from smdecl.config.explaining import hydra_messages


def find(error: Exception, overrides: Sequence[str]) -> Override | str | None:
    """Returns the override that caused an error.

    Returns:
        The parsed override; its text if Hydra cannot parse it; None if a config file is at fault.
    """
    if isinstance(error, OverrideParseException):
        return error.override
    if isinstance(
        error, (config_sources.DefaultsError, bounded_yaml.UnfitError)
    ):
        return None
    if isinstance(error, RecursionError):
        return _too_deep(overrides)
    return find_long_integer(overrides) or _find_parsed(error, overrides)


def _find_parsed(
    error: Exception, overrides: Sequence[str]
) -> Override | None:
    parsed = OverridesParser.create().parse_overrides(list(overrides))
    if isinstance(error, MissingConfigException):
        return _choosing(error.missing_cfg_file or "", parsed)
    if hydra_messages.is_unchecked(error):
        return next(
            (override for override in parsed if _is_unfit(override)), None
        )
    index = hydra_messages.invalid_index(error)
    refused = hydra_messages.refused_override(error)
    for override in parsed:
        if index is not None and index in override.key_or_group.split("."):
            return override
        if override.input_line == refused:
            return override
    return _named_in(str(error), parsed)


def find_long_integer(overrides: Sequence[str]) -> str | None:
    """Returns the first override with an integer of more digits than Python reads."""
    for override in overrides:
        with contextlib.suppress(RecursionError):
            try:
                OverridesParser.create().parse_override(override)
            except ValueError:
                return override
    return None


def _too_deep(overrides: Sequence[str]) -> str | None:
    for override in overrides:
        if _nesting(override) > bounded_yaml.DEEPEST:
            return override
    return None


def _nesting(text: str) -> int:
    """Returns how deep brackets are nested, counting quoted brackets too."""
    depth = deepest = 0
    for character in text:
        if character in "[{(":
            depth += 1
        elif character in "]})":
            depth -= 1
        deepest = max(deepest, depth)
    return deepest


def _choosing(config_path: str, parsed: Sequence[Override]) -> Override | None:
    """Returns the override that chooses a config such as `model/adder`."""
    for override in parsed:
        value = override.value()
        names = value if isinstance(value, list) else [value]
        if config_path in [
            f"{override.key_or_group}/{name}" for name in names
        ]:
            return override
    return None


def _is_unfit(override: Override) -> bool:
    """Returns whether Hydra fails on the value of an option or of a setting of Hydra."""
    key, value = override.key_or_group, override.value()
    if key.startswith("hydra."):
        return "${" in str(value) or key == "hydra.job.env_copy"
    if override.is_delete() or not search_path.group_options(key):
        return False
    names = value if isinstance(value, list) else [value]
    return not all(isinstance(name, str) for name in names)


def _named_in(message: str, parsed: Sequence[Override]) -> Override | None:
    quoted = re.search(r"['\"]([^'\"]+)['\"]", message)
    named = {hydra_messages.group_chosen_twice(message)}
    named.add(quoted.group(1) if quoted else "")
    for override in parsed:
        line = str(override.input_line)
        names = {override.key_or_group, override.get_key_element()}
        names |= {line, line.removeprefix("~")}
        if named & names:
            return override
    return None
