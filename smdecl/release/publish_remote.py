"""Stage 8 for a remote base path: uploads a finished release, `saved_model.pb` last.

An object store has no directory to rename: until its last file is there a version is seen, and cannot be loaded. Nor
does it say who was first: each file is looked for just before it is put, beginning with the one that every release has.
fsspec speaks to the store; it comes with `smdecl[remote]`, and each store's own driver (gcsfs, s3fs, ...) beside it.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smdecl import scratch
from smdecl.config.settings import Publish
from smdecl.errors import ConfigError, Problem, PublishError, SmdeclError
from smdecl.names import MESSAGE_FILE
from smdecl.release import manifest
from smdecl.release.publish_local import following
from smdecl.release.publisher import Newest, Published
from smdecl.savedmodel.base_path import version_of

_FIRST, _LAST = manifest.FILE, MESSAGE_FILE
_RETRIES = 10  # of the next version, which others take meanwhile


def is_remote(export_dir: str) -> bool:
    """Tells whether a base path is a URL, such as gs://bucket/models; `check` lets no path pass that looks like one."""
    return "://" in export_dir


def below(export_dir: str, subdirectory: str) -> str:
    """Returns the URL of a subdirectory; without one, that of the base path itself."""
    return "/".join(part for part in (export_dir.rstrip("/"), subdirectory) if part)


@dataclass(frozen=True)
class RemotePublisher:
    """Uploads to an object store; see `Publisher`.

    Attributes:
        base: The URL of the base path.
        options: The version.
    """

    base: str
    options: Publish

    def refuse_early(self) -> None:
        """Raises if the release cannot be uploaded, as far as that is known before a build.

        Raises:
            ConfigError: If the store has no driver, or the config asks for what a store cannot do.
            PublishError: If the store refuses, or the version exists.
        """
        for key in ("replace", "keep"):
            if value := getattr(self.options, key):
                takes = "takes a local base path: a store can neither swap nor retire a version in one step"
                raise ConfigError(
                    Problem(
                        ("publish", key), f"got {value!r} beside {self.base!r}; {takes}"
                    )
                )
        files, base = _open(self.base)
        with _store_errors(self.base):
            _target(files, base, self.options)

    @contextlib.contextmanager
    def stage(self) -> Iterator[Path]:
        """Yields an empty local directory to make the release in, and removes it at the end."""
        with scratch.directory() as directory:
            yield directory

    def newest(self, stage: Path) -> Newest | None:
        """Downloads the graph of the highest version; returns None if there is no version.

        Raises:
            PublishError: If the store refuses.
        """
        if self.options.version is None:
            return None
        files, base = _open(self.base)
        with _store_errors(self.base):
            for version in sorted(_versions(files, base), reverse=True):
                source = f"{base}/{version}/{_LAST}"
                if _is_there(files, source):
                    directory = stage / str(version)
                    directory.mkdir()
                    files.get_file(source, str(directory / _LAST))
                    return Newest(f"{self.base}/{version}", directory)
        return None

    def publish(
        self, directory: Path, require_unchanged: Callable[[], None] = lambda: None
    ) -> Published:
        """Uploads a finished release.

        Args:
            directory: Directory of the release.
            require_unchanged: Called before the first and before the last file is uploaded; raises
                if the files are not those that were verified.

        Raises:
            PublishError: If the store refuses, or the version exists; what was uploaded is removed.
            SmdeclError: From `require_unchanged`.
        """
        require_unchanged()
        files, base = _open(self.base)
        with _store_errors(self.base):
            for _ in range(_RETRIES if self.options.version == "next" else 0):
                with contextlib.suppress(_TakenError):
                    return _publish(
                        files, base, directory, self.options, require_unchanged
                    )
            return _publish(files, base, directory, self.options, require_unchanged)


def _publish(
    files: Any,
    base: str,
    directory: Path,
    options: Publish,
    require_unchanged: Callable[[], None],
) -> Published:
    target, version = _target(files, base, options)
    upload = _Upload(files, directory, target, require_unchanged)
    try:
        upload.run()
    except BaseException:
        upload.withdraw()
        raise
    return Published(files.unstrip_protocol(target), version)


class _TakenError(PublishError):
    """Another publisher had begun to put its release into a version before this one did: the next one may be free."""


class _Upload:
    """The upload of one release; it keeps what it has begun to put, and which directories it makes for that."""

    def __init__(
        self,
        files: Any,
        directory: Path,
        target: str,
        require_unchanged: Callable[[], None],
    ) -> None:
        self._files, self._directory, self._target = files, directory, target
        self._require_unchanged = require_unchanged
        found = [
            path.relative_to(directory).as_posix()
            for path in directory.rglob("*")
            if path.is_file()
        ]
        self._names = sorted(
            found, key=lambda name: (name == _LAST, name != _FIRST, name)
        )
        parents = {
            parent for name in found for parent in _parents(f"{target}/{name}", target)
        }
        self._missing = [parent for parent in parents if not _is_there(files, parent)]
        self._begun: list[str] = []
        self._done = False

    def run(self) -> None:
        """Puts each file in its place, where none is yet; saved_model.pb once all others are there."""
        for name in self._names:
            if name == _LAST:
                self._compare(self._begun)
                self._require_unchanged()
            self._put(name)
        self._done = True
        self._compare(self._names)

    def _put(self, name: str) -> None:
        place = f"{self._target}/{name}"
        if _is_there(self._files, place):
            message = f"{self._target!r} was taken meanwhile: another has put {name!r} there; takes another version"
            raise (PublishError if self._begun else _TakenError)(
                Problem(("publish", "version"), message)
            )
        self._begun.append(name)
        self._files.makedirs(place.rpartition("/")[0], exist_ok=True)
        self._files.put_file(str(self._directory / name), place)

    def _compare(self, names: Iterable[str]) -> None:
        """Raises where a file is not as it was put: the store has lost some of it, or another publisher has."""
        self._files.invalidate_cache()
        for name in names:
            place, wanted = (
                f"{self._target}/{name}",
                (self._directory / name).stat().st_size,
            )
            if (size := self._files.size(place)) != wanted:
                raise OSError(
                    f"{place} has {size} bytes after the upload; it should have {wanted}"
                )

    def withdraw(self) -> None:
        """Removes what was uploaded, as far as the store lets it; what it refused first is the error that is told."""
        if not self._begun:  # directories that came meanwhile are another's, who may be about to put files into them
            return
        for name in reversed(self._begun):
            with contextlib.suppress(Exception):
                if (
                    self._is_anothers()
                ):  # asked each time, for another may be about to complete it
                    break
                self._files.rm_file(f"{self._target}/{name}")
        for directory in sorted(self._missing, key=len, reverse=True):
            with contextlib.suppress(
                Exception
            ):  # it is not empty, or the store has no directories
                self._files.rmdir(directory)

    def _is_anothers(self) -> bool:
        """Tells whether a saved_model.pb is there that may be of another publisher, whose release this is then."""
        place = f"{self._target}/{_LAST}"
        if not _is_there(self._files, place):
            return False
        found, own = self._files.cat_file(place), (self._directory / _LAST).read_bytes()
        begun = _LAST in self._begun and own.startswith(found)
        # Where the store broke off while it was put, all of it may as well be that of another with the same release.
        return not (begun and (self._done or found != own))


def _is_there(files: Any, place: str) -> bool:
    """Looks anew; unlike `files.exists`, it takes no error for an answer."""
    files.invalidate_cache()
    try:
        files.info(place)
    except OSError as error:
        if not isinstance(error, FileNotFoundError) and error.errno != errno.ENOENT:
            raise
        return False
    return True


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
    except Exception as error:  # no driver for the store, or one that fails in any way of its own, connecting already
        kind = PublishError if isinstance(error, OSError) else ConfigError
        reason = f"{export_dir!r} cannot be opened: {type(error).__name__}: {error}"
        takes = (
            "takes a URL that fsspec and the store's own driver open, or a local path"
        )
        raise kind(Problem(("export_dir",), f"{reason}; {takes}")) from error
    return files, base.rstrip("/")


@contextlib.contextmanager
def _store_errors(export_dir: str) -> Iterator[None]:
    try:
        yield
    except SmdeclError:
        raise
    except Exception as error:  # every driver has errors of its own
        reason = f"{type(error).__name__}: {error}"
        raise PublishError(
            Problem(("export_dir",), f"{export_dir!r} refuses: {reason}")
        ) from error


def _target(files: Any, base: str, publish: Publish) -> tuple[str, int | None]:
    if publish.version is None:
        if _names(files, base):
            raise PublishError(
                Problem(
                    ("export_dir",),
                    f"{base!r} is not empty; takes an empty or a new place",
                )
            )
        return base, None
    versions = _versions(files, base)
    if publish.version == "next":
        version = following(versions)
    elif (version := publish.version) in versions:
        message = (
            f"version {version} exists in {base!r}; takes another version, or next"
        )
        raise PublishError(Problem(("publish", "version"), message))
    return f"{base}/{version}", version


def _names(files: Any, base: str) -> list[str]:
    files.invalidate_cache()
    found = files.ls(base, detail=False) if _is_there(files, base) else []
    return [entry.rstrip("/").rpartition("/")[2] for entry in found]


def _versions(files: Any, base: str) -> set[int]:
    return {
        version
        for name in _names(files, base)
        if (version := version_of(name)) is not None
    }
