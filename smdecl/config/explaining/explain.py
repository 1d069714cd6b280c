"""Turns Hydra's composition errors into Problems.

Each names the override or the line of a file, what was found there and what is expected.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from hydra.core.override_parser.types import Override
from hydra.errors import MissingConfigException, OverrideParseException
from omegaconf import DictConfig

from smdecl.config import bounded_yaml, config_sources, search_path
from smdecl.config.explaining import (
    config_lines,
    culprit,
    deletions,
    file_errors,
    group_entries,
    hydra_messages,
    merging,
    missing_options,
    override_keys,
)
from smdecl.errors import KeyPath, Origin, Problem


def explain(
    error: Exception,
    override: Override | str | None,
    config: DictConfig | None,
    config_name: str,
) -> Problem:
    """Returns the problem behind one of Hydra's errors.

    Args:
        error: As Hydra raised it.
        override: The override that caused it, as `culprit.find` returns it.
        config: What could be composed without that override; None if nothing could.
        config_name: The primary config.
    """
    if isinstance(error, RecursionError):
        return _nested_too_deep(override)
    if isinstance(override, str):
        return _unparsable(error, override)
    if override is not None:
        return _explain_override(error, override, config)
    if isinstance(error, config_sources.SearchPathError):
        # Hydra reads this key in the primary config only.
        file = search_path.find(config_name.removesuffix(".yaml"))
        origin = config_lines.whole(file)
        return Problem(
            ("hydra", "searchpath"), hydra_messages.text(error), origin
        )
    return file_errors.explain(error, config_name)


def long_integer(overrides: Sequence[str]) -> list[Problem]:
    """Returns the problem with an override that Hydra's parser fails on for its long integer."""
    found = culprit.find_long_integer(overrides)
    if found is None:
        return []
    return [file_errors.integer_too_long(Origin(override=found))]


def _nested_too_deep(override: Override | str | None) -> Problem:
    if override is None:
        origin = config_lines.first(rf"[\[{{(]{{{bounded_yaml.DEEPEST}}}")
    else:
        origin = Origin(override=str(override))
    return Problem((), bounded_yaml.TOO_DEEP, origin)


def _unparsable(error: Exception, override: str) -> Problem:
    origin = Origin(override=override)
    if not isinstance(error, OverrideParseException):
        return file_errors.integer_too_long(origin)
    return Problem((), hydra_messages.parse_error(error), origin)


def _explain_override(
    error: Exception, override: Override, config: DictConfig | None
) -> Problem:
    path: KeyPath = tuple(override.key_or_group.replace("/", ".").split("."))
    origin = Origin(override=override.input_line)
    if isinstance(error, MissingConfigException):
        return missing_options.explain(error, path, origin)
    choice = _invalid_choice(error, override) or _unchosen(error, override)
    choice = choice or deletions.explain(error, override, path, config)
    if choice is not None:
        return Problem(path, choice, origin)
    unknown_key = _unknown_key(override, path, config)
    if unknown_key is not None:
        return Problem(path, unknown_key, origin)
    if merging.is_refused(str(error.__cause__ or error)):
        misfit = merging.override_problem(override, path, config)
        if misfit is not None:
            return misfit
    missing = re.match(
        r"Key '([^']*)' is not in struct", str(error.__cause__ or error)
    )
    if missing is not None:
        return override_keys.merged(config, path, override, missing.group(1))
    return Problem(path, hydra_messages.text(error), origin)


def _unknown_key(
    override: Override, path: KeyPath, config: DictConfig | None
) -> str | None:
    if config is None or override.is_add():
        return None
    if not override_keys.is_unknown(config, path):
        return None
    return override_keys.unknown(config, path, override)


def _invalid_choice(error: Exception, override: Override) -> str | None:
    """Returns what is wrong with the value of an override, whichever key it sets."""
    key, line = override.key_or_group, str(override.input_line)
    if isinstance(error, ValueError) and override.value() is None:
        return f"invalid option null; write '~{key}' to choose none"
    if override.is_sweep_override():
        return "has several values; add -m to run a sweep over them"
    index = hydra_messages.invalid_index(error)
    if index is not None:
        return f"expected the index of an item in a list, got {index!r}"
    if hydra_messages.group_chosen_twice(str(error)):
        written = repr(line.lstrip("+"))
        return f"already has an option; to choose a different one, write {written}"
    if hydra_messages.is_unchecked(error):
        return _unfit_value(error, override)
    return None


def _unchosen(error: Exception, override: Override) -> str | None:
    """Returns what is wrong with an override of an option where none is chosen."""
    group, line = override.key_or_group, str(override.input_line)
    if hydra_messages.nothing_to_override(error) != group:
        return None
    if override.is_delete() or not search_path.group_options(group):
        return None
    return group_entries.add_option(group, f"+{line}")


def _unfit_value(error: Exception, override: Override) -> str:
    if not override.key_or_group.startswith("hydra."):
        return f"expected names of options, got {override.value()!r}"
    if isinstance(error, KeyError):
        return f"environment variable {error} is not set; expected no variables here"
    return f"Hydra cannot use what this resolves to: {error}; expected a plain value"
