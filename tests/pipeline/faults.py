"""Intervenes at a chosen file system call of publishing, and checks what a server would see."""

import contextlib
import ctypes
import functools
import os
import re
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from smdecl.config.settings import Publish
from smdecl.errors import SmdeclError
from smdecl.release import comparison, manifest
from smdecl.release.publish_local import LocalPublisher

NEXT = Publish(version="next", replace=False)
# What Python tells an audit hook of, just before it asks the kernel. The events of shutil and glob are none of these:
# each is followed by those of the calls that it makes.
_EVENTS = {
    "open", "os.listdir", "os.scandir", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink",
    "os.truncate", "os.chmod", "os.chown", "os.utime", "fcntl.flock",
}  # fmt: skip


class Calls:
    """Counts the calls of one thread to the file system below `root`, and acts at the one that is `number`."""

    def __init__(self, root: Path, number: int, act: Callable[[str, Path], None]) -> None:
        self.seen: list[tuple[str, Path]] = []
        self._root, self.number, self._act = root, number, act
        self._thread = threading.get_ident()
        self.paused = False

    @property
    def reached(self) -> bool:
        return len(self.seen) >= self.number

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.seen]

    def see(self, name: str, place: object) -> None:
        if self.paused or threading.get_ident() != self._thread:
            return
        path = (
            Path(f"/proc/self/fd/{place}").readlink()
            if isinstance(place, int)
            else Path(os.fsdecode(place))
        )
        if path.is_absolute() and not path.is_relative_to(
            self._root
        ):  # a relative one is below a descriptor
            return
        self.seen.append((name, path))
        if len(self.seen) == self.number:
            self._act(name, path)


_watching: list[Calls] = []


@functools.cache  # a hook stays for good
def _add_hook() -> None:
    def hook(event: str, arguments: tuple) -> None:
        if _watching and event in _EVENTS:
            _watching[-1].see(event, arguments[0])

    sys.addaudithook(hook)


class _Libc:
    """A C library; one from before renameat2 has no such attribute."""

    def __init__(self, calls: Calls, real: ctypes.CDLL, has_renameat2: bool) -> None:
        def renameat2(*arguments: object) -> int:
            try:
                calls.see("renameat2", arguments[1])
            except OSError as error:
                ctypes.set_errno(error.errno)
                return -1
            return real.renameat2(*arguments)

        if has_renameat2:
            self.renameat2 = renameat2


@contextlib.contextmanager
def watched(calls: Calls, has_renameat2: bool = True) -> Iterator[Calls]:
    """Shows `calls` what this thread asks of the file system."""
    _add_hook()
    library, stat, lstat, fsync = ctypes.CDLL, os.stat, os.lstat, os.fsync
    libc = _Libc(calls, library(None, use_errno=True), has_renameat2)

    def seen(name: str, function: Callable) -> Callable:
        def call(place: object, *arguments: object, **options: object) -> object:
            calls.see(name, place)
            return function(place, *arguments, **options)

        return call

    ctypes.CDLL = lambda *_, **__: libc
    # No audit event tells of these; nothing here loses power, so that nothing is synced either.
    os.stat, os.lstat, os.fsync = (
        seen("stat", stat),
        seen("lstat", lstat),
        seen("fsync", lambda _: None),
    )
    _watching.append(calls)
    try:
        yield calls
    finally:
        _watching.pop()
        ctypes.CDLL, os.stat, os.lstat, os.fsync = library, stat, lstat, fsync


def publish(
    ready: Path,
    base: Path,
    options: Publish,
    calls: Calls | None = None,
    has_renameat2: bool = True,
) -> Path:
    """Publishes a copy of a ready-made release, by the calls that `pipeline.export` makes; the copying is not seen."""
    with watched(calls or Calls(base, 0, lambda *_: None), has_renameat2) as seen:
        publisher = LocalPublisher(base, options)
        publisher.refuse_early()
        with publisher.stage() as stage:
            seen.paused = True
            shutil.copytree(ready, stage / "moved")
            seen.paused = False
            return publisher.publish(stage / "moved").path


class PartialVersionError(Exception):
    """A server would have found a version that is not complete."""


def versions(base: Path) -> dict[int, Path]:
    """Returns what TensorFlow Serving takes for versions: any child whose name parses as an int64."""
    try:
        children = list(base.iterdir())
    except FileNotFoundError:
        return {}
    named = {child: child.name.strip() for child in children}
    return {
        int(name): child
        for child, name in named.items()
        if re.fullmatch(r"[+-]?\d+", name, re.ASCII) and -(2**63) <= int(name) < 2**63
    }


def digest(path: Path) -> str | None:
    """Returns the digest of the release at `path`, None where there is none.

    Raises:
        PartialVersionError: Where it is not complete, and was not swapped for another one meanwhile.
    """
    while True:
        before = _inode(path)
        if before is None:
            return None
        try:
            released = manifest.read(path)
            wrong = [str(problem) for problem in comparison.compare(path, released)]
        except (SmdeclError, OSError) as error:
            wrong = [f"{type(error).__name__}: {error}"]
        if not wrong:
            return released["digest"]
        if _inode(path) == before:
            raise PartialVersionError(f"{path}: {wrong}")


def _inode(path: Path) -> int | None:
    with contextlib.suppress(FileNotFoundError):
        return path.stat().st_ino
    return None


def served(base: Path, options: Publish) -> dict[int | None, str]:
    """Returns version to digest, of what a server sees; where the base path is the SavedModel, its version is None."""
    while True:
        if options.version is None:
            found = {}
            with contextlib.suppress(FileNotFoundError):
                found = {None: digest(base)} if any(base.iterdir()) else {}
        else:
            found = {number: digest(path) for number, path in versions(base).items()}
        if (
            None not in found.values()
        ):  # else one is gone that was listed: another may have come before it went
            return found
