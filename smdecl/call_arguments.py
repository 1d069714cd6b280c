"""Checks the arguments of the functions of the Python API."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeAlias, TypeVar

from smdecl.errors import UsageError

Item = TypeVar("Item")
StrPath: TypeAlias = "str | os.PathLike[str]"


def directories(
    config_dir: StrPath | Sequence[StrPath] | None,
) -> Sequence[str | Path]:
    """Returns the directories of an argument.

    Raises:
        UsageError: If it is neither a path nor a list of paths.
    """
    if config_dir is None:
        return ()
    if isinstance(config_dir, (str, os.PathLike)):
        return (Path(config_dir),)
    found = _items("config_dir", config_dir, "a path or a list of paths")
    return [path("config_dir", directory) for directory in found]


def strings(name: str, values: Sequence[str]) -> list[str]:
    """Returns the strings of an argument.

    Raises:
        UsageError: If it is a lone string, which is a sequence of characters, or contains an item
            that is not a string.
    """
    if isinstance(values, (str, bytes)):
        raise UsageError(
            f"{name}: expected a list of strings, got the string {values!r}; write [{values!r}]"
        )
    found = _items(name, values, "a list of strings")
    for value in found:
        if not isinstance(value, str):
            item = f"got {kind(value)} in it"
            raise UsageError(f"{name}: expected a list of strings, {item}")
    return found


def _items(name: str, values: Iterable[Item], expected: str) -> list[Item]:
    """Returns the items of an argument.

    Raises:
        UsageError: If it cannot have items.
    """
    if not isinstance(values, Iterable):
        raise UsageError(f"{name}: expected {expected}, got {kind(values)}")
    return list(values)


def path(name: str, value: StrPath) -> Path:
    """Returns the path of an argument.

    Raises:
        UsageError: If it is not a path.
    """
    if not isinstance(value, (str, os.PathLike)):
        raise UsageError(f"{name}: expected a path, got {kind(value)}")
    return Path(value)


def local(name: str, value: StrPath) -> Path:
    """Returns the path of an argument that is a local directory.

    Raises:
        UsageError: If it is not a path, or if it is a URL.
    """
    directory = path(name, value)
    if "://" in os.fspath(value):
        expected = "expected a local directory that it was fetched to"
        raise UsageError(f"{value!r} is a URL; {expected}")
    return directory


def kind(value: object) -> str:
    """Returns what an error says that it got."""
    if isinstance(value, str):
        return f"the string {value!r}"
    return type(value).__name__
