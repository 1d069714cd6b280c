"""Words what Hydra could not compose: which override or line it is about, what was found and what is taken."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import MissingConfigException, OverrideParseException
from omegaconf import DictConfig

from smdecl import files, resources, schema
from smdecl.config import (
    bounded_yaml,
    config_sources,
    locate,
    override_keys,
    search_path,
)
from smdecl.errors import KeyPath, Origin, Problem, nearest

_GLOBAL = "# @package _global_"
_DIGITS = 4300  # of an integer, which is the most that Python reads and writes
_LONG = rf"\d[\d_]{{{_DIGITS},}}"
_TAKES = (
    "takes key=value without spaces around =, and in quotes a value that holds $ { } [ ] ( ) , : = or spaces, such as"
    " 'key=\"a value\"'"
)


def culprit(error: Exception, overrides: Sequence[str]) -> Override | str | None:
    """Returns the override that Hydra's error is about, as text where it cannot be parsed; None for a file."""
    if isinstance(error, OverrideParseException):
        return error.override
    if isinstance(error, (config_sources.DefaultsError, bounded_yaml.UnfitError)):
        return None
    if isinstance(error, RecursionError):
        return next(
            (
                override
                for override in overrides
                if _nesting(override) > bounded_yaml.DEEPEST
            ),
            None,
        )
    return _unread(overrides) or _subject(error, overrides)


def _subject(error: Exception, overrides: Sequence[str]) -> Override | None:
    parsed: list[Override] = OverridesParser.create().parse_overrides(list(overrides))
    if isinstance(error, MissingConfigException):
        missing = error.missing_cfg_file or ""
        return next(
            (
                o
                for o in parsed
                if missing in [f"{o.key_or_group}/{value}" for value in _options(o)]
            ),
            None,
        )
    if _is_unchecked(error):
        return next((override for override in parsed if _is_unfit(override)), None)
    quoted = re.search(r"['\"]([^'\"]+)['\"]", str(error))
    subjects = {quoted.group(1) if quoted else "", _chosen_twice(str(error))}
    for override in parsed:
        line = str(override.input_line)
        if subjects & {
            override.key_or_group,
            override.get_key_element(),
            line,
            line.removeprefix("~"),
        }:
            return override
    return None


def _is_unchecked(error: Exception) -> bool:
    """Tells whether Hydra has used what it was given without a look at it, and says nothing of where it is from."""
    unchecked = isinstance(error, (TypeError, AttributeError, KeyError))
    return unchecked or "override must be a string or a list" in str(error)


def _is_unfit(override: Override) -> bool:
    """Tells whether an override chooses options by what is no name, or has Hydra resolve a setting of its own."""
    value, key = override.value(), override.key_or_group
    if key.startswith("hydra."):
        return "${" in str(value) or key == "hydra.job.env_copy"
    names = value if isinstance(value, list) else [value]
    is_choice = bool(search_path.group_options(key)) and not override.is_delete()
    return is_choice and not all(isinstance(name, str) for name in names)


def _unfit(error: Exception, override: Override) -> str:
    if not override.key_or_group.startswith("hydra."):
        return f"got {override.value()!r}; takes names of options"
    if isinstance(error, KeyError):
        return f"names an environment variable that is not set, {error}; takes none"
    return f"Hydra cannot take what this leads to: {error}; takes no interpolation"


def _unread(overrides: Sequence[str]) -> str | None:
    """Returns an override that holds an integer which is longer than Python reads."""
    for override in overrides:
        with contextlib.suppress(RecursionError):
            try:
                OverridesParser.create().parse_override(override)
            except ValueError:
                return override
    return None


def _nesting(text: str) -> int:
    """Returns how deep the brackets of a text are nested, at most: some may be quoted."""
    depth = deepest = 0
    for character in text:
        depth += (character in "[{(") - (character in "]})")
        deepest = max(deepest, depth)
    return deepest


def require_read(overrides: Sequence[str]) -> list[Problem]:
    """Returns what is wrong with overrides that Hydra's parser fails on, other than by its grammar."""
    unread = _unread(overrides)
    return [] if unread is None else [_too_long(Origin(override=unread))]


def _too_long(origin: Origin | None) -> Problem:
    return Problem(
        (), f"holds an integer of more than {_DIGITS} digits; takes fewer", origin
    )


def _chosen_twice(text: str) -> str | None:
    found = re.match(
        r"(?:Multiple values for (\S+)\. |(\S+) appears more than once)", text
    )
    return found.group(1) or found.group(2) if found else None


def _options(override: Override) -> list[str]:
    value = override.value()
    return [str(item) for item in (value if isinstance(value, list) else [value])]


def explain(
    error: Exception,
    culprit: Override | str | None,
    config: DictConfig | None,
    config_name: str,
) -> Problem:
    """Words one error of Hydra's: what was found, what is taken.

    Args:
        error: As Hydra raised it.
        culprit: The override that it is about.
        config: What could be composed without it; None where nothing could.
        config_name: The primary config.
    """
    if isinstance(error, RecursionError):
        deepest = rf"[\[{{(]{{{bounded_yaml.DEEPEST}}}"
        origin = (
            _line_where(deepest) if culprit is None else Origin(override=str(culprit))
        )
        return Problem(
            (), f"nested more than {bounded_yaml.DEEPEST} deep; expected less", origin
        )
    if isinstance(culprit, str):
        if not isinstance(error, OverrideParseException):
            return _too_long(Origin(override=culprit))
        return Problem(
            (), f"is no override: {_parse_error(error)}", Origin(override=culprit)
        )
    if isinstance(error, config_sources.SearchPathError) and culprit is None:
        file = search_path.find(
            config_name.removesuffix(".yaml")
        )  # Hydra reads the key in the primary config alone
        return Problem(("hydra", "searchpath"), _text(error), _whole(file))
    return (
        _explain_file(error)
        if culprit is None
        else _explain_override(error, culprit, config)
    )


def _explain_override(
    error: Exception, override: Override, config: DictConfig | None
) -> Problem:
    path: KeyPath = tuple(override.key_or_group.replace("/", ".").split("."))
    origin, line = Origin(override=override.input_line), str(override.input_line)
    if isinstance(error, MissingConfigException):
        return _explain_missing_option(error, path, origin)
    if isinstance(error, ValueError) and override.value() is None:
        message = f"null is no option; write '~{override.key_or_group}' to choose none"
    elif override.is_sweep_override():
        message = "is a sweep over several values; add -m to run it as one"
    elif _chosen_twice(str(error)):
        message = (
            f"has an option already; to choose another, write {line.lstrip('+')!r}"
        )
    elif _is_unchecked(error):
        message = _unfit(error, override)
    elif (
        config is not None
        and not override.is_add()
        and override_keys.is_unknown(config, path)
    ):
        message = override_keys.unknown(config, path, override)
    elif missing := re.match(
        r"Key '([^']*)' is not in struct", str(error.__cause__ or error)
    ):
        return override_keys.merged(config, path, override, missing.group(1))
    else:
        message = _text(error)
    return Problem(path, message, origin)


def _explain_file(error: Exception) -> Problem:
    if isinstance(error, MissingConfigException):
        return _explain_missing_option(error, (), None)
    if isinstance(error, config_sources.DefaultsError):
        return Problem((), str(error), _whole(error.file))
    if (unreadable := _unreadable(error)) is not None:
        return unreadable
    text = _text(error)
    named = re.match(r"(?:Invalid defaults list in|In) '([^']+)'", str(error))
    file = search_path.find(named.group(1)) if named else None
    if (
        file is not None
        and named is not None
        and (problem := _misplaced_list(file, named.group(1), text))
    ):
        return problem
    return _explain_defaults(text, file)


def _unreadable(error: Exception) -> Problem | None:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        is_yaml = isinstance(error, bounded_yaml.UnfitError)
        message = str(error.problem) if is_yaml else f"is no YAML: {error.problem}"
        return Problem(
            (), message, Origin(search_path.shown(Path(mark.name)), mark.line + 1)
        )
    if isinstance(error, UnicodeDecodeError):
        return Problem(
            (), f"is not UTF-8: {error.reason} at byte {error.start}", _undecodable()
        )
    if isinstance(error, OSError):
        file = _whole(Path(error.filename)) if error.filename else None
        return Problem((), f"cannot be read: {error.strerror}", file)
    if "int_max_str_digits" in str(error):
        return _too_long(_line_where(_LONG))
    broken = re.match(
        r"(?:no viable alternative at input|missing \S+ at) '(.+)'$", _text(error)
    )
    return (
        Problem(
            (),
            f"is no interpolation: {_text(error)}",
            _line_where(re.escape(broken.group(1))),
        )
        if broken
        else None
    )


def _explain_defaults(text: str, file: Path | None) -> Problem:
    """Words what is wrong with an entry of a defaults list."""

    def at(pattern: str) -> Origin | None:
        return (
            next(_lines_in(file, pattern), Origin(search_path.shown(file)))
            if file is not None
            else None
        )

    if below := re.search(
        r"Could not override '([\w/]+)@(\S+)\.\1'\. Did you mean", text
    ):
        message = f"the first line {_GLOBAL!r} is missing; without it, all below lands in the key {below.group(2)!r}"
        return Problem((), message, at(""))
    if relative := re.search(r"Could not override '[\w/]+/(\w+)@\S*'\. No match", text):
        group = relative.group(1)
        return Problem(
            (group,), _absolute(group), at(rf"^\s*-\s*override\s+{group}\s*:")
        )
    if unknown := re.search(r"Could not override '([\w/]+)'\. No match", text):
        group, groups = unknown.group(1), search_path.groups()
        message = (
            f"{group!r} is no group; takes {', '.join(groups)}{nearest(group, groups)}"
        )
        return Problem((group,), message, at(rf"^\s*-\s*override\s+/?{group}\s*:"))
    if group := _chosen_twice(text) or "":
        message = f"has an option already; to choose another, write '- override /{group}: ...'"
        found = [
            *_lines_where(rf"^\s*-\s*/{re.escape(group)}\s*:")
        ]  # Hydra does not tell which of them
        return Problem((group,), message, found[0] if len(found) == 1 else None)
    return Problem(
        (),
        text,
        at(r"^defaults\s*:") if "defaults must be a list" in text else _whole(file),
    )


def _whole(file: Path | None) -> Origin | None:
    return Origin(search_path.shown(file)) if file is not None else None


def _absolute(group: str) -> str:
    return f"a group of the primary config is named with a slash: write '- override /{group}: ...'"


def _misplaced_list(file: Path, config_path: str, text: str) -> Problem | None:
    """Finds the list that stands where a mapping is taken, or the other way round: Hydra tells the file alone."""
    if "Cannot merge" not in text:
        return None
    lines = file.read_text(encoding="utf-8")
    package = "" if lines.startswith(_GLOBAL) else ".".join(config_path.split("/")[:-1])
    value = yaml.safe_load(lines)
    if isinstance(value, list):
        return Problem(
            (),
            "is a list; takes a mapping of keys to values",
            Origin(search_path.shown(file), 1),
        )
    places = dict(locate.lines(file, package))
    for part in reversed(package.split(".") if package else ()):
        value = {part: value}
    for problem in schema.wrong_containers("config", value):
        if problem.path in places:
            return problem.at(places[problem.path])
    return None


def _files(folder: str = "") -> Iterator[Path]:
    for directory in search_path.directories():
        yield from (
            file
            for file in sorted((directory / folder).rglob("*.yaml"))
            if file.is_file()
        )


def _line_where(pattern: str, folder: str = "") -> Origin | None:
    return next(_lines_where(pattern, folder), None)


def _lines_where(pattern: str, folder: str = "") -> Iterator[Origin]:
    """Yields the lines of the config files in a folder that a pattern is found in."""
    for file in _files(folder):
        yield from _lines_in(file, pattern)


def _lines_in(file: Path, pattern: str) -> Iterator[Origin]:
    try:
        text = files.read_regular(file, bounded_yaml.MOST_BYTES).decode(
            errors="replace"
        )
    except OSError:
        return
    for number, line in enumerate(text.splitlines(), start=1):
        if re.search(pattern, line):
            yield Origin(search_path.shown(file), number)


def _undecodable() -> Origin | None:
    for file in _files():
        with contextlib.suppress(OSError):
            try:
                files.read_regular(file, bounded_yaml.MOST_BYTES).decode()
            except UnicodeDecodeError:
                return Origin(search_path.shown(file))
    return None


def _text(error: Exception) -> str:
    return " ".join(str(error.__cause__ or error).split()).partition(" full_key:")[0]


def _parse_error(error: Exception) -> str:
    """Returns the line of Hydra's message that says what was wrong, without the override itself and the pointer."""
    for line in str(error).splitlines():
        if re.search(r"\w", line) and not line.startswith(
            ("Error parsing override", "See https", "LexerNoViableAlt")
        ):
            return f"{line.strip().partition(' expecting {')[0]}; {_TAKES}"
    return _TAKES


def _explain_missing_option(
    error: MissingConfigException, path: KeyPath, origin: Origin | None
) -> Problem:
    missing = error.missing_cfg_file or ""
    group, _, option = missing.rpartition("/")
    options = search_path.group_options(group) if group else []
    if not options and error.options is None:
        return Problem(
            path,
            f"no config {missing!r} in {resources.conf_dir()} or a --config-dir",
            origin,
        )
    parent = re.match(r"In '([^']+)'", str(error))
    origin = origin or _line_that_names(
        group, option, parent.group(1) if parent else None
    )
    if not options:
        folder, _, relative = group.rpartition("/")
        return Problem(
            (relative,),
            _absolute(relative),
            _line_where(rf"^\s*-\s*{re.escape(relative)}\s*:", folder),
        )
    hint = nearest(option, options)
    if (group, option) == ("weights", "none"):
        hint = f"; write {'~weights' if origin and origin.override else '- override /weights: null'!r} to choose none"
    message = f"{option!r} is no option of {group}; takes {', '.join(options)}{hint}"
    return Problem(path or (group,), f"{message}{_elsewhere(missing)}", origin)


def _elsewhere(missing: str) -> str:
    """Tells of a file that must have been meant, and is not read."""
    if os.path.isfile(f"conf/{missing}.yaml"):  # noqa: PTH113 - a name may be longer than a file can have
        return f"; conf/{missing}.yaml is read with --config-dir conf"
    files = [path / f"{missing}.yml" for path in search_path.directories()]
    found = next((file for file in files if os.path.isfile(file)), None)  # noqa: PTH113
    return (
        f"; {search_path.shown(found)} is read where its name ends in .yaml"
        if found
        else ""
    )


def _line_that_names(group: str, option: str, parent: str | None) -> Origin | None:
    """Finds the line of a defaults list that chooses an option; Hydra names the primary config, wherever it was."""
    chooses = (
        rf"^\s*-\s.*\b{re.escape(group)}\b[^:]*:.*(?<!\w){re.escape(option)}(?!\w)"
    )
    if (origin := _line_where(chooses)) is not None:
        return origin
    return _whole(search_path.find(parent))
