"""Finds the versions in a base path, as TensorFlow Serving does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from smdecl.errors import UsageError
from smdecl.names import MESSAGE_FILE

_NUMBER = re.compile(r"\s*[+-]?\d+\s*", re.ASCII)
HIGHEST = 2**63 - 1
# In the order in which loaders look for them.
MODEL_FILES = (MESSAGE_FILE, "saved_model.pbtxt")
_ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".xz", ".bz2", ".zst")


def version_of(name: str) -> int | None:
    """Returns the version number of a child of a base path; None if TensorFlow Serving ignores it.

    Any child whose name parses as an int64 is a version, even a file.
    """
    if not _NUMBER.fullmatch(name):
        return None
    number = int(name)
    return number if -HIGHEST - 1 <= number <= HIGHEST else None


def versions(base: Path) -> Iterator[tuple[int, Path]]:
    """Yields the children of a base path that a server treats as versions."""
    if not base.is_dir():
        return
    for child in base.iterdir():
        number = version_of(child.name)
        if number is not None:
            yield number, child


def model_file(directory: Path) -> Path | None:
    """Returns the file with the message of a SavedModel; None if there is none."""
    found = (directory / name for name in MODEL_FILES)
    return next((path for path in found if path.exists()), None)


def _has_model(directory: Path) -> bool:
    path = model_file(directory)
    return path is not None and path.is_file()


def complete(base: Path) -> Iterator[tuple[int, Path]]:
    """Yields the versions that contain a SavedModel."""
    return (
        (number, path) for number, path in versions(base) if _has_model(path)
    )


def newest(base: Path) -> Path | None:
    """Returns the highest version that contains a SavedModel; None if there is none."""
    return max(complete(base), default=(0, None))[1]


def require_one(directory: Path, kind: str) -> None:
    """Raises if a path is not the directory of one SavedModel but a base path, a file or nothing.

    A directory without any SavedModel is accepted: reading it reports a better error.

    Args:
        directory: The path.
        kind: What the caller expects there, such as `a release`, for the error.

    Raises:
        UsageError: With the version that may have been meant.
    """
    try:
        found, meant = _misplaced(directory)
    except OSError as error:
        found, meant = f"is unreadable: {error.strerror}", None
    if found is not None:
        example = meant or "exports/adder/1"
        expected = f"expected the directory of {kind}, such as {example}"
        raise UsageError(f"{str(directory)!r} {found}; {expected}")


def _misplaced(directory: Path) -> tuple[str | None, Path | None]:
    """Returns what a path is instead of a SavedModel's directory, and the nearest SavedModel."""
    if not directory.exists():
        return "does not exist", newest(directory.parent)
    if not directory.is_dir():
        return _misplaced_file(directory)
    if model_file(directory) is not None:
        return None, None
    version = newest(directory)
    if version is not None:
        return "is a base path, which contains versions", version
    for child in sorted(directory.iterdir()):
        version = newest(child)
        if version is not None:
            return "contains base paths", version
    return None, None


def _misplaced_file(file: Path) -> tuple[str, Path | None]:
    if file.suffix in _ARCHIVES:
        return "is an archive; unpack it first", None
    return "is a file", file.parent if file.name in MODEL_FILES else None
