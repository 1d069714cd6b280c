"""Explains the errors that Hydra raises because of a config file."""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from hydra.errors import MissingConfigException

from smdecl import schema
from smdecl.config import (
    bounded_yaml,
    config_lines,
    config_sources,
    hydra_messages,
    locate,
    missing_options,
    search_path,
)
from smdecl.errors import Origin, Problem, nearest

_GLOBAL = "# @package _global_"


def explain(error: Exception) -> Problem:
    """Returns the problem with the config file that caused one of Hydra's errors."""
    if isinstance(error, MissingConfigException):
        return missing_options.explain(error, (), None)
    if isinstance(error, config_sources.DefaultsError):
        return Problem((), str(error), config_lines.whole(error.file))
    unreadable = _unreadable(error)
    if unreadable is not None:
        return unreadable
    message = hydra_messages.text(error)
    named = re.match(r"(?:Invalid defaults list in|In) '([^']+)'", str(error))
    if named is None:
        return _defaults_problem(message, None)
    config_path = named.group(1)
    file = search_path.find(config_path)
    if file is not None and "Cannot merge" in message:
        misplaced = _misplaced_list(file, config_path)
        if misplaced is not None:
            return misplaced
    return _defaults_problem(message, file)


def integer_too_long(origin: Origin | None) -> Problem:
    """Returns the problem with an integer of more digits than Python reads."""
    return Problem((), bounded_yaml.TOO_LONG, origin)


def _unreadable(error: Exception) -> Problem | None:
    """Returns the problem with a file that cannot be read as YAML with interpolations."""
    mark = getattr(error, "problem_mark", None)
    if isinstance(error, yaml.MarkedYAMLError) and mark is not None:
        origin = Origin(search_path.shown(Path(mark.name)), mark.line + 1)
        is_yaml = isinstance(error, bounded_yaml.UnfitError)
        reason = str(error.problem)
        return Problem(
            (), reason if is_yaml else f"invalid YAML: {reason}", origin
        )
    if isinstance(error, UnicodeDecodeError):
        message = f"invalid UTF-8: {error.reason} at byte {error.start}"
        return Problem((), message, config_lines.undecodable_file())
    if isinstance(error, OSError):
        file = Path(error.filename) if error.filename else None
        message = f"cannot read the file: {error.strerror}"
        return Problem((), message, config_lines.whole(file))
    return _invalid_interpolation(hydra_messages.text(error))


def _invalid_interpolation(message: str) -> Problem | None:
    broken = re.match(
        r"(?:no viable alternative at input|missing \S+ at) '(.+)'$", message
    )
    if broken is None:
        return None
    origin = config_lines.first(re.escape(broken.group(1)))
    return Problem((), f"invalid interpolation: {message}", origin)


def _misplaced_list(file: Path, config_path: str) -> Problem | None:
    """Returns the problem with a list in the place of a mapping, or the reverse.

    Hydra's message names the file, but not the key.
    """
    text = file.read_text(encoding="utf-8")
    folders = config_path.split("/")[:-1]
    package = "" if text.startswith(_GLOBAL) else ".".join(folders)
    value = yaml.safe_load(text)
    if isinstance(value, list):
        origin = Origin(search_path.shown(file), 1)
        return Problem(
            (), "expected a mapping of keys to values, got a list", origin
        )
    lines = dict(locate.lines(file, package))
    if package:
        for part in reversed(package.split(".")):
            value = {part: value}
    for problem in schema.wrong_containers("config", value):
        if problem.path in lines:
            return problem.at(lines[problem.path])
    return None


def _defaults_problem(message: str, file: Path | None) -> Problem:
    """Returns the problem with an entry of a defaults list."""
    below = re.search(
        r"Could not override '([\w/]+)@(\S+)\.\1'\. Did you mean", message
    )
    if below is not None:
        return _missing_package_line(below.group(2), file)
    relative = re.search(
        r"Could not override '[\w/]+/(\w+)@\S*'\. No match", message
    )
    if relative is not None:
        group = relative.group(1)
        origin = _line(file, rf"^\s*-\s*override\s+{group}\s*:")
        return Problem((group,), missing_options.needs_slash(group), origin)
    unknown = re.search(r"Could not override '([\w/]+)'\. No match", message)
    if unknown is not None:
        return _unknown_group(unknown.group(1), file)
    twice = hydra_messages.group_chosen_twice(message)
    if twice:
        return _chosen_twice(twice)
    if "defaults must be a list" in message:
        return Problem((), message, _line(file, r"^defaults\s*:"))
    return Problem((), message, config_lines.whole(file))


def _missing_package_line(package: str, file: Path | None) -> Problem:
    message = (
        f"missing first line {_GLOBAL!r};"
        f" without it, all keys of the file end up under {package!r}"
    )
    return Problem((), message, _line(file, ""))


def _unknown_group(group: str, file: Path | None) -> Problem:
    groups = search_path.groups()
    expected = f"expected one of {', '.join(groups)}{nearest(group, groups)}"
    origin = _line(file, rf"^\s*-\s*override\s+/?{group}\s*:")
    return Problem((group,), f"unknown group {group!r}; {expected}", origin)


def _chosen_twice(group: str) -> Problem:
    message = (
        "already has an option; to choose a different one,"
        f" write '- override /{group}: ...'"
    )
    choices = list(config_lines.matching(rf"^\s*-\s*/{re.escape(group)}\s*:"))
    # Hydra does not report which of them it refused.
    origin = choices[0] if len(choices) == 1 else None
    return Problem((group,), message, origin)


def _line(file: Path | None, pattern: str) -> Origin | None:
    """Returns the first line of a file that matches a pattern; the whole file if none does."""
    if file is None:
        return None
    return next(config_lines.in_file(file, pattern), config_lines.whole(file))
