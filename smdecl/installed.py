"""Tells the directories of installed packages from those of a project."""

from __future__ import annotations

import functools
import os
import sys
from pathlib import Path

_NAMES = frozenset({"site-packages", "dist-packages"})
_METADATA = ".dist-info"
_OF_A_PROJECT = "pyproject.toml"


def holds(path: Path) -> bool:
    """Returns whether a path is in a directory of installed packages."""
    return any(is_site(str(place)) for place in (path, *path.parents))


def sites() -> list[str]:
    """Returns the places on the search path that packages are installed in."""
    return [place for place in sys.path if is_site(place)]


def is_site(place: str) -> bool:
    """Returns whether packages are installed in a directory.

    `pip install --target` installs into directories of any name, together with metadata. The
    current directory, and one with a pyproject.toml, belong to a project, even if packages are
    installed there.
    """
    if Path(place).name in _NAMES:
        return True
    if place not in sys.path or os.path.realpath(place) == os.getcwd():  # noqa: PTH109 - as text
        return False
    return _has_packages(place)


@functools.cache
def _has_packages(place: str) -> bool:
    try:
        names = os.listdir(place or ".")  # noqa: PTH208 - an entry may be relative
    except OSError:  # an archive, or a place that does not exist
        return False
    has_metadata = any(name.endswith(_METADATA) for name in names)
    return has_metadata and _OF_A_PROJECT not in names
