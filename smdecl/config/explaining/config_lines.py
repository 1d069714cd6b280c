"""Searches the lines of the config files on the search path; within a session."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

from smdecl import files
from smdecl.config import bounded_yaml, search_path
from smdecl.errors import Origin


def whole(file: Path | None) -> Origin | None:
    """Returns a file as an origin, without a line."""
    return None if file is None else Origin(search_path.shown(file))


def first(pattern: str, folder: str = "") -> Origin | None:
    """Returns the first line below a folder of the search path that matches a pattern."""
    return next(matching(pattern, folder), None)


def matching(pattern: str, folder: str = "") -> Iterator[Origin]:
    """Yields the lines below a folder of the search path that match a pattern."""
    for file in _config_files(folder):
        yield from in_file(file, pattern)


def in_file(file: Path, pattern: str) -> Iterator[Origin]:
    """Yields the lines of a file that match a pattern; none if the file cannot be read."""
    try:
        content = files.read_regular(file, bounded_yaml.MOST_BYTES)
    except OSError:
        return
    text = content.decode(errors="replace")
    for number, line in enumerate(text.splitlines(), start=1):
        if re.search(pattern, line):
            yield Origin(search_path.shown(file), number)


def undecodable_file() -> Origin | None:
    """Returns the first config file that is not UTF-8."""
    for file in _config_files():
        with contextlib.suppress(OSError):
            content = files.read_regular(file, bounded_yaml.MOST_BYTES)
            try:
                content.decode()
            except UnicodeDecodeError:
                return whole(file)
    return None


def _config_files(folder: str = "") -> Iterator[Path]:
    for directory in search_path.directories():
        for file in sorted((directory / folder).rglob("*.yaml")):
            if file.is_file():
                yield file
