"""Rewrites the paths in a recorded config so that other checkouts of the project have them."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from smdecl.config import frameworks, trust
from smdecl.config.project import Project
from smdecl.config.settings import ExportConfig, example_contents
from smdecl.config.types import Values
from smdecl.errors import KeyPath


def record(
    config: ExportConfig, recorded: Values, project: Project
) -> dict[str, Any]:
    """Returns the recorded config with paths in the project relative to the current directory.

    Paths outside the project stay as they are.

    Args:
        config: The checked config.
        recorded: The same config with the reads of the environment unresolved.
        project: The project that owns the files.
    """
    found = copy.deepcopy(dict(recorded))
    for *parents, last in _places(config):
        holder = _holder(found, parents)
        if holder is not None:
            holder[last] = relative(str(holder[last]), project)
    if isinstance(found.get("sha256"), dict):
        found["sha256"] = {
            relative(name, project): digest
            for name, digest in found["sha256"].items()
        }
    return found


def _holder(values: Any, parents: Sequence[str | int]) -> Any:
    """Returns the mapping or list at a key path; None if the environment sets it as a whole."""
    for part in parents:
        if isinstance(values, str):
            return None
        values = values[part]
    return None if isinstance(values, str) else values


def _places(config: ExportConfig) -> Iterator[KeyPath]:
    if config.weights is not None:
        yield ("weights", "path")
    for path, content in example_contents(config.verify.examples):
        if "file" in content:
            yield (*path, "file")
    for path, target, node in trust.targets({"model": config.model}):
        for place, _ in frameworks.files(target, node):
            yield (*path[:-1], *place)


def relative(name: str, project: Project) -> str:
    """Returns a path relative to the current directory if it is absolute and in the project.

    Returns every other path as it is.
    """
    path = Path(name)
    if not path.is_absolute() or not project.owns(path):
        return name
    is_direct = path.is_relative_to(project.root) and ".." not in path.parts
    place = str(path) if is_direct else os.path.realpath(path)
    return os.path.relpath(place, Path.cwd().resolve())
