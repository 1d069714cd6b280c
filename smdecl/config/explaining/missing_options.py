"""Explains that a config file which an override or a defaults list chooses does not exist."""

from __future__ import annotations

import os
import re

from hydra.errors import MissingConfigException

from smdecl import resources
from smdecl.config import relative_paths, search_path
from smdecl.config.explaining import config_lines, group_entries
from smdecl.errors import KeyPath, Origin, Problem, nearest


def explain(
    error: MissingConfigException, path: KeyPath, origin: Origin | None
) -> Problem:
    """Returns the problem with a missing config, and the options that exist.

    Args:
        error: As Hydra raised it.
        path: The key of the override that chose the config; empty for a defaults list.
        origin: That override; None for a defaults list.
    """
    missing = error.missing_cfg_file or ""
    group, _, option = missing.rpartition("/")
    options = search_path.group_options(group) if group else []
    if not options and error.options is None:
        return _missing_file(error, path, origin)
    if not options and origin is None:
        return group_entries.missing(group)
    if not options:
        return Problem(path, group_entries.unknown(group), origin)
    if origin is None:
        origin = _choosing_line(group, option, error)
    if (group, option) == ("weights", "none"):
        hint = _without_weights(origin)
    else:
        hint = nearest(option, options)
    expected = (
        f"expected one of {', '.join(options)}{hint}{_unread_file(missing)}"
    )
    message = f"unknown option {option!r} for {group}; {expected}"
    return Problem(path or (group,), message, origin)


def _missing_file(
    error: MissingConfigException, path: KeyPath, origin: Origin | None
) -> Problem:
    """Returns the problem with a config that is chosen by its path, such as `model/adder`."""
    missing = str(error.missing_cfg_file)
    expected = f"a file in {resources.conf_dir()} or a --config-dir"
    is_entry = origin is None and _parent(error) is not None
    folders = missing.split("/") if is_entry else []
    for depth in range(len(folders)):
        # As a file below these folders names it.
        entry = "/".join(folders[depth:])
        pattern = rf"^\s*-\s*/?{re.escape(entry)}\s*(?:@|#|$)"
        origin = config_lines.first(pattern, "/".join(folders[:depth]))
        if origin is None:
            continue
        if search_path.find(entry) is not None:
            expected = f"a leading slash: write '- /{entry}'"
        break
    message = f"no such config: {missing!r}; expected {expected}"
    return Problem(path, message, origin)


def _parent(error: MissingConfigException) -> str | None:
    """Returns the config of a defaults list; Hydra may name the primary config instead."""
    found = re.match(r"In '([^']+)'", str(error))
    return found and found.group(1)


def _without_weights(origin: Origin | None) -> str:
    is_override = origin is not None and origin.override is not None
    written = "~weights" if is_override else "- override /weights: null"
    return f"; write {written!r} to choose none"


def _unread_file(missing: str) -> str:
    """Returns a hint at the file that was probably meant, which is not on the search path."""
    # Not by pathlib, which raises if the name is longer than a file name may be.
    if os.path.isfile(f"conf/{missing}.yaml"):  # noqa: PTH113
        return f"; to read conf/{missing}.yaml, pass --config-dir conf"
    below = relative_paths.run_elsewhere(f"conf/{missing}.yaml")
    if below:
        return f"{below} with --config-dir conf"
    for directory in search_path.directories():
        file = directory / f"{missing}.yml"
        if os.path.isfile(file):  # noqa: PTH113
            return f"; rename {search_path.shown(file)} to end in .yaml"
    return ""


def _choosing_line(
    group: str, option: str, error: MissingConfigException
) -> Origin | None:
    """Returns the line of a defaults list that chooses an option.

    Hydra's message names the primary config, whichever file the line is in.
    """
    between = r"(?:/|\b[^:]*:.*(?<!\w))"
    pattern = (
        rf"^\s*-\s.*\b{re.escape(group)}{between}{re.escape(option)}(?!\w)"
    )
    origin = config_lines.first(pattern)
    if origin is not None:
        return origin
    return config_lines.whole(search_path.find(_parent(error)))
