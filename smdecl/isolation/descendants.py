"""Lets no process outlive the function that starts it: a keeper kills all descendants.

`setsid` and two forks take a process out of its group and away from its parent. Linux
gives such an orphan to the nearest ancestor that asked for it (PR_SET_CHILD_SUBREAPER),
which is the keeper. Code that runs with the user's rights can still ask another program
for a process, such as a container engine or cron: those have no ancestor here.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import resource
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

_DIE_WITH_PARENT, _ADOPT_ORPHANS = 1, 36  # of prctl
_END = (signal.SIGTERM, signal.SIGHUP)
_AWAITED = {*_END, signal.SIGCHLD}


def fork_keeper() -> int:
    """Makes this process a keeper and forks the process that it keeps.

    Returns:
        0 in the kept process, which leads a group of its own. In the keeper, the id of
        the kept process; it calls `keep` next.
    """
    _prctl(_ADOPT_ORPHANS, 1)
    keeper = os.getpid()
    # What the keeper awaits has to be blocked before it can arrive. A process may have
    # inherited that it ignores the end of its children, which the kernel reaps then.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _AWAITED)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    kept = os.fork()
    if kept != 0:
        with suppress(OSError):  # the kept process has done it already, or has ended
            os.setpgid(kept, kept)
        return kept
    os.setpgid(0, 0)
    _prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    if (
        os.getppid() != keeper
    ):  # which was killed before this process could ask for that
        os._exit(1)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return 0


def keep(kept: int) -> NoReturn:
    """Waits for a process, kills all that it leaves behind, and ends as it did.

    SIGTERM and SIGHUP end the kept process, and so does the end of the process that
    asked for this one.

    Args:
        kept: From `fork_keeper`.
    """
    threading.Thread(target=_end_with_client, daemon=True).start()
    status = _await(kept)
    _kill_descendants()
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        resource.setrlimit(
            resource.RLIMIT_CORE, (0, 0)
        )  # the kept process has dumped its own
        _end_by(-code)
    os._exit(code)


def _await(kept: int) -> int:
    """Returns the status of the kept process."""
    while True:
        number = signal.sigwait(_AWAITED)
        if number in _END:
            os.killpg(
                kept, signal.SIGKILL
            )  # it is not reaped yet, so that the id is its own
        reaped, status = os.waitpid(kept, os.WNOHANG)
        if reaped:
            return status


def _end_with_client() -> None:
    client = multiprocessing.parent_process()
    if client is not None:
        client.join()
        os.kill(os.getpid(), signal.SIGTERM)


def _kill_descendants() -> None:
    """Kills and reaps all children, and those that are inherited by that."""
    while True:
        try:
            reaped, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if reaped:
            continue
        # Nobody else reaps these children, so that no id can be another process's by now.
        killed = [pid for pid in _children() if _kill(pid)]
        if not killed:  # they are another user's, as sudo makes them
            return
        os.waitpid(-1, 0)


def _kill(pid: int) -> bool:
    try:
        os.kill(pid, signal.SIGKILL)
    except PermissionError:
        return False
    return True


def _children() -> Iterator[int]:
    """Yields the ids of this process's children; none where there is no /proc."""
    own = str(os.getpid())
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended
            # The name of the program, which is in parentheses, may contain anything.
            _, parent, *_ = (
                (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
            )
            if parent == own:
                yield int(entry.name)


def _end_by(number: int) -> None:
    if number not in (signal.SIGKILL, signal.SIGSTOP):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
    os.kill(os.getpid(), number)
    os._exit(1)  # a signal that ends no process


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)
