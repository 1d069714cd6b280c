"""Decides which files a run reads, so that it runs again when one of them changes.

These are the configs, the modules of the project, its pyproject.toml, and each file that a value
of the config names: weights, examples, vocabularies, keys. What a run writes is not among them.
"""

from __future__ import annotations

import importlib.machinery
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smdecl import resources
from smdecl.cli.watching import watch_trees
from smdecl.cli.watching.watch_trees import Output, Tree
from smdecl.config import project_modules
from smdecl.config.project import Project, link_places
from smdecl.names import CHECKPOINT_PREFIX, MESSAGE_FILE

_MODULES = tuple(importlib.machinery.all_suffixes())
_CONFIGS = (".yaml",)
# Where Hydra and smdecl write the configs of their runs by default.
_RECORDS = ("outputs", "multirun", "sweeps")
# What follows the prefix in the names of the files of a checkpoint.
_OF_CHECKPOINT = re.compile(r"\.index|\.data-\d+-of-\d+")
_LONGEST_NAME = 4096  # bytes, on every file system of Linux


@dataclass(frozen=True)
class Places:
    """What a run reads.

    Attributes:
        directories: Where a change can matter; all of them exist.
        holders: Those of them that have a file, or are named as the place of one.
        trees: The configs and modules.
        named: Single files, in existing directories.
        prefixes: The prefixes of the files of checkpoints.
        leading: The paths that lead to trees, single files and checkpoints, with and without links.
        outputs: What the run writes.
    """

    directories: frozenset[Path]
    holders: frozenset[Path]
    trees: tuple[Tree, ...]
    named: frozenset[Path]
    prefixes: frozenset[Path]
    leading: frozenset[Path]
    outputs: tuple[Output, ...]

    def writes(self, path: Path) -> bool:
        """Returns whether a path belongs to what the run writes."""
        return any(output.has(path) for output in self.outputs)

    def leads(self, path: Path) -> bool:
        """Returns whether a directory with this path may have files that the run reads."""
        if path in self.leading:
            return True
        return any(tree.covers(path) for tree in self.trees)

    def reads(self, path: Path) -> bool:
        """Returns whether the run reads a file with this path."""
        if self.writes(path):
            return False
        if path in self.named or any(tree.has(path) for tree in self.trees):
            return True
        return any(_is_of_checkpoint(path, prefix) for prefix in self.prefixes)


def find(
    here: Path,
    project: Project,
    config_dirs: Sequence[str],
    values: Mapping[str, Any],
) -> Places:
    """Returns what a run reads.

    Args:
        here: The directory that it runs in.
        project: The project.
        config_dirs: The directories of the user's own configs.
        values: The composed config with Hydra's settings; empty if it could not be composed.
    """
    config_roots = [Path(os.path.realpath(name)) for name in config_dirs]
    outputs = tuple(_outputs(here, config_roots, values))
    records = _records(here, config_roots, values)
    roots = list(_config_trees(here, config_roots, [*records, *outputs]))
    packages, modules = _modules(project)
    roots += [Tree(package, _MODULES, outputs) for package in packages]
    walk = watch_trees.walk(roots)
    prefixes = frozenset(_spelled(here, _checkpoints(values)))
    libraries = [str(project.root / name) for name in project.custom_ops]
    texts = [*_texts(values), *libraries, *_pyprojects(here, project)]
    named = {*walk.linked, *modules, *_spelled(here, texts)}
    parents = {path.parent for path in (*named, *prefixes)}
    tree_roots = {tree.root for tree in walk.trees}
    above = {root.parent for root in tree_roots}
    written = _absolute(here, [*config_dirs, *_checkpoints(values), *texts])
    directories = walk.directories.union(map(_nearest, parents | above))
    return Places(
        directories,
        directories & (walk.holders | parents),
        walk.trees,
        frozenset(named),
        prefixes,
        _leading([*named, *prefixes, *tree_roots, *written]),
        outputs,
    )


def _leading(paths: Iterable[Path]) -> frozenset[Path]:
    """Returns these paths, and all above them."""
    found: set[Path] = set()
    for path in paths:
        found.add(path)
        found.update(path.parents)
    return frozenset(found)


def _config_trees(
    here: Path, roots: Sequence[Path], outputs: Sequence[Output]
) -> Iterator[Tree]:
    left_out = tuple(outputs)
    places = link_places(roots, here)
    for root in roots:
        yield Tree(root, _CONFIGS, left_out, link_places=places)
    # An installer may have linked the built-in configs to its cache.
    built_in = Path(os.path.realpath(resources.conf_dir()))
    yield Tree(built_in, _CONFIGS, left_out, link_places=(Path("/"),))


def _modules(project: Project) -> tuple[list[Path], list[Path]]:
    """Returns the directories and the files of modules that are under development.

    These are the project's own, and those of trusted packages that are not installed.
    """
    packages: list[Path] = []
    modules: list[Path] = []
    if project.is_project:
        packages.append(Path(os.path.realpath(project.root)))
    for name in project.trusted:
        spec = project_modules.find_spec(name)
        if spec is None or not spec.has_location:
            continue
        places = spec.submodule_search_locations
        found = modules if places is None else packages
        for place in places or [str(spec.origin)]:
            path = Path(os.path.realpath(place))
            if not watch_trees.is_installed(path):
                found.append(path)
    return packages, modules


def _pyprojects(here: Path, project: Project) -> Iterator[str]:
    """Yields each file that is, or would become, the project's pyproject.toml."""
    for parent in (here, *here.parents):
        yield str(parent / project.file.name)
        if parent == project.root:
            return


def _outputs(
    here: Path, config_roots: Sequence[Path], values: Mapping[str, Any]
) -> Iterator[Output]:
    """Yields what an export writes into local directories."""
    base = values.get("export_dir")
    if not isinstance(base, str):
        return
    publish = values.get("publish")
    settings = publish if isinstance(publish, dict) else {}
    is_release = settings.get("version", "next") is None
    for path in _spelled(here, [base]):
        is_ours = _has_any(path, [here, *config_roots])
        yield Output(path, is_whole=is_release and not is_ours)


def _records(
    here: Path, config_roots: Sequence[Path], values: Mapping[str, Any]
) -> Iterator[Output]:
    """Yields where Hydra and sweeps write the configs of their runs."""
    names = [*_RECORDS]
    for part in ("run", "sweep"):
        directory = values.get("hydra", {}).get(part, {}).get("dir")
        if isinstance(directory, str):
            before, interpolation, _ = directory.partition("${")
            names.append(os.path.dirname(before) if interpolation else before)  # noqa: PTH120
    for path in _spelled(here, names):
        if not _has_any(path, [here, *config_roots]):
            yield Output(path)


def _has_any(directory: Path, paths: Iterable[Path]) -> bool:
    """Returns whether a directory is, or has below it, one of these paths."""
    return any(path.is_relative_to(directory) for path in paths)


def _checkpoints(values: Mapping[str, Any]) -> Iterator[str]:
    """Yields what `weights.path` may be the prefix of: a checkpoint, or that of a SavedModel."""
    weights = values.get("weights")
    path = weights.get("path") if isinstance(weights, dict) else None
    if isinstance(path, str):
        yield path
        yield str(Path(path, CHECKPOINT_PREFIX))


def _texts(values: Mapping[str, Any]) -> Iterator[str]:
    """Yields each string in a config that may name a file, except those that an export writes."""
    publish = values.get("publish")
    read: dict[str, Any] = {**values, "export_dir": None, "hydra": None}
    if isinstance(publish, dict):
        read["publish"] = {"sign": publish.get("sign")}
    pins = values.get("sha256")
    if isinstance(pins, dict):
        yield from pins
    pending: list[Any] = [read]
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            pending += value.values()
        elif isinstance(value, list):
            pending += value
        elif isinstance(value, str):
            yield value
    for prefix in _checkpoints(values):
        yield str(Path(prefix, MESSAGE_FILE))


def _absolute(here: Path, names: Iterable[str]) -> Iterator[Path]:
    """Yields the absolute path of each text that may be one."""
    for name in names:
        if _may_be_path(name):
            yield here / os.path.normpath(name)


def _spelled(here: Path, names: Iterable[str]) -> Iterator[Path]:
    """Yields the absolute path of each file, as its directory has it and as links lead to it."""
    real: dict[Path, Path] = {}
    for path in _absolute(here, names):
        if path.parent not in real:
            real[path.parent] = Path(os.path.realpath(path.parent))
        found = real[path.parent] / path.name
        yield found
        if os.path.islink(found):  # noqa: PTH114 - a name may be too long for pathlib
            yield Path(os.path.realpath(found))


def _may_be_path(name: str) -> bool:
    if "\0" in name or "://" in name:
        return False
    try:
        return len(os.fsencode(name)) <= _LONGEST_NAME
    except UnicodeEncodeError:  # half of a surrogate pair
        return False


def _is_of_checkpoint(path: Path, prefix: Path) -> bool:
    if path.parent != prefix.parent or not path.name.startswith(prefix.name):
        return False
    rest = path.name[len(prefix.name) :]
    return _OF_CHECKPOINT.fullmatch(rest) is not None


def _nearest(directory: Path) -> Path:
    """Returns a directory, or the nearest one above it that exists."""
    # Not by pathlib, which raises at a name that is too long.
    while not os.path.isdir(directory):  # noqa: PTH112
        directory = directory.parent
    return directory
