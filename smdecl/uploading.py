"""Stage 8 for a remote base path: uploads a finished release, `saved_model.pb` last.

An object store has no directory to rename: until its last file is there a version is seen, and cannot be loaded.
fsspec speaks to the store; it comes with `smdecl[remote]`, and each store's own driver (gcsfs, s3fs, ...) beside it.
"""

from __future__ import annotations

import contextlib
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from smdecl.config import Publish
from smdecl.errors import ConfigError, Problem, PublishError
from smdecl.publishing import following, version_of

_REMOTE = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://.+")
_LAST = "saved_model.pb"


def is_remote(export_dir: str) -> bool:
    """Tells whether a base path is a URL, such as gs://bucket/models."""
    return _REMOTE.fullmatch(export_dir) is not None


def place(export_dir: str, subdirectory: str) -> str:
    """Returns the URL that releases land below."""
    return "/".join(part for part in (export_dir.rstrip("/"), subdirectory) if part)


@contextlib.contextmanager
def stage(_export_dir: str, _publish: Publish) -> Iterator[Path]:
    """Yields an empty local directory to make the release in; it is removed in the end."""
    with tempfile.TemporaryDirectory(prefix="smdecl-", ignore_cleanup_errors=True) as directory:
        yield Path(directory)


def refuse_early(export_dir: str, publish: Publish) -> None:
    """Raises where it can be known before anything is built that the release cannot be uploaded.

    Raises:
        ConfigError: Where there is no driver for the store, or the config asks for what a store cannot do.
        PublishError: Where the store refuses, or the version exists.
    """
    for key in ("replace", "keep"):
        if value := getattr(publish, key):
            takes = "takes a local base path: a store can neither swap nor retire a version in one step"
            raise ConfigError(Problem(("publish", key), f"got {value!r} beside {export_dir!r}; {takes}"))
    files, base = _open(export_dir)
    with _store_errors(export_dir):
        _target(files, base, publish)


def publish(directory: Path, export_dir: str, options: Publish) -> tuple[str, int | None]:
    """Uploads a finished release and returns its URL and version.

    Raises:
        PublishError: Where the store refuses, or the version exists; what was uploaded is removed then.
    """
    files, base = _open(export_dir)
    with _store_errors(export_dir):
        target, version = _target(files, base, options)
        names = sorted(path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file())
        try:
            for name in sorted(names, key=lambda name: name == _LAST):
                _put(files, directory / name, f"{target}/{name}")
        except BaseException:
            _remove(files, target, names)
            raise
    return files.unstrip_protocol(target), version


def newest(export_dir: str, publish: Publish, stage: Path) -> tuple[str, Path] | None:
    """Fetches the graph of the highest version; returns its URL and a directory to read it from, below the stage.

    None is where there is none.

    Raises:
        PublishError: Where the store refuses.
    """
    files, base = _open(export_dir)
    with _store_errors(export_dir):
        versions = () if publish.version is None else _versions(files, base)
        for version in sorted(versions, reverse=True):
            if files.exists(source := f"{base}/{version}/{_LAST}"):
                directory = stage / str(version)
                directory.mkdir()
                files.get_file(source, str(directory / _LAST))
                return f"{export_dir}/{version}", directory
    return None


def _put(files: Any, source: Path, target: str) -> None:
    files.makedirs(target.rpartition("/")[0], exist_ok=True)
    files.put_file(str(source), target)
    if (size := files.size(target)) != source.stat().st_size:
        raise OSError(f"{target} has {size} bytes after the upload; it should have {source.stat().st_size}")


def _remove(files: Any, target: str, names: list[str]) -> None:
    """Removes what was uploaded, as far as the store lets it; what it refused first is the error that is told."""
    places = {f"{target}/{name}" for name in names}
    directories = {parent for place in places for parent in _parents(place, target)}
    for place in places:
        with contextlib.suppress(Exception):
            files.rm_file(place)
    for directory in sorted(directories, key=len, reverse=True):
        with contextlib.suppress(Exception):  # it is not empty, or the store has no directories
            files.rmdir(directory)


def _parents(place: str, top: str) -> Iterator[str]:
    while place != top:
        place = place.rpartition("/")[0]
        yield place


def _open(export_dir: str) -> tuple[Any, str]:
    try:
        import fsspec
    except ImportError as error:
        message = f"{export_dir!r} is remote, which needs fsspec; pip install 'smdecl[remote]'"
        raise ConfigError(Problem(("export_dir",), message)) from error
    try:
        files, base = fsspec.core.url_to_fs(export_dir)
    except (ImportError, ValueError) as error:  # no driver for the store, or no such store
        raise ConfigError(Problem(("export_dir",), f"{export_dir!r}: {error}")) from error
    return files, base.rstrip("/")


@contextlib.contextmanager
def _store_errors(export_dir: str) -> Iterator[None]:
    try:
        yield
    except PublishError:
        raise
    except Exception as error:  # every driver has errors of its own
        reason = f"{type(error).__name__}: {error}"
        raise PublishError(Problem(("export_dir",), f"{export_dir!r} refuses: {reason}")) from error


def _target(files: Any, base: str, publish: Publish) -> tuple[str, int | None]:
    if publish.version is None:
        if _names(files, base):
            raise PublishError(Problem(("export_dir",), f"{base!r} is not empty; takes an empty or a new place"))
        return base, None
    versions = _versions(files, base)
    if publish.version == "next":
        version = following(versions)
    elif (version := publish.version) in versions:
        message = f"version {version} exists in {base!r}; takes another version, or next"
        raise PublishError(Problem(("publish", "version"), message))
    return f"{base}/{version}", version


def _names(files: Any, base: str) -> list[str]:
    files.invalidate_cache()
    found = files.ls(base, detail=False) if files.exists(base) else []
    return [entry.rstrip("/").rpartition("/")[2] for entry in found]


def _versions(files: Any, base: str) -> set[int]:
    return {version for name in _names(files, base) if (version := version_of(name)) is not None}
