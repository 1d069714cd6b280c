"""Explains what is wrong with the group of an entry in a defaults list.

The primary config chooses an option of each built-in group, so other files override it. It chooses
none of a group of the user, so a file adds one.
"""

from __future__ import annotations

import re

from smdecl import resources
from smdecl.config import search_path
from smdecl.config.explaining import config_lines
from smdecl.errors import Problem, nearest

# What is before the group, in a list of lines or in brackets.
_BEFORE = r"(?:^\s*-|[\[{,])\s*"


def is_built_in(group: str) -> bool:
    """Returns whether the built-in primary config chooses an option of a group."""
    return (resources.conf_dir() / group).is_dir()


def unknown(group: str) -> str:
    """Returns the message about a group that does not exist."""
    groups = search_path.groups()
    expected = f"expected one of {', '.join(groups)}{nearest(group, groups)}"
    return f"unknown group {group!r}; {expected}"


def needs_slash(group: str) -> str:
    """Returns the message about a group without a leading slash in a file of a different group."""
    if not search_path.group_options(group):
        return unknown(group)
    if is_built_in(group):
        return (
            "a group of the primary config needs a leading slash;"
            f" write '- override /{group}: ...'"
        )
    return f"a group needs a leading slash here; write '- /{group}: ...'"


def missing(group: str) -> Problem:
    """Returns the problem with a group without options that a defaults list names.

    Args:
        group: As Hydra resolved it: `release/model` may be `model` in a file of the group
            `release`.
    """
    folders = group.split("/")
    for depth in range(len(folders)):
        # As a file below these folders names it.
        name = "/".join(folders[depth:])
        slash = "" if depth else "/?"
        pattern = rf"{_BEFORE}{slash}{re.escape(name)}\s*[:@]"
        origin = config_lines.first(pattern, "/".join(folders[:depth]))
        if origin is not None:
            message = needs_slash(name) if depth else unknown(name)
            return Problem((name,), message, origin)
    return Problem((group,), unknown(group))


def nothing_to_override(group: str, release: str) -> str:
    """Returns the message about an override of an option where none is chosen before.

    Args:
        group: The group.
        release: The override that chooses the file as a release; empty if it is none.
    """
    message = f"no config before this one chooses an option of {group!r}"
    if not is_built_in(group):
        return f"{message}; to choose one, write '- /{group}: ...'"
    hint = "begin the defaults list of the primary config with '- export'"
    if release:
        hint = f"choose this file with {release} instead of --config-name, or {hint}"
    return f"{message}; {hint}"


def add_option(group: str, written: str) -> str:
    """Returns the message about an override of an option where the config chooses none.

    Args:
        group: The group.
        written: The override that adds the option.
    """
    return f"the config chooses no option of {group!r}; to add one, write {written!r}"


def after_overrides(group: str, option: str) -> str:
    """Returns the message about an entry that comes after one with `override`."""
    message = "comes after an entry with 'override'"
    if not is_built_in(group):
        return f"{message}; move it before these"
    return (
        f"{message}; write '- override /{group}: {option}',"
        " or move a new group before these"
    )
