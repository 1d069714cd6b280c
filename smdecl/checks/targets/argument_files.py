"""Finds the files of the project that arguments of the model name, such as a vocabulary."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from smdecl import files
from smdecl.config.project import Project
from smdecl.errors import KeyPath

_LONGEST = 4096  # characters of a path
# Bytes. What is larger is data rather than a part of a model.
_LARGEST = 1 << 30


def find(
    value: object, project: Project, path: KeyPath = ()
) -> Iterator[tuple[KeyPath, str]]:
    """Yields key path and text of each argument that is the path of a file of the project.

    Other texts may be names of files by chance. So the path must have a directory or a suffix, and
    no part that begins with a dot.

    Args:
        value: The config of the model, or a part of it.
        project: The project that owns the files.
        path: The key path of that part.
    """
    if isinstance(value, dict):
        for key, item in value.items():
            if key != "_target_":
                yield from find(item, project, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from find(item, project, (*path, index))
    elif isinstance(value, str) and _is_file(value, project):
        yield path, value


def _is_file(text: str, project: Project) -> bool:
    has_directory = "/" in text
    if not has_directory and not os.path.splitext(text)[1]:  # noqa: PTH122
        return False
    if len(text) > _LONGEST or "\0" in text:
        return False
    # Not by pathlib, which raises at a name that is too long.
    if not os.path.isfile(text):  # noqa: PTH113
        return False
    real = Path(os.path.realpath(text))
    if not project.owns(real) or not os.access(real, os.R_OK):
        return False
    parts = real.relative_to(project.root).parts
    if any(part.startswith(".") for part in parts):
        return False
    is_small = real.stat().st_size <= _LARGEST
    return is_small and files.refuse_holes(str(real)) is None
