"""Checks the files of weights and of whole models, by name, first bytes and pinned digest."""

from __future__ import annotations

import difflib
import itertools
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from smdecl import files
from smdecl.checks import outside_values, paths
from smdecl.checks.weights_formats import FORMATS, WeightsFormat, refuse_keras
from smdecl.config import trust
from smdecl.errors import Problem

_PATH = ("weights", "path")
_MOST_ENTRIES = 1000


def check(values: Mapping[str, Any]) -> Iterator[Problem]:
    """Yields what is wrong with the file that `weights` names."""
    weights = values["weights"]
    if weights is None:
        return
    path: str = weights["path"]
    kind = FORMATS[weights["format"]]
    if reason := paths.refuse_path(path):
        yield Problem(_PATH, reason)
        return
    if weights.get("root") is not None and not kind.has_root:
        having = " and ".join(name for name, row in FORMATS.items() if row.has_root)
        message = f"got {weights['root']!r} beside the format {kind.name}; expected null: only {having} have a root"
        yield Problem(("weights", "root"), message)
    needed = f"{path}{kind.file}"
    # The end may make a name longer than a file can have.
    is_there = os.path.isfile(needed)  # noqa: PTH113
    near = "" if is_there and path.endswith(kind.suffix) else _nearest(path, kind)
    if not path.endswith(kind.suffix):
        expected = (
            f"expected a name that ends in {kind.suffix}{near if is_there else ''}"
        )
        yield Problem(_PATH, f"{path!r} is not of the format {kind.name}; {expected}")
    if not is_there:
        expected = kind.path.replace("`", "")
        yield Problem(_PATH, f"no such file: {needed!r}; expected {expected}{near}")
        return
    names = [str(file) for file in kind.files(Path(path))]
    for reason in _refuse(Path(path), kind.refuse, names, values):
        yield Problem(_PATH, reason)


def check_models(values: Mapping[str, Any]) -> Iterator[Problem]:
    """Yields what is wrong with the files of whole models that `model` names."""
    for key, name in trust.model_files({"model": values["model"]}):
        if not os.path.isfile(name):  # noqa: PTH113 - a name may be longer than a file can have
            continue  # its trust says so
        if not name.endswith(".keras"):
            yield Problem(key, f"{name!r} is no .keras file of Keras 3")
            continue
        for reason in _refuse(Path(name), refuse_keras, [name], values):
            yield Problem(key, reason)


def _refuse(
    path: Path,
    refuse: Callable[[Path], str | None],
    names: list[str],
    values: Mapping[str, Any],
) -> Iterator[str]:
    """Yields what is wrong with a file that exists.

    That is that it is sparse, its content, or else that it has no digest in `sha256`, where others have.
    """
    sparse = [reason for reason in map(files.refuse_holes, names) if reason is not None]
    if sparse:
        yield from sparse
        return
    try:
        reason = refuse(path)
    except OSError as error:
        reason = f"{str(path)!r} cannot be read: {error.strerror}"
    if reason is not None:
        yield reason
        return
    leading_out = list(outside_values.refuse_members(path))
    yield from leading_out
    pinned = values.get("sha256")
    if pinned and not leading_out:
        # Who pins a release's files and then takes other weights has pinned what nothing reads.
        for name in names:
            if name not in pinned:
                yield f"{name!r} has no digest in sha256, where others have; add its own"


def _nearest(path: str, kind: WeightsFormat) -> str:
    """Tells of the weights in the same directory that may have been meant."""
    parent = Path(path).parent
    near: list[str] = []
    with suppress(OSError, ValueError):
        found = [
            entry.name for entry in itertools.islice(parent.iterdir(), _MOST_ENTRIES)
        ]
        names = [
            name.removesuffix(kind.file) for name in found if name.endswith(kind.suffix)
        ]
        names = [
            name for name in names if Path(f"{parent / name}{kind.file}").is_file()
        ]
        near = difflib.get_close_matches(Path(path).name, names, n=1)
    return f" (did you mean {str(parent / near[0])!r}?)" if near else ""
