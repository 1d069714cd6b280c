"""The interface through which the pipeline publishes, to a local directory or a URL."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple, Protocol, TypeAlias


class Published(NamedTuple):
    """A release in its place.

    Attributes:
        path: The directory of the SavedModel; a URL if the base path is one.
        version: Its version; None if the base path itself is the SavedModel.
        is_new: Whether this export has published it.
    """

    path: Path | str
    version: int | None
    is_new: bool = True


FindSame: TypeAlias = Callable[[], Published | None]
"""Returns the published release that equals the one to publish; None to publish it."""


def find_none() -> None:
    """Compares a release with none, so that it is published."""


class Newest(NamedTuple):
    """The SavedModel that callers know before a release is published.

    Attributes:
        name: Its path or URL, for messages.
        directory: A local directory to read it from.
    """

    name: str
    directory: Path


class Publisher(Protocol):
    """Publishes one release below a base path, as the `publish` part of its config asks."""

    @property
    def base(self) -> Path | str:
        """The base path: a local directory or a URL."""

    def refuse_early(self) -> None:
        """Raises if the version cannot be published, as far as that is known before a build.

        Raises:
            ConfigError: If the store of a remote base path has no driver.
            PublishError: If the version exists, or no version follows the highest.
        """

    def stage(self) -> AbstractContextManager[Path]:
        """Yields an empty local directory to make the release in, and removes it at the end.

        Raises:
            PublishError: If the directory cannot be made.
        """

    def newest(self, stage: Path) -> Newest | None:
        """Returns the SavedModel that callers know; None if there is none.

        Args:
            stage: The directory that `stage` yielded; a copy of a remote SavedModel is put there.

        Raises:
            PublishError: If the base path cannot be read.
        """

    def current(self) -> Published | None:
        """Returns the release that the next one follows or replaces; None if there is none.

        Raises:
            PublishError: If the base path cannot be read.
        """

    def latest(self) -> Published | None:
        """Returns the highest version; None if there is none, or the base path has no versions.

        Raises:
            PublishError: If the base path cannot be read.
        """

    def publish(
        self,
        directory: Path,
        require_unchanged: Callable[[], None],
        find_same: FindSame,
    ) -> Published:
        """Moves a finished release into its place, unless it equals a published one.

        Args:
            directory: Directory of the release, below the stage.
            require_unchanged: Called right before the release can be seen; raises if its files are
                not those that were verified.
            find_same: Called until no other publisher changes the base path meanwhile.

        Returns:
            The release in its place, or the one from `find_same`.

        Raises:
            PublishError: If the version exists, or the file system or store refuses.
            SmdeclError: From `require_unchanged` or `find_same`.
        """
