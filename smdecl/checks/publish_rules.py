"""Checks where a release goes: its base path, its version, and the files beside it."""

from __future__ import annotations

from pathlib import Path

from smdecl.checks import paths, sign_key
from smdecl.checks.types import Problems
from smdecl.config.project import Project
from smdecl.config.settings import Composition
from smdecl.config.types import Values
from smdecl.errors import ConfigError, KeyPath, Problem

# The files beside a release: each key of `publish` with the suffix that its file must have.
FILES = {"models_config": ".config", "run_record": ".jsonl"}


def check(values: Values) -> Problems:
    """Yields what is wrong with `publish`."""
    publish = values["publish"]
    if publish["version"] is None:
        yield from _check_unversioned(publish)
    export_dir = values.get("export_dir")
    is_known = isinstance(export_dir, str)  # the schema reports a missing one
    if is_known and paths.is_remote(str(export_dir)):
        yield from _check_remote(publish, str(export_dir))
    for key in FILES:
        file = publish[key]
        reason = None if file is None else paths.refuse_file(file)
        if reason is not None:
            yield Problem(("publish", key), reason)
    record = publish["run_record"]
    if record is not None and is_known and paths.is_below(record, export_dir):
        message = f"expected a path outside export_dir {export_dir!r}, got {record!r}"
        yield Problem(("publish", "run_record"), message)
    if publish["sign"] is not None:
        try:
            sign_key.require_key(Path(publish["sign"]))
        except ConfigError as error:
            yield from error.problems


def _check_unversioned(publish: Values) -> Problems:
    for key in ("keep", "models_config"):
        if publish[key] is not None:
            reason = "publish.version is null, and servers look for versions"
            message = f"expected null, got {publish[key]!r}: {reason}"
            yield Problem(("publish", key), message)


def _check_remote(publish: Values, export_dir: str) -> Problems:
    """Yields what a store cannot do."""
    for key in ("replace", "keep"):
        if publish[key]:
            message = (
                f"got {publish[key]!r} with the remote base path {export_dir!r}; expected a local"
                " one: a store can neither swap nor retire a version in one step"
            )
            yield Problem(("publish", key), message)


def check_export_dir(values: Values) -> Problems:
    """Yields why `export_dir` cannot be a base path, or is unsafe for what reads it later."""
    export_dir, publish = values["export_dir"], values.get("publish")
    has_version = (
        isinstance(publish, dict) and publish.get("version") is not None
    )
    replaced = None if has_version else Path(export_dir)
    for reason in paths.refuse_base_path(export_dir, replaced):
        yield Problem(("export_dir",), reason)


def check_places(composition: Composition, project: Project) -> Problems:
    """Yields the files beside a release that the config must not have written there.

    A config from a stranger must not create files that other programs run, such as
    `~/.bash_profile`. An override on the command line may name any place.
    """
    publish = composition.values["publish"]
    for key, suffix in FILES.items():
        file = publish.get(key)
        if file is None or paths.refuse_file(file):
            continue
        path = ("publish", key)
        reason = _refuse_suffix(file, suffix)
        if reason is None:
            reason = _refuse_place(file, path, composition, project)
        if reason is not None:
            yield Problem(path, reason)


def _is_override(composition: Composition, path: KeyPath) -> bool:
    """Returns whether an override sets a key. This composes the config again, so it is slow."""
    origin = composition.locate(path)
    return origin is not None and origin.override is not None


def _refuse_suffix(file: str, suffix: str) -> str | None:
    if file.endswith(suffix):
        return None
    return f"expected a file whose name ends in {suffix}, got {file!r}"


def _refuse_place(
    file: str, path: KeyPath, composition: Composition, project: Project
) -> str | None:
    real = paths.real(file)
    allowed = [*project.writes]
    if project.is_project:
        allowed.insert(0, project.root)
    parents = [paths.real(place) for place in allowed]
    parents = [parent for parent in parents if real.is_relative_to(parent)]
    if parents:
        parts = real.relative_to(parents[0]).parts
    elif _is_override(composition, path):
        parts = (real.name,)
    else:
        return (
            f"{file!r} is outside the project {str(project.root)!r}; expected a path in it,"
            f" in a directory that writes under [tool.smdecl] of {project.file} names,"
            " or an override on the command line"
        )
    if any(part.startswith(".") for part in parts):
        return f"{file!r} is hidden; expected a path without names that begin with a dot"
    return None
