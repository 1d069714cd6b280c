"""A remote base path, through fsspec.

fsspec comes with `smdecl[remote]`; each store needs its own driver too (gcsfs, s3fs, ...).
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

from smdecl.errors import ConfigError, Problem, PublishError, SmdeclError
from smdecl.savedmodel.base_path import version_of

FileSystem: TypeAlias = Any
"""An `fsspec.AbstractFileSystem`."""


@dataclass(frozen=True)
class Store:
    """A base path in a store.

    Attributes:
        files: The file system of the store.
        base: The base path in it, without a trailing slash.
    """

    files: FileSystem
    base: str

    def exists(self, place: str) -> bool:
        """Returns whether a path exists now.

        `files.exists` would use cached listings, and would return False on errors.
        """
        self.files.invalidate_cache()
        try:
            self.files.info(place)
        except OSError as error:
            is_missing = isinstance(error, FileNotFoundError)
            if is_missing or error.errno == errno.ENOENT:
                return False
            raise
        return True

    def names(self) -> list[str]:
        """Returns the names in the base path; an empty list if it does not exist."""
        if not self.exists(self.base):
            return []
        found = self.files.ls(self.base, detail=False)
        return [entry.rstrip("/").rpartition("/")[2] for entry in found]

    def versions(self) -> set[int]:
        """Returns the versions in the base path."""
        versions = {version_of(name) for name in self.names()}
        return {version for version in versions if version is not None}


def open_store(export_dir: str) -> Store:
    """Opens the store of a URL.

    Raises:
        ConfigError: If fsspec or the store's driver is missing, or cannot be configured.
        PublishError: If the driver cannot connect.
    """
    try:
        import fsspec
    except ImportError as error:
        message = f"{export_dir!r} is remote, which needs fsspec; pip install 'smdecl[remote]'"
        raise ConfigError(Problem(("export_dir",), message)) from error
    try:
        files, base = fsspec.core.url_to_fs(export_dir)
    except Exception as error:  # drivers raise errors of any class
        kind = PublishError if isinstance(error, OSError) else ConfigError
        reason = f"cannot open {export_dir!r}: {type(error).__name__}: {error}"
        expected = "expected a URL that fsspec and the store's driver open, or a local path"
        raise kind(
            Problem(("export_dir",), f"{reason}; {expected}")
        ) from error
    return Store(files, base.rstrip("/"))


@contextlib.contextmanager
def store_errors(export_dir: str) -> Iterator[None]:
    """Turns the errors of a store's driver into a PublishError.

    Raises:
        PublishError: For every error except those of smdecl.
    """
    try:
        yield
    except SmdeclError:
        raise
    except Exception as error:  # drivers raise errors of any class
        reason = (
            f"cannot access {export_dir!r}: {type(error).__name__}: {error}"
        )
        raise PublishError(Problem(("export_dir",), reason)) from error
