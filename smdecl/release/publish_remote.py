"""Stage 8 for a remote base path: uploads a finished release as a new version."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from smdecl import scratch
from smdecl.config.settings import Publish
from smdecl.errors import Problem, PublishError
from smdecl.names import MESSAGE_FILE
from smdecl.release import manifest
from smdecl.release.publish_local import following
from smdecl.release.publisher import (
    FindSame,
    Newest,
    Published,
    find_none,
)
from smdecl.release.store import Store, open_store, store_errors
from smdecl.release.upload import TakenError, Upload

_RETRIES = 10  # if others take the next version first


def below(export_dir: str, subdirectory: str) -> str:
    """Returns the URL of a subdirectory; that of the base path if `subdirectory` is empty."""
    base = export_dir.rstrip("/")
    return "/".join(part for part in (base, subdirectory) if part)


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
            ConfigError: If the store has no driver.
            PublishError: If the store refuses, or the version exists.
        """
        store = open_store(self.base)
        with store_errors(self.base):
            if self._may_be_same(store):
                return
            find_target(store, self.options)

    def _may_be_same(self, store: Store) -> bool:
        """Returns whether only a comparison with the release shows if it has to be published."""
        if self.options.unchanged != "skip" or self.options.version == "next":
            return False
        return store.exists(f"{self._place(store)}/{manifest.FILE}")

    def _place(self, store: Store) -> str:
        """Returns the path in the store of a version that the config sets."""
        version = self.options.version
        return store.base if version is None else f"{store.base}/{version}"

    @contextlib.contextmanager
    def stage(self) -> Iterator[Path]:
        """Yields an empty local directory to make the release in, and removes it at the end."""
        with scratch.directory() as directory:
            yield directory

    def newest(self, stage: Path) -> Newest | None:
        """Downloads the graph of the highest version; returns None if the base path has none.

        Raises:
            PublishError: If the store refuses.
        """
        if self.options.version is None:
            return None
        store = open_store(self.base)
        with store_errors(self.base):
            version = _highest(store)
            if version is None:
                return None
            source = f"{store.base}/{version}/{MESSAGE_FILE}"
            directory = stage / str(version)
            directory.mkdir()
            store.files.get_file(source, str(directory / MESSAGE_FILE))
        return Newest(f"{self.base}/{version}", directory)

    def current(self) -> Published | None:
        """Returns the release that the next one follows, or that has its version.

        Raises:
            PublishError: If the store refuses.
        """
        version = self.options.version
        if version == "next":
            return self.latest()
        store = open_store(self.base)
        place = self._place(store)
        with store_errors(self.base):
            if not store.exists(f"{place}/{MESSAGE_FILE}"):
                return None
        return Published(store.files.unstrip_protocol(place), version)

    def latest(self) -> Published | None:
        """Returns the highest version; None if there is none, or the base path has no versions.

        Raises:
            PublishError: If the store refuses.
        """
        if self.options.version is None:
            return None
        store = open_store(self.base)
        with store_errors(self.base):
            version = _highest(store)
        if version is None:
            return None
        url = store.files.unstrip_protocol(f"{store.base}/{version}")
        return Published(url, version)

    def publish(
        self,
        directory: Path,
        require_unchanged: Callable[[], None] = lambda: None,
        find_same: FindSame = find_none,
    ) -> Published:
        """Uploads a finished release, unless it equals a published one.

        Args:
            directory: Directory of the release.
            require_unchanged: Called before the first and before the last file is uploaded; raises
                if the files are not those that were verified.
            find_same: Called before each attempt. It does not find what others still upload.

        Returns:
            The uploaded release, or the one from `find_same`.

        Raises:
            PublishError: If the store refuses, or the version exists; what was uploaded is removed.
            SmdeclError: From `require_unchanged` or `find_same`.
        """
        require_unchanged()
        store = open_store(self.base)
        retries = _RETRIES if self.options.version == "next" else 0
        with store_errors(self.base):
            for _ in range(retries):
                with contextlib.suppress(TakenError):
                    return self._upload(
                        store, directory, require_unchanged, find_same
                    )
            return self._upload(store, directory, require_unchanged, find_same)

    def _upload(
        self,
        store: Store,
        directory: Path,
        require_unchanged: Callable[[], None],
        find_same: FindSame,
    ) -> Published:
        # Before the comparison, so that what is published during it takes this version.
        is_next = self.options.version == "next"
        found = find_target(store, self.options) if is_next else None
        same = find_same()
        if same is not None:
            return same
        target, version = found or find_target(store, self.options)
        upload = Upload(store, directory, target, require_unchanged)
        try:
            upload.run()
        except BaseException:
            upload.withdraw()
            raise
        return Published(store.files.unstrip_protocol(target), version)


def _highest(store: Store) -> int | None:
    """Returns the highest version that contains a SavedModel; None if there is none."""
    for version in sorted(store.versions(), reverse=True):
        if store.exists(f"{store.base}/{version}/{MESSAGE_FILE}"):
            return version
    return None


def find_target(store: Store, options: Publish) -> tuple[str, int | None]:
    """Returns the path in the store to upload to, and its version.

    Raises:
        PublishError: If the version exists, the base path without versions is not empty, or no
            version follows the highest.
    """
    if options.version is None:
        if store.names():
            message = (
                f"{store.base!r} is not empty; expected an empty or new place"
            )
            raise PublishError(Problem(("export_dir",), message))
        return store.base, None
    versions = store.versions()
    version = (
        following(versions) if options.version == "next" else options.version
    )
    if version in versions:
        message = f"version {version} exists in {store.base!r}"
        expected = "expected a different version, or next"
        raise PublishError(
            Problem(("publish", "version"), f"{message}; {expected}")
        )
    return f"{store.base}/{version}", version
