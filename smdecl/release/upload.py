"""Uploads the files of one release to a store, `saved_model.pb` last.

A store has no directory to rename, so servers see a version before its last file is
uploaded, but cannot load it. A store also has no way to put a file only if it is absent: each
file is looked up right before it is put, beginning with one that every release has.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from smdecl import progress
from smdecl.errors import Problem, PublishError
from smdecl.names import MESSAGE_FILE
from smdecl.release import manifest, upload_progress
from smdecl.release.store import Store

_FIRST, _LAST = manifest.FILE, MESSAGE_FILE


class TakenError(PublishError):
    """A different publisher put its first file into the version before this one did."""


class Upload:
    """The upload of one release, which can be withdrawn.

    Args:
        store: The store.
        directory: Directory of the release.
        target: Path of the version in the store.
        require_unchanged: Called before `saved_model.pb` is put; raises if the files are not
            those that were verified.
    """

    def __init__(
        self,
        store: Store,
        directory: Path,
        target: str,
        require_unchanged: Callable[[], None],
    ) -> None:
        self._store = store
        self._files = store.files
        self._directory = directory
        self._target = target
        self._require_unchanged = require_unchanged
        self._names = _in_upload_order(directory)
        self._missing = self._missing_directories()
        self._begun: list[str] = []
        self._is_done = False

    def _missing_directories(self) -> list[str]:
        parents: set[str] = set()
        for name in self._names:
            parents.update(_parents(self._place(name), self._target))
        return [parent for parent in parents if not self._store.exists(parent)]

    def _place(self, name: str) -> str:
        return f"{self._target}/{name}"

    def run(self) -> None:
        """Uploads all files, and replaces none that exists.

        Raises:
            TakenError: If the first file exists.
            PublishError: If a later file exists.
            OSError: If the store has lost a part of a file; drivers raise other errors too.
            SmdeclError: From `require_unchanged`.
        """
        sizes = [self._size(name) for name in self._names]
        with progress.counting(sizes):
            for name in self._names:
                if name == _LAST:
                    self._compare_sizes(self._begun)
                    self._require_unchanged()
                self._put(name)
        self._is_done = True
        self._compare_sizes(self._names)

    def _put(self, name: str) -> None:
        place = self._place(name)
        if self._store.exists(place):
            message = (
                f"{self._target!r} was taken during the upload: a different publisher has put"
                f" {name!r} there; expected a different version"
            )
            kind = PublishError if self._begun else TakenError
            raise kind(Problem(("publish", "version"), message))
        self._begun.append(name)
        self._files.makedirs(place.rpartition("/")[0], exist_ok=True)
        put = self._files.put_file
        with upload_progress.of_file(put, self._size(name)) as arguments:
            put(str(self._directory / name), place, **arguments)

    def _compare_sizes(self, names: Iterable[str]) -> None:
        """Raises if the store lost a part of a file, or a different publisher replaced it."""
        self._files.invalidate_cache()
        for name in names:
            place = self._place(name)
            size = self._files.size(place)
            expected = self._size(name)
            if size != expected:
                raise OSError(
                    f"{place} has {size} bytes after the upload; expected {expected}"
                )

    def _size(self, name: str) -> int:
        return (self._directory / name).stat().st_size

    def withdraw(self) -> None:
        """Removes what was uploaded.

        Best-effort cleanup; the original error is the one reported.
        """
        if not self._begun:  # new directories belong to a different publisher
            return
        for name in reversed(self._begun):
            with contextlib.suppress(Exception):
                # Checked each time, because a different publisher may complete it now.
                if self._is_of_another():
                    break
                self._files.rm_file(self._place(name))
        for directory in sorted(self._missing, key=len, reverse=True):
            # It may not be empty, and some stores have no directories.
            with contextlib.suppress(Exception):
                self._files.rmdir(directory)

    def _is_of_another(self) -> bool:
        """Returns whether a `saved_model.pb` exists that may be a different publisher's."""
        place = self._place(_LAST)
        if not self._store.exists(place):
            return False
        found = self._files.cat_file(place)
        own = (self._directory / _LAST).read_bytes()
        is_begun = _LAST in self._begun and own.startswith(found)
        # If the put failed, a complete file may be that of a publisher of the same release.
        is_own = is_begun and (self._is_done or found != own)
        return not is_own


def _in_upload_order(directory: Path) -> list[str]:
    """Returns the names of all files, with the manifest first and `saved_model.pb` last."""
    names = []
    for path in directory.rglob("*"):
        if path.is_file():
            names.append(path.relative_to(directory).as_posix())
    return sorted(
        names, key=lambda name: (name == _LAST, name != _FIRST, name)
    )


def _parents(place: str, top: str) -> Iterator[str]:
    while place != top:
        place = place.rpartition("/")[0]
        yield place
