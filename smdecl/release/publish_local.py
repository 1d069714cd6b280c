"""Stage 8, publish: puts a finished release into its place in one step, under a version of its own.

A version directory is either absent or complete. It is staged beside its place, under a name that no server takes for
a version, and renamed by a call that never replaces anything.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import platform
import re
import secrets
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from smdecl import scratch
from smdecl.config.settings import Publish
from smdecl.errors import STAGE, ConfigError, Problem, PublishError, disk_errors
from smdecl.files import lock, locked
from smdecl.names import MESSAGE_FILE
from smdecl.release.publisher import Newest, Published
from smdecl.savedmodel import base_path
from smdecl.savedmodel.base_path import HIGHEST, complete, versions

_ATTEMPTS = 100  # to make a directory that others remove
# Locks on a network file system may count on one host alone, so that each sweeps only what it left itself.
_HOST = re.sub(r"[^A-Za-z0-9]", "_", platform.node())
_ASIDE = ".smdecl-old"
_NOREPLACE, _EXCHANGE = 1, 2  # renameat2(2)
_AT_FDCWD = -100
_made: set[Path] = set()  # parents of base paths, by this process


def following(known: Iterable[int]) -> int:
    """Returns the version after the highest, 1 where there is none.

    Raises:
        PublishError: Where that is one that no server parses.
    """
    if (version := max(known, default=0) + 1) > HIGHEST:
        message = f"no version follows {HIGHEST}, which is the highest that a server parses; takes a lower one"
        raise PublishError(Problem(("publish", "version"), message))
    return version


@dataclass(frozen=True)
class LocalPublisher:
    """Publishes to a local directory; see `Publisher`.

    Attributes:
        base: The base path.
        options: The version, and what becomes of the others.
    """

    base: Path
    options: Publish

    def refuse_early(self) -> None:
        """Raises if the version cannot be published, as far as that is known before a build.

        Raises:
            ConfigError: If the base path would be the SavedModel, and cannot be swapped.
            PublishError: If the version exists and `publish.replace` is false, or no version
                follows the highest.
        """
        version = self.options.version
        with disk_errors(self.base):
            if version is None:
                _require_a_place_of_its_own(self.base)
            if version == "next":
                following(number for number, _ in versions(self.base))
                return
            existing = _existing(self.base, version)
            if existing is None:
                return
            if not self.options.replace:
                raise _exists(existing, version)
            _require_replaceable(existing)

    @contextlib.contextmanager
    def stage(self) -> Iterator[Path]:
        """Yields an empty directory to make the release in, and removes it at the end.

        Raises:
            PublishError: If the directory cannot be made.
        """
        parent = self.base if self.options.version is not None else self.base.parent
        with contextlib.ExitStack() as stack:
            with disk_errors(self.base):
                places = [path.absolute() for path in (parent, *parent.parents)]
                _made.update(path for path in places if not path.exists())
                stack.callback(_remove_empty, places)
                directory, lock = _make_stage(parent)
            stack.callback(_remove, directory)
            stack.callback(os.close, lock)
            yield directory

    def newest(self, _stage: Path) -> Newest | None:
        """Returns the highest version, or the SavedModel that would be replaced; None if absent."""
        with disk_errors(self.base):
            if self.options.version is not None:
                found = base_path.newest(self.base)
            else:
                found = self.base if (self.base / MESSAGE_FILE).is_file() else None
        return None if found is None else Newest(str(found), found)

    def publish(
        self, directory: Path, require_unchanged: Callable[[], None] = lambda: None
    ) -> Published:
        """Moves a finished release into its place in one step.

        Args:
            directory: Directory of the release, below the stage.
            require_unchanged: Called right before the release is moved; raises if its files are not
                those that were verified.

        Raises:
            PublishError: If the version exists, or the file system refuses.
            SmdeclError: From `require_unchanged`.
        """
        with disk_errors(self.base):
            _sync(directory)
        require_unchanged()
        with disk_errors(self.base):
            path, version = self._publish(directory)
        # It is published: a server may have loaded it, and a caller that got an error would publish it twice.
        for parent in (
            path.parents
        ):  # some may be new: made by this process, or by one that is not done
            with contextlib.suppress(OSError):
                _sync_directory(parent)
        with contextlib.suppress(OSError):
            if self.options.keep is not None and version is not None:
                _retire(self.base, version, self.options.keep)
        return Published(path, version)

    def _publish(self, directory: Path) -> tuple[Path, int | None]:
        version = self.options.version
        if version == "next":
            return _publish_next(directory, self.base)
        path = _publish_as(directory, self.base, version, self.options.replace)
        return path, version


def _require_a_place_of_its_own(export_dir: Path) -> None:
    """Keeps the current directory from being swapped under this process, and a stage from lying within its place."""
    if Path.cwd().is_relative_to(os.path.realpath(export_dir)):
        reason = (
            "is the current directory, or holds it, which would be swapped as a whole"
        )
    elif export_dir.name == "..":
        reason = "ends in '..'"
    else:
        return
    takes = "takes another directory, by its own name, where publish.version=null"
    raise ConfigError(
        Problem(("export_dir",), f"{str(export_dir)!r} {reason}; {takes}")
    )


def _require_replaceable(path: Path) -> None:
    """Keeps `replace` from removing anything but a SavedModel: a project, or a base path with all its versions."""
    if not (path / MESSAGE_FILE).is_file() or any(versions(path)):
        message = f"{str(path)!r} is no SavedModel, and publish.replace swaps nothing else; takes another place"
        raise PublishError(Problem(("publish", "replace"), message))


def _existing(export_dir: Path, version: int | None) -> Path | None:
    if version is None:
        return export_dir if export_dir.is_dir() and any(export_dir.iterdir()) else None
    return next(
        (path for number, path in versions(export_dir) if number == version), None
    )


def _exists(path: Path, version: int | None) -> PublishError:
    if version is None:
        hint = "takes an empty or a new directory, or publish.replace=true where it is a SavedModel to swap"
        return PublishError(
            Problem(("export_dir",), f"{str(path)!r} is not empty; {hint}")
        )
    hint = "takes another version, next, or publish.replace=true"
    return PublishError(
        Problem(
            ("publish", "version"), f"version {version} exists: {str(path)!r}; {hint}"
        )
    )


def _make_stage(parent: Path) -> tuple[Path, int]:
    """Makes a stage and holds it: one that nobody holds is one that its process left behind when it died."""
    for _ in range(_ATTEMPTS):
        directory = parent / f"{STAGE}{_HOST}-{os.getpid()}-{secrets.token_hex(4)}"
        # Another process may fail meanwhile, and remove the directories that it has made. Where a third one then makes
        # the parent anew, the lock on it is another one, and the stage may be swept before it is held.
        with contextlib.suppress(FileNotFoundError, FileExistsError, BlockingIOError):
            parent.mkdir(parents=True, exist_ok=True)
            # The lock on the parent keeps others from sweeping a stage away before it is held.
            with locked(parent):
                _sweep(parent)
                directory.mkdir()
                return directory, lock(directory, fcntl.LOCK_NB)
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(parent))


def _remove_empty(directories: list[Path]) -> None:
    # What one export makes, others in this process may use meanwhile: the last of them removes it.
    for directory in filter(_made.__contains__, directories):
        with contextlib.suppress(
            OSError
        ):  # it holds a release by now, this one's or another's
            directory.rmdir()


def _remove(directory: Path) -> None:
    # What cannot be removed now is removed by the next export; the release itself stands or fails without it.
    with contextlib.suppress(OSError):
        if (
            directory.is_symlink()
        ):  # a version may be one, and what it points to is not ours
            directory.unlink()
    scratch.remove(directory)


def _sweep(parent: Path) -> None:
    """Removes the stages of processes that are gone."""
    for directory in parent.glob(f"{STAGE}{_HOST}-*"):
        if (
            directory.is_symlink()
        ):  # no stage, but a version that was being retired: nobody holds it
            _remove(directory)
            continue
        try:
            descriptor = lock(directory, fcntl.LOCK_NB)
        except OSError:  # its process lives, or another one has just removed it
            continue
        _remove(directory)
        os.close(descriptor)
    for aside in parent.glob(
        f".*{_ASIDE}"
    ):  # of a swap by two renames that was ended between them, or after
        target = aside.with_name(aside.name[1 : -len(_ASIDE)])
        if target.exists():
            _remove(aside)
        else:
            aside.rename(target)


def _retire(export_dir: Path, published: int, keep: int) -> None:
    """Removes all but the highest versions, each in one step for whoever reads them; never the one just published."""
    for number, path in sorted(complete(export_dir), reverse=True)[keep:]:
        if number != published:
            # The name of a stage that nobody holds: what cannot be removed now, the next export sweeps.
            retired = export_dir / f"{STAGE}{_HOST}-{number}-{secrets.token_hex(4)}"
            with contextlib.suppress(FileNotFoundError):  # another publisher was faster
                _rename(path, retired, _NOREPLACE)
                _remove(retired)


def _publish_next(directory: Path, export_dir: Path) -> tuple[Path, int]:
    while True:
        version = following(number for number, _ in versions(export_dir))
        try:
            _rename(directory, export_dir / str(version), _NOREPLACE)
        except FileExistsError:  # another publisher took it in between
            continue
        return export_dir / str(version), version


def _publish_as(
    directory: Path, export_dir: Path, version: int | None, replace: bool
) -> Path:
    existing = _existing(export_dir, version)
    target = existing or (export_dir if version is None else export_dir / str(version))
    if existing is not None and not replace:
        raise _exists(existing, version)
    if existing is not None:
        _require_replaceable(existing)
        _rename(directory, target, _EXCHANGE)
        return target
    if version is None and target.is_dir():
        target.rmdir()  # empty: nothing of it is lost
    try:
        _rename(directory, target, _NOREPLACE)
    except FileExistsError as error:
        raise _exists(target, version) from error
    return target


def _rename(source: Path, target: Path, flags: int) -> None:
    """Renames by renameat2(2), so that nothing is replaced; where there is none, under a lock on the directory."""
    function = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if (
        function is not None
        and function(
            _AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target), flags
        )
        == 0
    ):
        return
    code = ctypes.get_errno() if function is not None else errno.ENOSYS
    if code not in (
        errno.ENOSYS,
        errno.EINVAL,
    ):  # not of the kernel, or not of this file system
        raise OSError(code, os.strerror(code), str(source), None, str(target))
    _rename_under_lock(source, target, flags)


def _rename_under_lock(source: Path, target: Path, flags: int) -> None:
    with locked(target.parent):
        if flags == _EXCHANGE:
            aside = target.with_name(f".{target.name}{_ASIDE}")
            target.rename(aside)
            try:
                source.rename(target)
            except BaseException:
                aside.rename(target)
                raise
            with contextlib.suppress(
                OSError
            ):  # it is published; the next export sweeps the old one
                aside.rename(source)
        elif target.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
        else:
            source.rename(target)


def _sync(directory: Path) -> None:
    # TensorFlow's writer syncs nothing: a release that was renamed could be empty after a power failure.
    for parent, _, names in os.walk(directory, onerror=_raise):
        for name in names:
            descriptor = os.open(Path(parent, name), os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        _sync_directory(Path(parent))


def _raise(error: OSError) -> None:
    raise error


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
