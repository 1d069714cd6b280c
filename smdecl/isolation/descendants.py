"""Kills all descendants of a function's process when the function ends.

`setsid` and two forks take a process out of its group and away from its parent. Linux
hands such an orphan to the nearest ancestor that asked for it (PR_SET_CHILD_SUBREAPER);
here that is the keeper, which kills it.

A function that starts no processes needs no keeper, which saves a fork.

Code with the user's rights can still ask a different program for a process, such as a
container engine or cron. Such processes have no ancestor here.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from smdecl.isolation import kernel

# Operations of prctl(2): PR_SET_PDEATHSIG and PR_SET_CHILD_SUBREAPER.
_DIE_WITH_PARENT = 1
_ADOPT_ORPHANS = 36
_KIBIBYTE = 1024
_END = (signal.SIGTERM, signal.SIGHUP)
_AWAITED = {*_END, signal.SIGCHLD}


def fork_keeper() -> int:
    """Makes this process a keeper, and forks the process that it keeps.

    Returns:
        0 in the kept process, which leads a new process group. In the keeper, the id of
        the kept process; call `keep` next.
    """
    _prctl(_ADOPT_ORPHANS, 1)
    keeper = os.getpid()
    # The keeper waits for these signals, so they must be blocked before they can arrive.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _AWAITED)
    # If SIGCHLD were ignored, which is inherited, the kernel would reap the children.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    kept = os.fork()
    if kept != 0:
        # The kept process has done it itself, or has ended.
        with suppress(OSError):
            os.setpgid(kept, kept)
        return kept
    os.setpgid(0, 0)
    _prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    if os.getppid() != keeper:  # the keeper ended before the previous line
        os._exit(1)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return 0


def do_without_keeper() -> None:
    """Has this process end with the process that forked it, and by the signals of `keep`."""
    _prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    for number in _END:  # they may be ignored or blocked, which is inherited
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _END)


def keep(kept: int, killed: Callable[[int], None]) -> NoReturn:
    """Waits for a process, kills what it leaves behind, and ends with the same status.

    The kept process is killed if this process gets SIGTERM or SIGHUP, or if the process that
    started this one ends.

    Args:
        kept: The process id that `fork_keeper` returned.
        killed: Called with the peak memory of the process, in bytes, if SIGKILL ends it.
    """
    threading.Thread(target=_end_with_client, daemon=True).start()
    status, peak = _await(kept)
    code = os.waitstatus_to_exitcode(status)
    if code == -signal.SIGKILL:
        killed(peak)
    _kill_descendants()
    if code < 0:
        # The kept process has dumped core already.
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        _end_by(-code)
    os._exit(code)


def _await(kept: int) -> tuple[int, int]:
    """Returns the exit status of the kept process, and its peak memory in bytes."""
    while True:
        number = signal.sigwait(_AWAITED)
        if number in _END:
            # The id is valid: the process is not reaped yet.
            os.killpg(kept, signal.SIGKILL)
        reaped, status, usage = os.wait4(kept, os.WNOHANG)
        if reaped:
            return status, usage.ru_maxrss * _KIBIBYTE


def _end_with_client() -> None:
    client = multiprocessing.parent_process()
    if client is not None:
        client.join()
        os.kill(os.getpid(), signal.SIGTERM)


def _kill_descendants() -> None:
    """Kills and reaps all children, including those inherited as their parents end."""
    while True:
        try:
            reaped, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if reaped:
            continue
        # Only this process reaps its children, so their ids cannot have been reused.
        killed = [pid for pid in _children() if _kill(pid)]
        if not killed:  # the rest belongs to other users, as with sudo
            return
        os.waitpid(-1, 0)


def _kill(pid: int) -> bool:
    try:
        os.kill(pid, signal.SIGKILL)
    except PermissionError:
        return False
    return True


def _children() -> Iterator[int]:
    """Yields the ids of this process's children; none without /proc."""
    own = str(os.getpid())
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended
            text = (entry / "stat").read_text(errors="replace")
            # The program's name is in parentheses, and may contain anything.
            _, _, after_name = text.rpartition(")")
            _state, parent, *_ = after_name.split()
            if parent == own:
                yield int(entry.name)


def _end_by(number: int) -> None:
    """Ends this process by a signal, so that its status is that of the kept process."""
    if number not in (signal.SIGKILL, signal.SIGSTOP):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
    os.kill(os.getpid(), number)
    os._exit(1)  # the signal does not end a process


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        kernel.libc().prctl(option, value, 0, 0, 0)
