"""Finds configs whose defaults lists lead back to themselves.

A file that has the name of a built-in config takes its place. If it chooses that name to extend the
built-in config, it chooses itself.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml

from smdecl import files, resources
from smdecl.config import bounded_yaml, search_path
from smdecl.config.explaining import config_lines
from smdecl.errors import Problem

_MOST = 300  # configs


def explain(file: Path, config_name: str) -> Problem | None:
    """Returns the problem with a circle of defaults lists; None if there is none.

    Args:
        file: A config in the circle, or one that the circle chooses.
        config_name: The primary config, which may lead to the circle.
    """
    graph: dict[str, list[str]] = {}
    for start in (_path(file), config_name.removesuffix(".yaml")):
        _walk(start, graph)
    circles = filter(None, (_circle(path, graph) for path in graph))
    circle = next(circles, None)
    if circle is None:
        return None
    hiding = next(filter(_hides_built_in, circle), circle[0])
    return _problem(_circle(hiding, graph))


def _path(file: Path) -> str:
    """Returns the path of a config, such as `model/adder`, from that of its file."""
    for directory in search_path.directories():
        real = Path(os.path.realpath(directory))
        if file.is_relative_to(real):
            return str(file.relative_to(real).with_suffix(""))
    return ""


def _walk(start: str, graph: dict[str, list[str]]) -> None:
    """Adds a config and all that it leads to, with the configs that each chooses."""
    left = [start]
    while left and len(graph) < _MOST:
        path = left.pop()
        if path not in graph:
            graph[path] = list(_chosen(path))
            left += graph[path]


def _circle(start: str, graph: Mapping[str, list[str]]) -> list[str]:
    """Returns the shortest circle from a config back to it; an empty list if there is none."""
    paths = [[start]]
    seen: set[str] = set()
    for path in paths:  # which grows
        for chosen in graph.get(path[-1], ()):
            if chosen == start:
                return path
            if chosen not in seen:
                seen.add(chosen)
                paths.append([*path, chosen])
    return []


def _chosen(path: str) -> Iterator[str]:
    """Yields the configs that the defaults list of a config adds."""
    file = search_path.find(path)
    content: object = None
    if file is not None:
        with contextlib.suppress(OSError, ValueError, yaml.YAMLError):
            data = files.read_regular(file, bounded_yaml.MOST_BYTES)
            content = bounded_yaml.load(data.decode(), str(file))
    entries = content.get("defaults") if isinstance(content, dict) else None
    folder = path.rpartition("/")[0]
    for entry in entries if isinstance(entries, list) else ():
        yield from _of_entry(entry, folder)


def _of_entry(entry: object, folder: str) -> Iterator[str]:
    if isinstance(entry, str):
        yield _absolute(entry, folder)
    elif isinstance(entry, dict):
        for key, value in entry.items():
            words = str(key).split()
            if not words or words[0] == "override":
                continue
            group = _absolute(words[-1], folder)
            options = value if isinstance(value, list) else [value]
            yield from (f"{group}/{option}" for option in options)


def _absolute(text: str, folder: str) -> str:
    name = text.partition("@")[0].removesuffix(".yaml")
    if name.startswith("/") or not folder:
        return name.lstrip("/")
    return f"{folder}/{name}"


def _problem(circle: list[str]) -> Problem:
    path, *others = circle
    if others:
        chain = ", which chooses ".join([*others, path])
        message = f"chooses {chain}"
    else:
        message = "chooses itself"
    file = search_path.find(path)
    assert file is not None
    name = re.escape((others or circle)[0].rpartition("/")[2])
    lines = config_lines.in_file(file, rf"(?:-|:|\[|,).*\b{name}\b")
    origin = next(lines, config_lines.whole(file))
    return Problem((), f"{message}; {_expected(path)}", origin)


def _hides_built_in(path: str) -> bool:
    """Returns whether the file of a config takes the place of a built-in one."""
    built_in = resources.conf_dir() / f"{path}.yaml"
    return built_in.is_file() and search_path.find(path) != built_in


def _expected(path: str) -> str:
    if not _hides_built_in(path):
        return "expected a defaults list that does not lead back to its file"
    group, _, name = path.rpartition("/")
    renamed = f"my_{name}"
    choice = f"{group}={renamed}" if group else f"--config-name {renamed}"
    return (
        f"to extend the built-in {name!r}, whose place this file takes, rename this file,"
        f" such as to {renamed}.yaml, and choose it with {choice}"
    )
