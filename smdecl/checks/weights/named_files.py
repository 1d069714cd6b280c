"""Finds the files that a config names, and computes their digests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from smdecl import files, progress
from smdecl.checks import portable_paths
from smdecl.checks.targets import argument_files
from smdecl.checks.weights.weights_formats import FORMATS
from smdecl.config import frameworks, trust
from smdecl.config.project import Project
from smdecl.config.settings import ExportConfig, Weights, example_contents
from smdecl.config.types import Values
from smdecl.errors import ConfigError, KeyPath, Problem, dotted

_State: TypeAlias = tuple[int, ...] | None
"""The device, inode, size and modification time of a file; None if it cannot be read."""


@dataclass(frozen=True)
class Inputs:
    """The files that a config names, as they were when they were hashed.

    Attributes:
        digests: The SHA-256 digest of each file, by its name.
        paths: The path of each file, by its name.
        states: What shows whether a file may have changed, by its name.
        arguments: The names of the files that only arguments of the model name.
    """

    digests: dict[str, str]
    paths: dict[str, Path]
    states: dict[str, _State]
    arguments: frozenset[str]

    def require_unchanged(self) -> dict[str, str]:
        """Raises if a file has changed, so that it is not known which content was read.

        Returns:
            The digests. A changed file that only an argument names is left out, because the model's
            code may have written it.

        Raises:
            ConfigError: With every file whose content is a different one.
        """
        problems = []
        unchanged = dict(self.digests)
        for name, path in self.paths.items():
            if _state(path) == self.states[name]:
                continue
            if name in self.arguments:
                del unchanged[name]
                continue
            digest = _digest(path)
            if digest != self.digests[name]:
                message = (
                    f"{str(path)!r} changed during the export: expected sha256"
                    f" {self.digests[name]}, got {digest}"
                )
                problems.append(Problem((), message))
        if problems:
            raise ConfigError(problems)
        return unchanged


def inputs(config: ExportConfig, recorded: Values, project: Project) -> Inputs:
    """Hashes every file that a config names.

    These are weights, whole models, examples, files of the project that arguments of the model
    name, and the files with a pinned digest.

    Args:
        config: The checked config.
        recorded: The same config from `portable_paths.record`. The names are those in it.
        project: The project that owns the files.

    Raises:
        ConfigError: If a file cannot be read.
    """
    found = dict(_files_of_weights(config.weights, recorded))
    for path, file in _files_of_examples(config):
        found[_recorded(recorded, path)] = file
    for path, name in trust.model_files({"model": config.model}):
        found[_recorded(recorded, path)] = Path(name)
    pins_are_from_environment = isinstance(recorded["sha256"], str)
    for index, name in enumerate(config.sha256):
        if pins_are_from_environment:
            found[_recorded(recorded, ("sha256", index))] = Path(name)
        else:
            found[portable_paths.relative(name, project)] = Path(name)
    given = dict(_files_of_arguments(config, recorded, project))
    arguments = given.keys() - found.keys()
    found = {**given, **found}
    sizes = (file.stat().st_size for file in found.values() if file.is_file())
    paths = {name: found[name] for name in sorted(found)}
    states = {name: _state(path) for name, path in paths.items()}
    with progress.counting(sizes):
        digests = {name: _digest(path) for name, path in paths.items()}
    return Inputs(digests, paths, states, frozenset(arguments))


def named(config: ExportConfig) -> Iterator[Path]:
    """Yields every file that the model reads: its weights, and the files of its targets."""
    yield from of_weights(config.weights)
    parts = {
        "model": config.model,
        "devices": {"strategy": config.devices.strategy},
    }
    for _, target, node in trust.targets(parts):
        for _, name in frameworks.files(target, node):
            yield Path(name)
    for _, file in _files_of_examples(config):
        yield file


def of_weights(weights: Weights | None) -> Iterator[Path]:
    """Yields the files from which weights are read."""
    if weights is not None:
        yield from FORMATS[weights.format].files(Path(weights.path))


def _files_of_weights(
    weights: Weights | None, recorded: Values
) -> Iterator[tuple[str, Path]]:
    if weights is None:
        return
    prefix = str(Path(weights.path))
    recorded_prefix = str(Path(_recorded(recorded, ("weights", "path"))))
    for file in of_weights(weights):
        yield recorded_prefix + str(file).removeprefix(prefix), file


def _files_of_examples(config: ExportConfig) -> Iterator[tuple[KeyPath, Path]]:
    for path, content in example_contents(config.verify.examples):
        if "file" in content:
            yield (*path, "file"), Path(content["file"])


def _files_of_arguments(
    config: ExportConfig, recorded: Values, project: Project
) -> Iterator[tuple[str, Path]]:
    for path, name in argument_files.find(config.model, project, ("model",)):
        text = _recorded(recorded, path)
        if text == name:
            text = portable_paths.relative(name, project)
        yield text, Path(name)


def _recorded(recorded: Any, path: KeyPath) -> str:
    """Returns the recorded value at a key path.

    If a mapping on the way was read from the environment, returns its interpolation and the rest
    of the path.
    """
    for index, part in enumerate(path):
        if isinstance(recorded, str):
            return dotted((recorded, *path[index:]))
        recorded = recorded[part]
    return str(recorded)


def _state(path: Path) -> _State:
    try:
        status = path.stat()
    except OSError:  # it is reported when it is hashed
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _digest(path: Path) -> str:
    try:
        return files.sha256(path)
    except OSError as error:
        raise ConfigError(
            f"cannot read {str(path)!r}: {error.strerror}"
        ) from error
