"""Stage 8, publish: moves a finished release into its place in one step, as a new version.

A version directory is either absent or complete. It is staged next to its place, under a
name that no server reads as a version, and renamed without replacing anything.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from smdecl.config.settings import Publish
from smdecl.errors import ConfigError, Problem, PublishError, disk_errors
from smdecl.files import lock, locked
from smdecl.names import MESSAGE_FILE, OWN_FILES
from smdecl.release import renaming, staging
from smdecl.release.publisher import (
    FindSame,
    Newest,
    Published,
    find_none,
)
from smdecl.savedmodel import base_path
from smdecl.savedmodel.base_path import HIGHEST, complete, versions


def following(known: Iterable[int]) -> int:
    """Returns the version after the highest one; 1 if there is none.

    Raises:
        PublishError: If no server could parse it.
    """
    version = max(known, default=0) + 1
    if version > HIGHEST:
        message = (
            f"no version follows {HIGHEST}, the highest that a server parses"
        )
        raise PublishError(
            Problem(("publish", "version"), f"{message}; expected a lower one")
        )
    return version


@dataclass(frozen=True)
class LocalPublisher:
    """Publishes to a local directory; see `Publisher`.

    Attributes:
        base: The base path.
        options: The version, and what happens to the other versions.
        model: The name of the model in a models.config.
    """

    base: Path
    options: Publish
    model: str = ""

    def refuse_early(self) -> None:
        """Raises if the version cannot be published, as far as that is known before a build.

        Raises:
            ConfigError: If the base path would be the SavedModel, and cannot be swapped.
            PublishError: If the version exists and `publish` neither replaces it nor may find it
                unchanged, no version follows the highest, or the base path cannot be written.
        """
        version = self.options.version
        with disk_errors(self.base):
            _require_writable(self._parent)
            if version is None:
                _require_swappable(self.base)
            if version == "next":
                following(number for number, _ in versions(self.base))
            else:
                self._require_free(version)

    def _require_free(self, version: int | None) -> None:
        existing = _existing(self.base, version)
        if existing is None:
            return
        if self.options.replace:
            _require_replaceable(existing)
        elif not self._may_be_same(existing):
            raise _exists(existing, version)

    def _may_be_same(self, existing: Path) -> bool:
        """Returns whether only a comparison with the release shows if it has to be published."""
        is_compared = self.options.unchanged == "skip"
        return is_compared and (existing / OWN_FILES).is_dir()

    @contextlib.contextmanager
    def stage(self) -> Iterator[Path]:
        """Yields an empty directory to make the release in, and removes it at the end.

        Raises:
            PublishError: If the directory cannot be created.
        """
        with contextlib.ExitStack() as stack:
            with disk_errors(self.base):
                directory = stack.enter_context(staging.stage(self._parent))
            yield directory

    @property
    def _parent(self) -> Path:
        """The directory that will have the stage, and then the release."""
        has_version = self.options.version is not None
        return self.base if has_version else self.base.parent

    def newest(self, _stage: Path) -> Newest | None:
        """Returns the highest version, or the SavedModel to be replaced; None if absent."""
        with disk_errors(self.base):
            if self.options.version is not None:
                found = base_path.newest(self.base)
            else:
                found = (
                    self.base if (self.base / MESSAGE_FILE).is_file() else None
                )
        return None if found is None else Newest(str(found), found)

    def current(self) -> Published | None:
        """Returns the release that the next one follows or replaces; None if there is none."""
        version = self.options.version
        with disk_errors(self.base):
            if version != "next":
                path = _existing(self.base, version)
                return None if path is None else Published(path, version)
        return self.latest()

    def latest(self) -> Published | None:
        """Returns the highest version; None if there is none, or the base path has no versions."""
        if self.options.version is None:
            return None
        with disk_errors(self.base):
            newest = max(complete(self.base), default=None)
        return None if newest is None else Published(newest[1], newest[0])

    def publish(
        self,
        directory: Path,
        require_unchanged: Callable[[], None] = lambda: None,
        find_same: FindSame = find_none,
    ) -> Published:
        """Moves a finished release into its place in one step, unless it equals a published one.

        Args:
            directory: Directory of the release, below the stage.
            require_unchanged: Called right before the release is moved; raises if its files are
                not those that were verified.
            find_same: Called until no other publisher changes the base path meanwhile.

        Returns:
            The release in its place, or the one from `find_same`.

        Raises:
            PublishError: If the version exists, or the file system refuses.
            SmdeclError: From `require_unchanged` or `find_same`.
        """
        with disk_errors(self.base):
            renaming.sync(directory)
        require_unchanged()
        with disk_errors(self.base):
            published = self._move(directory, find_same)
        if published.is_new:
            self._clean_up(published)
        return published

    def _move(self, directory: Path, find_same: FindSame) -> Published:
        version = self.options.version
        if version == "next":
            return _publish_next(directory, self.base, find_same)
        existing = _existing(self.base, version)
        if existing is None:
            return _publish_as(directory, self.base, version, find_same)
        with self._alone(existing):
            same = find_same()
            if same is not None:
                return same
            if not self.options.replace:
                raise _exists(existing, version)
            _require_replaceable(existing)
            renaming.exchange(directory, existing)
            return Published(existing, version)

    @contextlib.contextmanager
    def _alone(self, existing: Path) -> Iterator[None]:
        """Lets no other publisher replace a version while it is compared."""
        if self.options.unchanged != "skip":
            yield
            return
        descriptor = _lock_as_it_is(existing)
        try:
            yield
        finally:
            os.close(descriptor)

    def _clean_up(self, published: Published) -> None:
        """Syncs the parents, and retires old versions.

        Errors are ignored: a server may have loaded the release already, and a caller that
        gets an error would publish it twice.
        """
        for parent in Path(published.path).parents:  # any of them may be new
            with contextlib.suppress(OSError):
                renaming.sync_entry(parent)
        keep, version = self.options.keep, published.version
        if keep is not None and version is not None:
            # A models.config that cannot be read is reported when the model is added to it.
            with contextlib.suppress(OSError, PublishError):
                _retire(self.base, keep, {version, *self._pinned()})

    def _pinned(self) -> frozenset[int]:
        """Returns the versions of the model that the models.config names."""
        file = self.options.models_config
        if file is None:
            return frozenset()
        # Not at the top: `check` does not need it, and must start quickly.
        from smdecl.release import models_config

        return models_config.pinned(Path(file), self.model)


def _require_writable(directory: Path) -> None:
    """Raises if a directory cannot be written, or cannot be made; writes nothing.

    Raises:
        OSError: With the reason.
    """
    for path in (directory, *directory.parents):
        if path.exists():
            break
    if os.access(path, os.W_OK | os.X_OK, effective_ids=True):
        return
    is_read_only = os.statvfs(path).f_flag & os.ST_RDONLY
    reason = errno.EROFS if is_read_only else errno.EACCES
    raise OSError(reason, os.strerror(reason), str(path))


def _require_swappable(export_dir: Path) -> None:
    """Raises if a base path cannot be swapped as a whole.

    The current directory must not change under this process, and a stage must not be inside
    the directory that it replaces.
    """
    if Path.cwd().is_relative_to(os.path.realpath(export_dir)):
        reason = "is the current directory, or contains it"
    elif export_dir.name == "..":
        reason = "ends in '..'"
    else:
        return
    expected = "publish.version=null swaps it as a whole, and expects a different directory"
    message = f"{str(export_dir)!r} {reason}; {expected}"
    raise ConfigError(Problem(("export_dir",), message))


def _require_replaceable(path: Path) -> None:
    """Raises unless a directory is a SavedModel, and not a project or a base path."""
    if not (path / MESSAGE_FILE).is_file() or any(versions(path)):
        message = f"{str(path)!r} is not a SavedModel"
        hint = "publish.replace swaps only SavedModels"
        raise PublishError(
            Problem(("publish", "replace"), f"{message}; {hint}")
        )


def _existing(export_dir: Path, version: int | None) -> Path | None:
    """Returns the directory that has a version; for None, the base path unless it is empty."""
    if version is None:
        is_used = export_dir.is_dir() and any(export_dir.iterdir())
        return export_dir if is_used else None
    for number, path in versions(export_dir):
        if number == version:
            return path
    return None


def _exists(path: Path, version: int | None) -> PublishError:
    if version is None:
        expected = (
            "expected an empty or new directory,"
            " or publish.replace=true to swap a SavedModel"
        )
        message = f"{str(path)!r} is not empty; {expected}"
        return PublishError(Problem(("export_dir",), message))
    expected = "expected a different version, next, or publish.replace=true"
    message = f"version {version} exists: {str(path)!r}; {expected}"
    return PublishError(Problem(("publish", "version"), message))


def _lock_as_it_is(existing: Path) -> int:
    """Locks a version, even if a different publisher replaces it meanwhile."""
    while True:
        try:
            return lock(existing)
        except FileNotFoundError:  # it is being replaced
            with locked(existing.parent):
                if not existing.exists():
                    raise


def _publish_next(
    directory: Path, export_dir: Path, find_same: FindSame
) -> Published:
    while True:
        # Before the comparison, so that what is published during it takes this version.
        version = following(number for number, _ in versions(export_dir))
        same = find_same()
        if same is not None:
            return same
        path = export_dir / str(version)
        try:
            renaming.move(directory, path)
        except FileExistsError:  # a different publisher was faster
            continue
        return Published(path, version)


def _publish_as(
    directory: Path,
    export_dir: Path,
    version: int | None,
    find_same: FindSame,
) -> Published:
    same = find_same()
    if same is not None:
        return same
    target = export_dir if version is None else export_dir / str(version)
    if version is None and target.is_dir():
        target.rmdir()  # it is empty
    try:
        renaming.move(directory, target)
    except FileExistsError as error:
        same = find_same()  # a different publisher was faster
        if same is None:
            raise _exists(target, version) from error
        return same
    return Published(target, version)


def _retire(export_dir: Path, keep: int, spared: Collection[int]) -> None:
    """Removes all but the highest versions and those that are spared."""
    for number, path in sorted(complete(export_dir), reverse=True)[keep:]:
        if number not in spared:
            staging.retire(path)
