"""Writes the paths in a recorded config so that other checkouts of the project have the files too."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from smdecl.config import frameworks, trust
from smdecl.config.project import Project
from smdecl.config.settings import ExportConfig, example_contents
from smdecl.errors import KeyPath


def record(
    config: ExportConfig, recorded: Mapping[str, Any], project: Project
) -> dict[str, Any]:
    """Returns the recorded config with absolute paths in the project relative to the current directory.

    Relative paths are relative to it, too. A path outside of the project stays as it is.

    Args:
        config: The checked config.
        recorded: The same with what was read from the environment left unresolved.
        project: Whose files the config names.
    """
    found = copy.deepcopy(dict(recorded))
    for *parents, last in _places(config):
        holder: Any = found
        for part in parents:
            # A whole mapping may have been read from the environment.
            holder = holder if isinstance(holder, str) else holder[part]
        if not isinstance(holder, str):
            holder[last] = relative(str(holder[last]), project)
    if isinstance(found.get("sha256"), dict):
        found["sha256"] = {
            relative(name, project): digest for name, digest in found["sha256"].items()
        }
    return found


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
    """Returns the absolute path of a file in the project relative to the current directory; any other as it is."""
    path = Path(name)
    if not path.is_absolute() or not project.owns(path):
        return name
    is_direct = path.is_relative_to(project.root) and ".." not in path.parts
    return os.path.relpath(
        path if is_direct else os.path.realpath(path), Path.cwd().resolve()
    )
