"""Loads custom ops: the packages and libraries in `custom_ops` of the project.

A process that verifies a release loads them first. TensorFlow has one registry of ops in a process,
so both `tf.saved_model.load` and the C++ loader find them. A release records what it needs, but
only the project that smdecl runs in decides what is loaded.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable, Iterator
from importlib import metadata
from importlib.machinery import all_suffixes
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

from smdecl import files
from smdecl.config.project import Project, is_library
from smdecl.config.project_modules import find_spec
from smdecl.errors import Problem, UsageError
from smdecl.exporting import user_code
from smdecl.exporting.importable import make_importable
from smdecl.printing import printable
from smdecl.savedmodel.records import CustomOpsRecord

_DIGITS = 12  # of a sha256, in messages


def load(project: Project) -> dict[str, str]:
    """Loads the custom ops that the project declares.

    Returns:
        Op to the entry of `custom_ops` that registered it.

    Raises:
        UsageError: If entries cannot be loaded; lists all of them.
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
        except Exception as error:
            # Packages and TensorFlow's loader raise many types.
            where = f"{project.file}: tool.smdecl.custom_ops[{index}]"
            reason = user_code.summary(error)
            problems.append(
                Problem((), f"{where}: cannot load {name!r}: {reason}")
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
        _import_package(name.partition(".")[0])
        importlib.import_module(name)
        return
    path = project.root / name
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {str(path)!r}")
    tf.load_op_library(str(path))


def _import_package(name: str) -> None:
    """Imports a top-level module or package, even if the current directory cannot be listed.

    A confined process may read the modules that `custom_ops` names, but not list the directory that
    contains them, in which Python would search for them.
    """
    if find_spec(name) is not None:
        importlib.import_module(name)
        return
    here = Path.cwd()
    for suffix in all_suffixes():
        for path in (
            here / name / f"__init__{suffix}",
            here / f"{name}{suffix}",
        ):
            if path.is_file():
                _import_file(name, path)
                return


def _import_file(name: str, path: Path) -> None:
    spec = spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        return
    module = module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise


def places(project: Project) -> Iterator[Path]:
    """Yields the files and directories that `load` reads."""
    for name in project.custom_ops:
        if is_library(name):
            yield project.root / name
            continue
        spec = find_spec(name.partition(".")[0])
        if spec is not None:
            yield from map(
                Path, spec.submodule_search_locations or [str(spec.origin)]
            )


def _registered() -> set[str]:
    """Returns the names of all ops that are registered in this process."""
    from tensorflow.core.framework import op_def_pb2
    from tensorflow.python.client import pywrap_tf_session

    serialized = pywrap_tf_session.TF_GetBuffer(
        pywrap_tf_session.TF_GetAllOpList()
    )
    return {op.name for op in op_def_pb2.OpList.FromString(serialized).op}


def records(project: Project) -> tuple[CustomOpsRecord, ...]:
    """Returns what the project declares: packages with versions, libraries with sha256."""
    return tuple(_record(name, project) for name in project.custom_ops)


def _record(name: str, project: Project) -> CustomOpsRecord:
    if not is_library(name):
        return CustomOpsRecord(name, version=_version(name.partition(".")[0]))
    path = project.root / name
    return CustomOpsRecord(
        name, sha256=files.sha256(path) if path.is_file() else None
    )


def _version(package: str) -> str | None:
    """Returns the version of an installed package; None if it is a module of the project."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        # The distribution may have a different name.
        for name in metadata.packages_distributions().get(package, ()):
            return metadata.version(name)
    return None


def undeclared(
    recorded: Iterable[CustomOpsRecord], project: Project
) -> Iterator[Problem]:
    """Yields a problem for each recorded entry that the project does not declare.

    An entry is declared if its name or its sha256 is.

    Args:
        recorded: The entries in the manifest of a release.
        project: The project that smdecl runs in.
    """
    here = records(project)
    names = {entry.name for entry in here}
    hashes = {entry.sha256 for entry in here if entry.sha256 is not None}
    for entry in recorded:
        if entry.name in names or entry.sha256 in hashes:
            continue
        what = "the library" if is_library(entry.name) else "the package"
        message = (
            f"custom_ops: the release needs {what} {_text(entry)}, which the project"
            f" {project.root} does not declare; run this in the project that made the"
            f" release, or add {printable(entry.name)!r} to custom_ops under"
            f" [tool.smdecl] in {project.file}"
        )
        yield Problem((), message)


def differing(
    recorded: Iterable[CustomOpsRecord], project: Project
) -> Iterator[Problem]:
    """Yields a problem for each recorded entry of which the project has other bytes or versions."""
    here = {entry.name: entry for entry in records(project)}
    for entry in recorded:
        found = here.get(entry.name)
        if found is not None and found != entry:
            made_with = f"the release was made with {_text(entry)}"
            message = f"custom_ops: {made_with}; found {_text(found)}"
            yield Problem((), message)


def _text(entry: CustomOpsRecord) -> str:
    if entry.sha256:
        return printable(f"{entry.name} (sha256 {entry.sha256[:_DIGITS]})")
    if entry.version:
        return printable(f"{entry.name} {entry.version}")
    return printable(entry.name)
