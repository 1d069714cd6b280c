"""A seccomp filter: denies system calls that Landlock does not cover.

These are sockets, the mode, owner, times and extended attributes of files, System V
shared memory and queues, keys, and typing into the terminal.
"""

from __future__ import annotations

import ctypes
import errno
import platform
from dataclasses import dataclass
from typing import TypeAlias

from smdecl.isolation import kernel

# An instruction of classic BPF: its code, the jumps if true and if false, and its operand.
_Line: TypeAlias = tuple[int, int, int, int]

_FILTER_MODE = 2
# Codes of classic BPF.
_LOAD = 0x20
_IF_EQUAL = 0x15
_IF_AT_LEAST = 0x35
_AND = 0x54
_RETURN = 0x06
# Offsets in the description of a call. Of arguments, the kernel reads the lower half.
_NUMBER = 0
_ARCHITECTURE = 4
_FIRST_ARGUMENT = 16
_SECOND_ARGUMENT = 24
_ALLOW: _Line = (_RETURN, 0, 0, 0x7FFF0000)
_DENY: _Line = (_RETURN, 0, 0, 0x00050000 | errno.EACCES)


@dataclass(frozen=True)
class _Machine:
    """Numbers that differ between architectures.

    Attributes:
        audit: The architecture's number in the kernel's audit.
        ioctl: The number of the system call ioctl.
        socket: The number of the system call socket.
        socketpair: The number of the system call socketpair.
        denied: Numbers of the system calls to deny.
    """

    audit: int
    ioctl: int
    socket: int
    socketpair: int
    denied: tuple[int, ...]


# On every architecture: io_uring_setup, whose sockets no filter sees, and fchmodat2.
_EVERYWHERE = (425, 452)
_MACHINES = {
    "x86_64": _Machine(0xC000003E, 16, 41, 53, (
        42,  # connect
        109, 112,  # setpgid, setsid: a process that left the group would outlive its end
        90, 91, 92, 93, 94, 260, 268,  # chmod, fchmod, chown, fchown, lchown, fchownat, fchmodat
        132, 235, 261, 280,  # utime, utimes, futimesat, utimensat
        188, 189, 190, 197, 198, 199,  # setxattr, lsetxattr, fsetxattr, and those that remove
        29, 30, 64, 68,  # shmget, shmat, semget, msgget
        141, 248, 249, 250,  # setpriority, add_key, request_key, keyctl
        *_EVERYWHERE,
    )),
    "aarch64": _Machine(0xC00000B7, 29, 198, 199, (
        203, 154, 157, 52, 53, 54, 55, 88, 5, 6, 7, 14, 15, 16, 194, 196, 190, 186, 140,
        217, 218, 219, *_EVERYWHERE,
    )),
}  # fmt: skip
_X32 = 0x40000000  # x86_64 has a second set of numbers from here on
# The ioctl requests TIOCSTI and TIOCLINUX.
_TYPE_INTO_TERMINAL = (0x5412, 0x541C)
# CUDA listens on a socket of this kind, and fails if it cannot.
_UNIX = 1
_PACKETS = 0x80005  # SOCK_SEQPACKET, closed when another program starts
# A socket of datagrams reaches others without being connected to them.
_KIND = 0xF
_DATAGRAMS = 2


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


def is_available() -> bool:
    """Returns whether there is a filter for this architecture."""
    return platform.machine() in _MACHINES


def apply_filter() -> None:
    """Makes the denied system calls fail with EACCES, in this thread and what it starts.

    Pairs of connected sockets stay allowed, except for datagrams, and so does listening on a local
    socket for packets.
    Does nothing on other architectures.

    Raises:
        OSError: If the kernel refuses.
    """
    machine = _MACHINES.get(platform.machine())
    if machine is None:
        return
    lines = _lines(machine)
    instructions = (_Instruction * len(lines))(
        *[_Instruction(*line) for line in lines]
    )
    program = ctypes.byref(_Program(len(lines), instructions))
    kernel.call("prctl", kernel.SET_SECCOMP, _FILTER_MODE, program, 0, 0)


def _lines(machine: _Machine) -> list[_Line]:
    lines = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_IF_EQUAL, 1, 0, machine.audit),
        _DENY,
        (_LOAD, 0, 0, _NUMBER),
        (_IF_AT_LEAST, 0, 1, _X32),
        _DENY,
    ]
    for number in machine.denied:
        lines += [(_IF_EQUAL, 0, 1, number), _DENY]
    lines += [
        (_IF_EQUAL, 0, 6, machine.socket),
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (_IF_EQUAL, 0, 3, _UNIX),
        (_LOAD, 0, 0, _SECOND_ARGUMENT),
        (_IF_EQUAL, 0, 1, _PACKETS),
        _ALLOW,
        _DENY,
    ]
    lines += [
        (_IF_EQUAL, 0, 5, machine.socketpair),
        (_LOAD, 0, 0, _SECOND_ARGUMENT),
        (_AND, 0, 0, _KIND),
        (_IF_EQUAL, 0, 1, _DATAGRAMS),
        _DENY,
        _ALLOW,
    ]
    lines += [(_IF_EQUAL, 1, 0, machine.ioctl), _ALLOW]
    lines.append((_LOAD, 0, 0, _SECOND_ARGUMENT))
    for request in _TYPE_INTO_TERMINAL:
        lines += [(_IF_EQUAL, 0, 1, request), _DENY]
    lines.append(_ALLOW)
    return lines
