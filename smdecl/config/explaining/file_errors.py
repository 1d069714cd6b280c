"""Explains the errors that Hydra raises because of a config file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import yaml
from hydra.errors import MissingConfigException

from smdecl.config import bounded_yaml, config_sources, locate, search_path
from smdecl.config.explaining import (
    config_lines,
    cyclic_defaults,
    group_entries,
    hydra_messages,
    merging,
    missing_options,
)
from smdecl.errors import Origin, Problem

_GLOBAL = "# @package _global_"


def explain(error: Exception, config_name: str) -> Problem:
    """Returns the problem with the config file that caused one of Hydra's errors.

    Args:
        error: As Hydra raised it.
        config_name: The primary config.
    """
    if isinstance(error, MissingConfigException):
        return missing_options.explain(error, (), None)
    if isinstance(error, config_sources.DefaultsError):
        circle = cyclic_defaults.explain(error.file, config_name)
        origin = config_lines.whole(error.file)
        return circle or Problem((), str(error), origin)
    unreadable = _unreadable(error)
    if unreadable is not None:
        return unreadable
    message = hydra_messages.text(error)
    named = re.match(
        r"(?:Invalid defaults list in|In) '?([^':]+)'?", str(error)
    )
    if named is None:
        return _defaults_problem(message, None)
    config_path = named.group(1)
    file = search_path.find(config_path)
    if file is not None and merging.is_refused(message):
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
        value = merging.nested(value, tuple(package.split(".")))
    for problem in merging.problems(value, _options(value)):
        if problem.path in lines:
            return problem.at(lines[problem.path])
    return None


def _options(value: object) -> Iterator[object]:
    """Yields the options of each group that a value sets keys of."""
    groups = list(value) if isinstance(value, dict) else []
    for group in groups:
        for option in search_path.group_options(str(group)):
            file = search_path.find(f"{group}/{option}")
            if file is not None:
                text = file.read_text(encoding="utf-8")
                yield merging.nested(yaml.safe_load(text), (group,))


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
        return Problem((group,), group_entries.needs_slash(group), origin)
    unknown = re.search(r"Could not override '([\w/]+)'\. No match", message)
    if unknown is not None:
        return _not_to_override(unknown.group(1), file)
    misplaced = _misplaced_entry(message, file)
    if misplaced is not None:
        return misplaced
    if "defaults must be a list" in message:
        return Problem((), message, _line(file, r"^defaults\s*:"))
    return Problem((), message, config_lines.whole(file))


def _misplaced_entry(message: str, file: Path | None) -> Problem | None:
    """Returns the problem with an entry that lacks `override`, or is before one that has it."""
    twice = hydra_messages.group_chosen_twice(message)
    if twice:
        return _chosen_twice(twice, message)
    early = re.search(r"is defined before '(\S+): (\S+)'", message)
    if early is None:
        return None
    return _after_overrides(early.group(1), early.group(2), file)


def _missing_package_line(package: str, file: Path | None) -> Problem:
    message = (
        f"missing first line {_GLOBAL!r};"
        f" without it, all keys of the file end up under {package!r}"
    )
    return Problem((), message, _line(file, ""))


def _not_to_override(group: str, file: Path | None) -> Problem:
    origin = _line(file, rf"^\s*-\s*override\s+/?{group}\s*:")
    if not search_path.group_options(group):
        return Problem((group,), group_entries.unknown(group), origin)
    release = ""
    if file is not None and file.parent.name in search_path.groups():
        release = f"{file.parent.name}={file.stem}"
    message = group_entries.nothing_to_override(group, release)
    return Problem((group,), message, origin)


def _chosen_twice(group: str, message: str) -> Problem:
    written = re.search(r"'override \S+: (\S+)'", message)
    option = written.group(1) if written else ""
    entries = list(config_lines.matching(_entry(group, option)))
    misspelt = list(config_lines.matching(_misspelt_entry(group, option)))
    # Hydra does not report the file of the one that it refused.
    if misspelt and not entries:
        return Problem((group,), _misspelt(group), misspelt[0])
    is_certain = len(entries) == 1 and not misspelt
    origin = entries[0] if is_certain else None
    return Problem((group,), _already_chosen(group), origin)


def _after_overrides(group: str, option: str, file: Path | None) -> Problem:
    misspelt = None
    if file is not None:
        pattern = _misspelt_entry(group, option)
        misspelt = next(config_lines.in_file(file, pattern), None)
    if misspelt is not None:
        return Problem((group,), _misspelt(group), misspelt)
    message = group_entries.after_overrides(group, option)
    return Problem((group,), message, _line(file, _entry(group, option)))


def _entry(group: str, option: str) -> str:
    """Returns the pattern of an entry that adds an option; an empty option matches any."""
    return rf"^\s*-\s*/{re.escape(group)}\s*:.*{re.escape(option)}"


def _misspelt_entry(group: str, option: str) -> str:
    """Returns the pattern of an entry such as `overide /model: x`, which Hydra reads as new."""
    word = r"(?!override\b|optional\b)\w+"
    return rf"^\s*-\s*{word}\s+/?{re.escape(group)}\s*:.*{re.escape(option)}"


def _already_chosen(group: str) -> str:
    return f"already has an option; to choose a different one, write '- override /{group}: ...'"


def _misspelt(group: str) -> str:
    return f"unknown word before /{group}; write '- override /{group}: ...'"


def _line(file: Path | None, pattern: str) -> Origin | None:
    """Returns the first line of a file that matches a pattern; the whole file if none does."""
    if file is None:
        return None
    return next(config_lines.in_file(file, pattern), config_lines.whole(file))
