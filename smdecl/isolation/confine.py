"""Confines a process by the kernel, whatever code runs in it later.

Landlock (Linux 5.13 and later) limits files, TCP connections and signals, and a seccomp
filter denies what Landlock does not cover. Neither needs privileges, and neither can be
undone. Both apply to the calling thread and to what it starts, so a process confines itself
before it starts threads or processes.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from smdecl import installed, resources
from smdecl.isolation import landlock, preloaded, seccomp

_SYSTEM = (
    "/usr", "/lib", "/lib32", "/lib64", "/etc/ld.so.cache", "/etc/localtime", "/sys",
    "/dev/null", "/dev/zero", "/dev/random", "/dev/urandom",
    # The parts of /proc about the machine. A superuser could read the environment of other
    # processes there.
    "/proc/cpuinfo", "/proc/devices", "/proc/driver", "/proc/filesystems",
    "/proc/loadavg", "/proc/meminfo", "/proc/stat", "/proc/sys", "/proc/uptime",
    "/proc/version",
)  # fmt: skip
_OF_PROCESS = Path("/proc/self")
# CUDA names its threads here, and fails if it cannot.
_THREADS = _OF_PROCESS / "task"
_DEVICES = ("null", "nvidia")  # in /dev; written to as well


@dataclass(frozen=True)
class Confinement:
    """What a process may touch besides Python, the system's libraries and its TMPDIR.

    Attributes:
        reads: Files and directories that it may read.
        writes: Directories that it may read and write.
        lists: Directories whose names it may list, as TensorFlow does to find checkpoints.
        extension: How a project allows more files, for errors; empty if it cannot.
        environment: Names of variables that it gets in addition to those of
            `environment.reduced`.
    """

    reads: tuple[Path, ...] = ()
    writes: tuple[Path, ...] = ()
    lists: tuple[Path, ...] = ()
    extension: str = ""
    environment: frozenset[str] = frozenset()


def abi() -> int:
    """Returns the version of Landlock's interface in this kernel; 0 if there is none."""
    return landlock.abi()


def describe() -> str:
    """Returns a line about what this kernel can confine."""
    version = landlock.abi()
    if version == 0:
        return "confinement: none; this kernel has no Landlock (Linux 5.13 and later have it)"
    missing = []
    if version < landlock.TCP_SINCE:
        missing.append("TCP")
    if version < landlock.SCOPES_SINCE:
        missing.append("signals")
    text = f"confinement: Landlock ABI {version}"
    if missing:
        text += f", without {' and '.join(missing)}"
    if not seccomp.is_available():
        text += ", without a filter for sockets"
    return text


def confine(confinement: Confinement, scratch: Path) -> bool:
    """Confines the calling thread, and every thread and process that it starts from now on.

    Args:
        confinement: What it may touch.
        scratch: Its TMPDIR, which it may write.

    Returns:
        True if it is confined; False if the kernel cannot confine it.

    Raises:
        OSError: If the kernel fails although it has the feature.
    """
    version = landlock.abi()
    if version == 0:
        return False
    if confinement.writes and version < landlock.MOVES_SINCE:
        return False  # TensorFlow moves variables between directories
    with landlock.ruleset(version) as ruleset:
        for place in _readable(confinement.reads):
            ruleset.allow(place, landlock.READ)
        for directory in confinement.lists:
            ruleset.allow(directory, landlock.READ_DIRECTORY)
        for device in _devices():
            ruleset.allow(device, landlock.USE_DEVICE)
        for directory in (*confinement.writes, scratch):
            ruleset.allow(directory, landlock.WRITE)
        ruleset.allow(_THREADS, landlock.REPLACE)
        ruleset.enforce()
    seccomp.apply_filter()
    return True


def _readable(reads: Iterable[Path]) -> list[Path]:
    """Returns the readable places, without those inside other readable places."""
    places = [_OF_PROCESS, *_python(), *_libraries(), *reads]
    real = {*_fixed(), *_noted, *_real(places)}
    return [place for place in sorted(real) if real.isdisjoint(place.parents)]


@functools.cache
def _fixed() -> frozenset[Path]:
    """Returns the places that are the same in the server and in its forks."""
    own = [resources.conf_dir(), resources.schema_dir(), resources.start_dir()]
    return frozenset(_real([*map(Path, _SYSTEM), *own]))


def _real(places: Iterable[Path]) -> Iterator[Path]:
    for place in places:
        yield Path(os.path.realpath(place))


def _libraries() -> Iterator[Path]:
    for place in os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep):
        if place:
            yield Path(place)


def note_imports() -> None:
    """Notes the places of the packages imported so far; called once, in the server.

    They are readable for its forks, which need not look for them.
    """
    _noted.update(_real(_python()))
    _fixed()
    landlock.abi()  # binds the C library


_noted: set[Path] = set()


def _python() -> Iterator[Path]:
    """Yields the places of Python, of installed packages and of packages already imported."""
    prefixes = (sys.prefix, sys.base_prefix, sys.exec_prefix)
    places = {*prefixes, *installed.sites()}
    yield from map(Path, places)
    known = tuple(f"{place}{os.sep}" for place in places)
    for name in preloaded.later():
        file = getattr(sys.modules.get(name), "__file__", None)
        is_top_level = "." not in name
        # A relative name would be resolved in the current directory, which others may control.
        if file is None or not is_top_level or not file.startswith(os.sep):
            continue
        if not file.startswith(known):
            path = Path(file)
            yield path.parent if path.stem == "__init__" else path


def _devices() -> Iterator[Path]:
    with suppress(OSError):
        for device in Path("/dev").iterdir():
            if device.name.startswith(_DEVICES):
                yield device
