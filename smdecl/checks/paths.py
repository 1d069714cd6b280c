"""Rules for paths in a config: which names files can have, and which paths are safe to write to."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from smdecl import files
from smdecl.errors import disk_errors
from smdecl.names import MESSAGE_FILE
from smdecl.printing import abbreviated

_LONGEST_NAME = 255  # bytes, on every file system of Linux
# Bytes; Linux accepts 4096, and the export creates files below.
_LONGEST_PATH = 4000
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://.*[^/].*")
# Base paths are written into other files, which a shell or a different program may expand.
_EXPANDED = "$`"


def refuse_path(text: str) -> str | None:
    """Returns why no file or directory can have this path; None if one can."""
    try:
        parts = [os.fsencode(part) for part in Path(text).parts]
    except UnicodeEncodeError:
        return f"{text!r} has characters that no file name can have"
    if "\0" in text or any(len(part) > _LONGEST_NAME for part in parts):
        return f"{abbreviated(text)} has a NUL or a name of more than {_LONGEST_NAME} bytes"
    if len(os.fsencode(text)) > _LONGEST_PATH:
        return (
            f"{abbreviated(text)} is a path of more than {_LONGEST_PATH} bytes"
        )
    return None


def refuse_file(text: str) -> str | None:
    """Returns why no file can be written to a path; None if one can."""
    reason = refuse_path(text)
    if reason is not None:
        return reason
    try:
        if Path(text).is_dir():
            return (
                f"expected a file, existing or not, got the directory {text!r}"
            )
        for parent in Path(text).parents:
            if os.path.lexists(parent) and not parent.is_dir():
                return f"cannot create {text!r}: {str(parent)!r} is not a directory"
    except OSError as error:
        return f"cannot access {text!r}: {error.strerror}"
    return None


def real(path: str | Path) -> Path:
    """Returns the absolute path with all symbolic links resolved, even if a link loops."""
    return Path(os.path.realpath(path))


def is_below(file: str, directory: object) -> bool:
    """Returns whether a file is below a local directory."""
    if not isinstance(directory, str):
        return False
    if refuse_path(directory) or refuse_path(file):
        return False
    return real(file).is_relative_to(real(directory))


def is_remote(export_dir: str) -> bool:
    """Returns whether a base path is a URL, such as gs://bucket/models.

    `check` rejects local paths that look like one.
    """
    return "://" in export_dir


def refuse_base_path(text: str, replaced: Path | None) -> Iterator[str]:
    """Yields why a path or URL cannot be a base path, or is unsafe for what reads it later.

    Args:
        text: The path or URL.
        replaced: A directory that may be a SavedModel, because the export replaces it.
    """
    path_reason = refuse_path(text)
    unsafe = [char for char in dict.fromkeys(text) if _is_unsafe(char)]
    if unsafe and path_reason is None:
        found = ", ".join(map(repr, unsafe))
        expected = (
            "expected a path without control characters, $ and backticks"
        )
        yield f"{expected}; {text!r} has {found}"
    elif is_remote(text):
        # Publishing finds out before the build whether the store accepts the URL.
        if "::" in text or not _URL.fullmatch(text):
            yield f"invalid URL {text!r}; expected one such as gs://bucket/models, or a local path"
    elif path_reason is not None:
        yield path_reason
    else:
        yield from _refuse_directory(Path(text), replaced)


def _is_unsafe(char: str) -> bool:
    return char in _EXPANDED or not char.isprintable()


def _refuse_directory(path: Path, replaced: Path | None) -> Iterator[str]:
    patterns = sorted(files.PATTERN & set(str(path)))
    if patterns:
        found = " ".join(patterns)
        reason = "which TensorFlow reads as a pattern; set a different path"
        yield f"{str(path)!r} has {found}, {reason}"
    for part in (path, *path.parents):
        with disk_errors(part):
            is_file = part.exists() and not part.is_dir()
            is_model = (
                part.joinpath(MESSAGE_FILE).is_file() and part != replaced
            )
        if is_model:
            yield f"{str(path)!r} is inside the SavedModel {str(part)!r}; set a different path"
            return
        if is_file:
            yield f"expected a directory, existing or not, got the file {str(part)!r}"
            return
