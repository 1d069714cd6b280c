"""Base paths as TensorFlow Serving reads them: which versions there are, and which one was meant by another path."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from smdecl.errors import UsageError
from smdecl.names import MESSAGE_FILE

_NUMBER = re.compile(r"\s*[+-]?\d+\s*", re.ASCII)
HIGHEST = 2**63 - 1
MODEL_FILES = (
    MESSAGE_FILE,
    "saved_model.pbtxt",
)  # in the order in which loaders look for them
_ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".xz", ".bz2", ".zst")


def version_of(name: str) -> int | None:
    """Returns the version that a child of a base path is to TensorFlow Serving; None where it passes it over.

    It takes any child whose name parses as an int64, whatever it is.
    """
    number = int(name) if _NUMBER.fullmatch(name) else None
    return number if number is not None and -HIGHEST - 1 <= number <= HIGHEST else None


def versions(base: Path) -> Iterator[tuple[int, Path]]:
    """Yields what a server takes for versions."""
    if base.is_dir():
        for child in base.iterdir():
            if (number := version_of(child.name)) is not None:
                yield number, child


def model_file(directory: Path) -> Path | None:
    """Returns the file that makes a directory a SavedModel; None where there is none."""
    found = (directory / name for name in MODEL_FILES)
    return next((path for path in found if path.exists()), None)


def _has_model(directory: Path) -> bool:
    path = model_file(directory)
    return path is not None and path.is_file()


def complete(base: Path) -> Iterator[tuple[int, Path]]:
    """Yields the versions that hold a SavedModel."""
    return ((number, path) for number, path in versions(base) if _has_model(path))


def newest(base: Path) -> Path | None:
    """Returns the highest version that holds a SavedModel."""
    return max(complete(base), default=(0, None))[1]


def require_one(directory: Path, kind: str) -> None:
    """Keeps a base path, a file and what is not there from being taken for the directory of one SavedModel.

    Raises:
        UsageError: With the version that may have been meant; `kind` is what is taken.
    """
    try:
        what, meant = _misplaced(directory)
    except OSError as error:
        what, meant = f"cannot be read: {error.strerror}", None
    if what is not None:
        takes = f"takes the directory of {kind}, such as {meant or 'exports/adder/1'}"
        raise UsageError(f"{str(directory)!r} {what}; {takes}")


def _misplaced(directory: Path) -> tuple[str | None, Path | None]:
    """Says what a path is instead of a SavedModel's directory, and returns the SavedModel that is nearest to it."""
    if not directory.exists():
        return "is not there", newest(directory.parent)
    if not directory.is_dir():
        what = (
            "is an archive, which is to be unpacked"
            if directory.suffix in _ARCHIVES
            else "is a file"
        )
        return what, directory.parent if directory.name in MODEL_FILES else None
    if model_file(directory) is not None:
        return None, None
    if (version := newest(directory)) is not None:
        return "is a base path, which holds versions", version
    below = next(filter(None, map(newest, sorted(directory.iterdir()))), None)
    return "holds base paths" if below else None, below
