"""Explains why an override cannot delete a key: the schema requires it, or Hydra cannot read it."""

from __future__ import annotations

from collections.abc import Sequence

from hydra import compose
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig

from smdecl import schema
from smdecl.config import nodes
from smdecl.config.explaining import hydra_messages
from smdecl.config.types import Values
from smdecl.errors import KeyPath, Origin, Problem

_REQUIRED = "is required; an override cannot delete it"
_UNREADABLE = "its value refers to settings of Hydra, which cannot be deleted; expected a new value"


def failed(
    config_name: str, overrides: Sequence[str], error: Exception
) -> Override | None:
    """Returns the deletion that failed because Hydra resolves the value that it deletes.

    The value may refer to settings of Hydra, which do not exist yet. The message names no key.
    """
    if not _is_unreadable(error):
        return None
    parsed = OverridesParser.create().parse_overrides(list(overrides))
    deleting = [override for override in parsed if override.is_delete()]
    lines = {str(override.input_line) for override in deleting}
    others = [line for line in overrides if line not in lines]
    for override in deleting:
        try:
            compose(config_name, [*others, str(override.input_line)])
        except Exception as again:  # a different error has a different culprit
            if _is_unreadable(again):
                return override
    return None


def explain(
    error: Exception,
    override: Override,
    path: KeyPath,
    config: DictConfig | None,
) -> str | None:
    """Returns why a deletion failed; None if it failed for a different reason.

    Args:
        error: As Hydra raised it.
        override: Deletes the key.
        path: The key path.
        config: What could be composed without the override; None if nothing could.
    """
    if not override.is_delete() or not _is_unreadable(error):
        return None
    values = (
        {} if config is None else _without(nodes.plain_values(config), path)
    )
    return _REQUIRED if _is_required(values, path) else _UNREADABLE


def refused(config: DictConfig, overrides: Sequence[str]) -> list[Problem]:
    """Returns the problems with overrides that deleted keys which a config must have."""
    marked = [override for override in overrides if "~" in override]
    if not marked:
        return []  # parsing takes time
    parsed = OverridesParser.create().parse_overrides(marked)
    deleting = [override for override in parsed if override.is_delete()]
    values = nodes.plain_values(config)
    problems = []
    for override in deleting:
        path = tuple(override.key_or_group.split("."))
        if _is_required(values, path):
            origin = Origin(override=override.input_line)
            problems.append(Problem(path, _REQUIRED, origin))
    return problems


def _is_unreadable(error: Exception) -> bool:
    return "HydraConfig was not set" in hydra_messages.text(error)


def _without(values: Values, path: KeyPath) -> Values:
    key, *below = path
    if not below:
        return {name: value for name, value in values.items() if name != key}
    return {**values, str(key): _without(values[str(key)], tuple(below))}


def _is_required(values: Values, path: KeyPath) -> bool:
    """Returns whether a config lacks a key that its schema requires."""
    *parent, key = path
    for violation in schema.violations("config", values):
        is_required = violation.keyword == "required"
        is_parent = violation.path == tuple(parent)
        if is_required and is_parent and key in violation.limit:
            return key not in violation.instance
    return False
