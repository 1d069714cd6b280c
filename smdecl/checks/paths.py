"""The rules for paths in a config: names that a directory can have, and where a config may have files written."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from smdecl import files
from smdecl.config.project import Project
from smdecl.config.settings import Composition
from smdecl.errors import Problem, disk_errors
from smdecl.names import MESSAGE_FILE
from smdecl.printing import abbreviated

_LONGEST_NAME = 255  # bytes, on every file system of Linux
_LONGEST_PATH = 4000  # bytes; Linux takes 4096, and files are made below
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://.*[^/].*")
# A base path is written into other files, which a shell or another program may read.
_EXPANDED = "$`"

WRITTEN = {"models_config": ".config", "run_record": ".jsonl"}


def refuse_path(text: str) -> str | None:
    """Says why no file or directory can have this path; None if one can."""
    try:
        parts = [os.fsencode(part) for part in Path(text).parts]
    except UnicodeEncodeError:
        return f"{text!r} holds what no file can be named by"
    if "\0" in text or any(len(part) > _LONGEST_NAME for part in parts):
        return f"{abbreviated(text)} holds a NUL or a name of more than {_LONGEST_NAME} bytes, which no directory can have"
    if len(os.fsencode(text)) > _LONGEST_PATH:
        return f"{abbreviated(text)} is a path of more than {_LONGEST_PATH} bytes, which no system call takes"
    return None


def refuse_file(text: str) -> str | None:
    """Says why no file can be written there; None if one can."""
    if reason := refuse_path(text):
        return reason
    try:
        if Path(text).is_dir():
            return f"{text!r} is a directory; takes a file, existing or not"
        for parent in Path(text).parents:
            if os.path.lexists(parent) and not parent.is_dir():
                return f"{str(parent)!r} is no directory, and {text!r} would lie in it; takes another place"
    except OSError as error:
        return f"{text!r} cannot be looked at: {error.strerror}"
    return None


def lies_in(file: str, export_dir: object) -> bool:
    """Tells whether a file lies below a local base path."""
    if not isinstance(export_dir, str) or refuse_path(export_dir) or refuse_path(file):
        return False
    return Path(os.path.realpath(file)).is_relative_to(os.path.realpath(export_dir))


def check_written(composition: Composition, project: Project) -> Iterator[Problem]:
    """Checks where a config has files written beside its releases.

    A config that somebody else wrote must not make a file that another program runs, such as `~/.bash_profile`.
    """
    publish = composition.values["publish"]
    for key, suffix in WRITTEN.items():
        file = publish.get(key)
        if file is None or refuse_file(file):
            continue
        path = ("publish", key)
        origin = composition.locate(path)
        is_override = origin is not None and origin.override is not None
        if reason := _refuse_written(file, suffix, project, anywhere=is_override):
            yield Problem(path, reason)


def _refuse_written(
    file: str, suffix: str, project: Project, *, anywhere: bool
) -> str | None:
    if not file.endswith(suffix):
        return f"expected a file whose name ends in {suffix}, got {file!r}"
    real = Path(os.path.realpath(file))
    own = (project.root,) if project.is_project else ()
    allowed = [Path(os.path.realpath(place)) for place in (*own, *project.writes)]
    place = next((place for place in allowed if real.is_relative_to(place)), None)
    if place is None and not anywhere:
        return (
            f"{file!r} lies outside of the project {str(project.root)!r}; expected a place in it, one below"
            f" a directory that writes under [tool.smdecl] of {project.file} names, or an override on the command line"
        )
    parts = (real.name,) if place is None else real.relative_to(place).parts
    if any(part.startswith(".") for part in parts):
        return (
            f"{file!r} is hidden; expected a path without names that begin with a dot"
        )
    return None


def check_export_dir(values: Mapping[str, Any]) -> Iterator[Problem]:
    """Checks the base path: that a directory can be there, and that what reads it later can do it no harm."""
    key, export_dir = ("export_dir",), values["export_dir"]
    unsafe = [
        char
        for char in dict.fromkeys(export_dir)
        if char in _EXPANDED or not char.isprintable()
    ]
    if unsafe and refuse_path(export_dir) is None:
        found = ", ".join(map(repr, unsafe))
        yield Problem(
            key,
            f"expected a path without control characters, $ and backticks; {export_dir!r} holds {found}",
        )
        return
    if "://" in export_dir:
        if "::" in export_dir or not _URL.fullmatch(export_dir):
            message = f"{export_dir!r} is no plain URL; takes one such as gs://bucket/models, or a local path"
            yield Problem(key, message)
        return  # whether a store takes it, publishing finds out before anything is built
    if reason := refuse_path(export_dir):
        yield Problem(key, reason)
        return
    path = Path(export_dir)
    if patterns := sorted(files.PATTERN & set(str(path))):
        message = f"{str(path)!r} holds {' '.join(patterns)}, which TensorFlow takes for a pattern; takes another name"
        yield Problem(key, message)
    publish = values.get("publish")
    in_place = not isinstance(publish, dict) or publish.get("version") is None
    for part in (path, *path.parents):
        with disk_errors(part):
            is_file = part.exists() and not part.is_dir()
            is_model = part.joinpath(MESSAGE_FILE).is_file() and not (
                in_place and part == path
            )
        if is_model:
            yield Problem(
                key,
                f"{str(path)!r} lies in the SavedModel {str(part)!r}; takes another place",
            )
            return
        if is_file:
            yield Problem(
                key, f"{str(part)!r} is a file; takes a directory, existing or not"
            )
            return
