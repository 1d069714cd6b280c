"""Checks the files of weights and of whole models: their names, first bytes and pinned digests."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from smdecl import files
from smdecl.checks import digest_rules, paths
from smdecl.checks.types import Problems
from smdecl.checks.weights import self_contained_weights, weights_content
from smdecl.checks.weights.weights_formats import (
    FORMATS,
    WeightsFormat,
    refuse_keras,
)
from smdecl.config import relative_paths, trust
from smdecl.config.project import Project
from smdecl.config.types import Values
from smdecl.errors import Problem, closest, did_you_mean

_PATH = ("weights", "path")
_MOST_ENTRIES = 1000


def check(values: Values, project: Project) -> Problems:
    """Yields what is wrong with `weights` and its files."""
    weights = values["weights"]
    if weights is None:
        return
    path: str = weights["path"]
    row = FORMATS[weights["format"]]
    reason = paths.refuse_path(path)
    if reason is not None:
        yield Problem(_PATH, reason)
        return
    if weights.get("root") is not None and not row.has_root:
        yield Problem(
            ("weights", "root"), _unexpected_root(weights["root"], row)
        )
    file = f"{path}{row.file}"
    # Not Path.is_file(), which raises if the suffix makes the name too long.
    exists = os.path.isfile(file)  # noqa: PTH113
    has_suffix = path.endswith(row.suffix)
    if not (exists and has_suffix):
        yield Problem(_PATH, _wrong_path(path, row, exists, project))
        return
    names = [str(file) for file in row.files(Path(path))]

    def refuse(place: Path) -> str | None:
        reason = row.refuse(place)
        return reason and (weights_content.refuse(path, row) or reason)

    for reason in _refuse(Path(path), refuse, names, values, project):
        yield Problem(_PATH, reason)


def _wrong_path(
    path: str, row: WeightsFormat, exists: bool, project: Project
) -> str:
    """Returns what is wrong with a path that has not the suffix of its format, or no file.

    Args:
        path: The path in the config.
        row: The format in the config.
        exists: Whether the file that the format needs exists.
        project: The project of the config.
    """
    recognized = weights_content.refuse(path, row)
    if recognized is not None:
        return recognized
    hint = _similar(Path(path), row) if project.owns(Path(path).parent) else ""
    if exists:
        expected = f"expected a name that ends in {row.suffix}{hint}"
        return f"{path!r} is not of the format {row.name}; {expected}"
    file = f"{path}{row.file}"
    expected = row.path.replace("`", "")
    hint = hint or relative_paths.hint(file)
    return f"no such file: {file!r}; expected {expected}{hint}"


def _unexpected_root(root: str, row: WeightsFormat) -> str:
    formats = " and ".join(
        each.name for each in FORMATS.values() if each.has_root
    )
    return f"expected null for the format {row.name}, got {root!r}: only {formats} have a root"


def check_models(values: Values, project: Project) -> Problems:
    """Yields what is wrong with the files of whole models in `model`."""
    for key, name in trust.model_files({"model": values["model"]}):
        # Not Path.is_file(), which raises if the name is too long.
        if not os.path.isfile(name):  # noqa: PTH113
            continue  # the rules of trust report it
        if not name.endswith(".keras"):
            yield Problem(
                key, f"expected a .keras file of Keras 3, got {name!r}"
            )
            continue
        for reason in _refuse(
            Path(name), refuse_keras, [name], values, project
        ):
            yield Problem(key, reason)


def _refuse(
    path: Path,
    refuse: Callable[[Path], str | None],
    names: list[str],
    values: Values,
    project: Project,
) -> Iterator[str]:
    """Yields what is wrong with files that exist.

    Args:
        path: The path in the config.
        refuse: Returns why the content at the path is wrong, or None.
        names: All files that are read.
        values: The config.
        project: The project of the config.
    """
    holes = [files.refuse_holes(name) for name in names]
    sparse = [reason for reason in holes if reason is not None]
    if sparse:
        yield from sparse
        return
    try:
        reason = refuse(path)
    except OSError as error:
        reason = f"cannot read {str(path)!r}: {error.strerror}"
    if reason is not None:
        yield reason
        return
    unsafe = list(self_contained_weights.refuse_members(path))
    yield from unsafe
    pinned = values.get("sha256")
    if pinned and not unsafe:
        # Weights without a digest would make the pins of other files worthless.
        for name in names:
            if name not in pinned:
                yield digest_rules.missing(name, project)


def _similar(path: Path, row: WeightsFormat) -> str:
    """Returns a hint with similar weights in the same directory, or an empty string."""
    directory = path.parent
    names = []
    with suppress(OSError, ValueError):
        for entry in itertools.islice(directory.iterdir(), _MOST_ENTRIES):
            name = entry.name.removesuffix(row.file)
            is_format = entry.name.endswith(row.suffix)
            if is_format and Path(f"{directory / name}{row.file}").is_file():
                names.append(name)
    meant = closest(path.name, names)
    if meant is None:
        return ""
    return did_you_mean(str(directory / meant))
