"""The files that a config names, and their digests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from smdecl import files
from smdecl.checks import portable_paths
from smdecl.checks.weights_formats import FORMATS
from smdecl.config import frameworks, trust
from smdecl.config.project import Project
from smdecl.config.settings import ExportConfig, Weights, example_contents
from smdecl.errors import ConfigError, KeyPath, dotted


def inputs(
    config: ExportConfig, recorded: Mapping[str, Any], project: Project
) -> dict[str, str]:
    """Returns the sha256 of every file that a config names: weights, whole models, examples, what it has a digest for.

    Args:
        config: That names them.
        recorded: The same from `portable_paths.record`; a file is called as it is there.
        project: Whose files the config names.

    Raises:
        ConfigError: Where one of them cannot be read.
    """
    named = dict(_files_of_weights(config.weights, recorded))
    named.update(
        (_recorded(recorded, path), file) for path, file in _files_of_examples(config)
    )
    named.update(
        (_recorded(recorded, path), Path(name))
        for path, name in trust.model_files({"model": config.model})
    )
    for index, name in enumerate(config.sha256):
        is_read = isinstance(recorded["sha256"], str)
        known = (
            _recorded(recorded, ("sha256", index))
            if is_read
            else portable_paths.relative(name, project)
        )
        named[known] = Path(name)
    return {name: _of_input(named[name]) for name in sorted(named)}


def named(config: ExportConfig) -> Iterator[Path]:
    """Yields every file that a config names for the model to read: its weights, and what its targets take."""
    yield from of_weights(config.weights)
    parts = {"model": config.model, "devices": {"strategy": config.devices.strategy}}
    for _, target, node in trust.targets(parts):
        yield from (Path(name) for _, name in frameworks.files(target, node))
    for _, file in _files_of_examples(config):
        yield file


def _files_of_weights(
    weights: Weights | None, recorded: Mapping[str, Any]
) -> Iterator[tuple[str, Path]]:
    if weights is None:
        return
    prefix, name = (
        str(Path(weights.path)),
        str(Path(_recorded(recorded, ("weights", "path")))),
    )
    yield from (
        (name + str(file).removeprefix(prefix), file) for file in of_weights(weights)
    )


def _files_of_examples(config: ExportConfig) -> Iterator[tuple[KeyPath, Path]]:
    for path, content in example_contents(config.verify.examples):
        if "file" in content:
            yield (*path, "file"), Path(content["file"])


def _recorded(recorded: Any, path: KeyPath) -> str:
    """Returns what stands at a key; where all of a mapping was read from the environment, its form and the rest."""
    for index, part in enumerate(path):
        if isinstance(recorded, str):
            return dotted((recorded, *path[index:]))
        recorded = recorded[part]
    return str(recorded)


def _of_input(path: Path) -> str:
    try:
        return files.sha256(path)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error


def of_weights(weights: Weights | None) -> Iterator[Path]:
    """Yields the files that weights are read from."""
    if weights is None:
        return
    yield from FORMATS[weights.format].files(Path(weights.path))
