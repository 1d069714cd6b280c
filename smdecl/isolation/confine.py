"""Confines a process by the kernel, whatever code comes to run in it.

Landlock (Linux 5.13 and later) limits the files that it reads and writes, the TCP connections that it makes and the
signals that it sends. A seccomp filter takes away what Landlock does not judge: sockets of any kind, the rights, owners
and times of files, memory that processes share by a number, and typing into the terminal. Neither needs privileges, and
neither can be undone. Both hold for the calling thread and for what it starts, so a process confines itself before it
starts others.

See https://docs.kernel.org/userspace-api/landlock.html for the names and numbers.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import stat
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smdecl import resources

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = (
    444,
    445,
    446,
)  # system calls, on every architecture
_VERSION_FLAG = 1
_PATH_BENEATH = 1
_SET_NO_NEW_PRIVILEGES, _SET_SECCOMP, _FILTER_MODE = 38, 22, 2  # of prctl

# Rights to files, and the ABI version that brought them.
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_MAKE_CHARACTER_DEVICE, _MAKE_BLOCK_DEVICE = 1 << 6, 1 << 11
_ALL_OF_ABI_1 = (1 << 13) - 1
_REFER, _TRUNCATE, _IOCTL_DEVICE = 1 << 13, 1 << 14, 1 << 15
_LATER = ((2, _REFER), (3, _TRUNCATE), (5, _IOCTL_DEVICE))
_TCP, _SIGNALS_AND_ABSTRACT_SOCKETS = 0b11, 0b11
_TCP_SINCE, _SCOPES_SINCE, _MOVES_SINCE = 4, 6, 2

_READS = _EXECUTE | _READ_FILE | _READ_DIR
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEVICE

_SYSTEM = (
    "/usr", "/lib", "/lib32", "/lib64", "/etc/ld.so.cache", "/etc/localtime", "/sys",
    "/dev/null", "/dev/zero", "/dev/random", "/dev/urandom",
    # Of /proc what speaks of the machine and of this process: a superuser could read the environment of others there.
    "/proc/self", "/proc/cpuinfo", "/proc/devices", "/proc/driver", "/proc/filesystems", "/proc/loadavg",
    "/proc/meminfo", "/proc/stat", "/proc/sys", "/proc/uptime", "/proc/version",
)  # fmt: skip
_DEVICES = ("null", "nvidia")  # in /dev; written to as well


@dataclass(frozen=True)
class _Machine:
    """Numbers of a machine: in the kernel's audit, of ioctl, and of the system calls that are refused."""

    audit: int
    ioctl: int
    refused: tuple[int, ...]


# On every machine: io_uring_setup, which makes sockets that no filter sees, and fchmodat2.
_EVERYWHERE = (425, 452)
_MACHINES = {
    "x86_64": _Machine(0xC000003E, 16, (
        41,  # socket
        109, 112,  # setpgid, setsid: a process that left the group would outlive its end
        90, 91, 92, 93, 94, 260, 268,  # chmod, fchmod, chown, fchown, lchown, fchownat, fchmodat
        132, 235, 261, 280,  # utime, utimes, futimesat, utimensat
        188, 189, 190, 197, 198, 199,  # setxattr, lsetxattr, fsetxattr, and those that remove
        29, 30, 64, 68,  # shmget, shmat, semget, msgget
        141, 248, 249, 250,  # setpriority, add_key, request_key, keyctl
        *_EVERYWHERE,
    )),
    "aarch64": _Machine(0xC00000B7, 29, (
        198, 154, 157, 52, 53, 54, 55, 88, 5, 6, 7, 14, 15, 16, 194, 196, 190, 186, 140, 217, 218, 219, *_EVERYWHERE,
    )),
}  # fmt: skip
_X32 = 0x40000000  # x86_64 has a second set of numbers from here
# Requests of ioctl that type into the terminal that standard error is.
_TYPES = (0x5412, 0x541C)  # TIOCSTI, TIOCLINUX


@dataclass(frozen=True)
class Confinement:
    """What a process may touch beside Python, the system's libraries and its own TMPDIR.

    Attributes:
        reads: Files and directories that it may read.
        writes: Directories that it may read and write.
        lists: Directories whose names it may see; TensorFlow looks for a checkpoint by them.
        extension: How a project lets it read more files, for errors; empty if it cannot.
        environment: Names of environment variables that it gets beside those of `environment.reduced`.
    """

    reads: tuple[Path, ...] = ()
    writes: tuple[Path, ...] = ()
    lists: tuple[Path, ...] = ()
    extension: str = ""
    environment: frozenset[str] = frozenset()


def abi() -> int:
    """Returns the version of Landlock's interface in this kernel; 0 if there is none."""
    if sys.platform != "linux":
        return 0
    return max(
        0,
        int(_libc().syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _VERSION_FLAG)),
    )


def describe() -> str:
    """Says in one line what the kernel can confine here."""
    version = abi()
    if version == 0:
        return "confinement: none; this kernel has no Landlock (Linux 5.13 and later have it)"
    lacks = [
        name
        for name, since in (("TCP", _TCP_SINCE), ("signals", _SCOPES_SINCE))
        if version < since
    ]
    without = f", without {' and '.join(lacks)}" if lacks else ""
    filtered = (
        "" if platform.machine() in _MACHINES else ", without a filter for sockets"
    )
    return f"confinement: Landlock ABI {version}{without}{filtered}"


def confine(confinement: Confinement, scratch: Path) -> bool:
    """Confines the calling thread, and every thread and process that it starts from now on.

    Args:
        confinement: What it may touch.
        scratch: Its TMPDIR, which it may write.

    Returns:
        Whether it is confined; False if the kernel cannot do it.

    Raises:
        OSError: If the kernel refuses what it says it can do.
    """
    version = abi()
    if version == 0 or (confinement.writes and version < _MOVES_SINCE):
        return False  # before ABI 2 no file moves between directories, as TensorFlow moves its variables
    handled = _ALL_OF_ABI_1
    for since, right in _LATER:
        handled |= right if version >= since else 0
    ruleset = _create_ruleset(version, handled)
    try:
        for place in _readable(confinement.reads):
            _allow(ruleset, place, _READS & handled)
        for directory in confinement.lists:
            _allow(ruleset, directory, _READ_DIR)
        for device in _devices():
            _allow(
                ruleset, device, (_READ_FILE | _WRITE_FILE | _IOCTL_DEVICE) & handled
            )
        writes = handled & ~(_MAKE_CHARACTER_DEVICE | _MAKE_BLOCK_DEVICE)
        for directory in (*confinement.writes, scratch):
            _allow(ruleset, directory, writes)
        _call("prctl", _SET_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
        _call("syscall", _RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)
    _filter_calls()
    return True


def _readable(reads: Iterable[Path]) -> list[Path]:
    """Returns what may be read, without what lies in another of the places."""
    libraries = [
        Path(place)
        for place in os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep)
        if place
    ]
    own = [resources.conf_dir(), resources.schema_dir(), resources.start_dir()]
    places = [*map(Path, _SYSTEM), *_python(), *libraries, *own, *reads]
    real = {Path(os.path.realpath(place)) for place in places}
    return [place for place in sorted(real) if real.isdisjoint(place.parents)]


def _python() -> Iterator[Path]:
    """Yields the places of Python, of installed packages, and of the packages that are imported by now."""
    prefixes = {sys.prefix, sys.base_prefix, sys.exec_prefix}
    site = {
        place
        for place in sys.path
        if place.endswith(("site-packages", "dist-packages"))
    }
    yield from map(Path, prefixes | site)
    known = tuple(f"{place}{os.sep}" for place in prefixes | site)
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file is not None and "." not in name and not file.startswith(known):
            yield Path(file).parent if Path(file).stem == "__init__" else Path(file)


def _devices() -> Iterator[Path]:
    with suppress(OSError):
        yield from (
            place for place in Path("/dev").iterdir() if place.name.startswith(_DEVICES)
        )


def _create_ruleset(version: int, handled: int) -> int:
    fields = [handled]
    if version >= _TCP_SINCE:
        fields.append(_TCP)
    if version >= _SCOPES_SINCE:
        fields.append(_SIGNALS_AND_ABSTRACT_SOCKETS)
    attribute = (ctypes.c_uint64 * len(fields))(*fields)
    size = ctypes.c_size_t(ctypes.sizeof(attribute))
    return _call("syscall", _CREATE_RULESET, ctypes.byref(attribute), size, 0)


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


def _allow(ruleset: int, place: Path, rights: int) -> None:
    try:
        descriptor = os.open(place, os.O_PATH | os.O_CLOEXEC)
    except OSError:  # what is not there needs no right
        return
    try:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            rights &= _OF_FILES
        rule = _PathBeneath(rights, descriptor)
        _call("syscall", _ADD_RULE, ruleset, _PATH_BENEATH, ctypes.byref(rule), 0)
    finally:
        os.close(descriptor)


class _Instruction(ctypes.Structure):
    _fields_ = (
        ("code", ctypes.c_uint16),
        ("if_true", ctypes.c_uint8),
        ("if_false", ctypes.c_uint8),
        ("operand", ctypes.c_uint32),
    )


class _Program(ctypes.Structure):
    _fields_ = (
        ("length", ctypes.c_uint16),
        ("instructions", ctypes.POINTER(_Instruction)),
    )


_LOAD, _IF_EQUAL, _IF_AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06  # of classic BPF
# Offsets in what the filter is shown of a call; of the second argument the lower half, which is what ioctl reads.
_NUMBER, _ARCHITECTURE, _SECOND_ARGUMENT = 0, 4, 24
_ALLOWED, _REFUSED = 0x7FFF0000, 0x00050000 | errno.EACCES


def _filter_calls() -> None:
    """Makes system calls that Landlock does not judge fail with EACCES: sockets, the rights and times of files, ...

    Pairs of connected sockets are still to be had.
    """
    machine = _MACHINES.get(platform.machine())
    if machine is None:
        return
    allow, refuse = (_RETURN, 0, 0, _ALLOWED), (_RETURN, 0, 0, _REFUSED)
    lines = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_IF_EQUAL, 1, 0, machine.audit),
        refuse,
        (_LOAD, 0, 0, _NUMBER),
    ]
    lines += [(_IF_AT_LEAST, 0, 1, _X32), refuse]
    for number in machine.refused:
        lines += [(_IF_EQUAL, 0, 1, number), refuse]
    lines += [(_IF_EQUAL, 1, 0, machine.ioctl), allow, (_LOAD, 0, 0, _SECOND_ARGUMENT)]
    for request in _TYPES:
        lines += [(_IF_EQUAL, 0, 1, request), refuse]
    lines.append(allow)
    instructions = (_Instruction * len(lines))(*[_Instruction(*line) for line in lines])
    program = _Program(len(lines), instructions)
    _call("prctl", _SET_SECCOMP, _FILTER_MODE, ctypes.byref(program), 0, 0)


def _call(name: str, *arguments: Any) -> int:
    result = int(getattr(_libc(), name)(*arguments))
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"the process cannot be confined: {os.strerror(number)}")
    return result


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
