"""Checks the default config with other parts; composing a config for each would take longer."""

import dataclasses
import functools

import smdecl
from smdecl.checks import check
from smdecl.config.project import find_project
from smdecl.errors import ConfigError, Problem


@functools.cache
def _default() -> smdecl.Composition:
    composition = smdecl.compose(["name=x", "signatures=none", "options=default"])
    return dataclasses.replace(composition, locate=lambda _: None)


def problems(root, **parts) -> list[Problem]:
    """Returns what `check` finds in a project.

    Args:
        root: The directory of the project.
        parts: The values of top-level keys; a mapping is merged into the default.
    """
    composition = _default()
    values = dict(composition.values)
    for key, part in parts.items():
        is_merged = key in ("verify", "publish")
        values[key] = {**values[key], **part} if is_merged else part
    try:
        check.check(dataclasses.replace(composition, values=values), find_project(root))
    except ConfigError as error:
        return list(error.problems)
    return []
