"""Ops beside TensorFlow's own: loads the packages and libraries that the project's `custom_ops` names.

A process that verifies a release loads them first. TensorFlow has one registry of ops in a process, so
`tf.saved_model.load` and the C++ loader both find what was loaded. A release records what it needs, but only the
project that smdecl runs in decides what is loaded.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from smdecl import files
from smdecl.config.project import Project, is_library, make_importable
from smdecl.config.project_modules import find_spec
from smdecl.errors import Problem, UsageError
from smdecl.exporting import user_code
from smdecl.printing import printable
from smdecl.savedmodel.records import CustomOpsRecord


def load(project: Project) -> dict[str, str]:
    """Loads what the project declares.

    Returns:
        Op to the entry of `custom_ops` that registered it.

    Raises:
        UsageError: If entries cannot be loaded; names all of them.
    """
    if not project.custom_ops:
        return {}
    make_importable()
    providers: dict[str, str] = {}
    problems = []
    known = _registered()
    for index, name in enumerate(project.custom_ops):
        try:
            _load(name, project)
        except (
            Exception
        ) as error:  # a package's own code and TensorFlow's loader raise many types
            where = f"{project.file}: tool.smdecl.custom_ops[{index}]"
            problems.append(
                Problem(
                    (),
                    f"{where}: {name!r} cannot be loaded: {user_code.summary(error)}",
                )
            )
            continue
        now = _registered()
        providers.update(dict.fromkeys(now - known, name))
        known = now
    if problems:
        raise UsageError(problems)
    return providers


def _load(name: str, project: Project) -> None:
    import tensorflow as tf

    if not is_library(name):
        importlib.import_module(name)
        return
    path = project.root / name
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {str(path)!r}")
    tf.load_op_library(str(path))


def places(project: Project) -> Iterator[Path]:
    """Yields the files and directories that `load` reads."""
    for name in project.custom_ops:
        if is_library(name):
            yield project.root / name
            continue
        spec = find_spec(name.partition(".")[0])
        if spec is not None:
            yield from map(Path, spec.submodule_search_locations or [str(spec.origin)])


def _registered() -> set[str]:
    from tensorflow.core.framework import op_def_pb2
    from tensorflow.python.client import pywrap_tf_session

    serialized = pywrap_tf_session.TF_GetBuffer(pywrap_tf_session.TF_GetAllOpList())
    return {op.name for op in op_def_pb2.OpList.FromString(serialized).op}


def records(project: Project) -> tuple[CustomOpsRecord, ...]:
    """Returns what the project declares, each package with its version and each library with its sha256."""
    return tuple(_record(name, project) for name in project.custom_ops)


def _record(name: str, project: Project) -> CustomOpsRecord:
    if not is_library(name):
        return CustomOpsRecord(name, version=_version(name.partition(".")[0]))
    path = project.root / name
    return CustomOpsRecord(name, sha256=files.sha256(path) if path.is_file() else None)


def _version(package: str) -> str | None:
    """Returns the version of an installed package; None if the package is the project's own module."""
    try:
        return metadata.version(package)
    except (
        metadata.PackageNotFoundError
    ):  # few packages have another name than their distribution
        distributions = metadata.packages_distributions().get(package, ())
        return next((metadata.version(name) for name in distributions), None)


def undeclared(
    recorded: Sequence[Mapping[str, Any]], project: Project
) -> Iterator[Problem]:
    """Yields a problem for each recorded entry that the project does not declare, by its name or its sha256.

    Args:
        recorded: From the manifest of a release.
        project: The project that smdecl runs in.
    """
    here = records(project)
    names = {entry.name for entry in here}
    hashes = {entry.sha256 for entry in here if entry.sha256 is not None}
    for entry in recorded:
        if entry["name"] in names or entry.get("sha256") in hashes:
            continue
        what = "the library" if is_library(entry["name"]) else "the package"
        needs = f"the release needs {what} {_shown(entry)}, which the project {project.root} does not declare"
        declare = f"add {printable(entry['name'])!r} to custom_ops under [tool.smdecl] in {project.file}"
        yield Problem(
            (),
            f"custom_ops: {needs}; run this in the project that made the release, or {declare}",
        )


def differing(
    recorded: Iterable[Mapping[str, Any]], project: Project
) -> Iterator[Problem]:
    """Yields a problem for each recorded entry of which the project has a different version or different bytes."""
    here = {entry.name: entry for entry in records(project)}
    for entry in recorded:
        found = here.get(entry["name"])
        if found is not None and (found.version, found.sha256) != (
            entry.get("version"),
            entry.get("sha256"),
        ):
            now = _shown(
                {"name": found.name, "version": found.version, "sha256": found.sha256}
            )
            yield Problem(
                (),
                f"custom_ops: the release was made with {_shown(entry)}; here is {now}",
            )


_DIGITS = 12  # of a sha256; enough to tell it by


def _shown(entry: Mapping[str, Any]) -> str:
    if entry.get("sha256"):
        return printable(f"{entry['name']} (sha256 {entry['sha256'][:_DIGITS]})")
    return printable(" ".join(filter(None, (entry["name"], entry.get("version")))))
