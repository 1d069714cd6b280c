"""Records what varies between exports outside of the release: time, host, duration, memory."""

from __future__ import annotations

import errno
import getpass
import json
import os
import platform
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path

from smdecl import schema
from smdecl.errors import Problem, PublishError
from smdecl.files import open_regular
from smdecl.progress import Peak

_KEY = ("publish", "run_record")
_LONGEST = 1 << 16  # bytes of a line


def require_ours(path: Path) -> None:
    """Raises if a file exists that does not contain run records.

    A config may append to no other file.

    Raises:
        PublishError: If the file contains anything else, or cannot be read.
    """
    try:
        with open_regular(path) as file:
            first_line = file.readline(_LONGEST)
    except FileNotFoundError:
        return
    except OSError as error:
        reason = f"cannot append to {str(path)!r}: {error.strerror}"
        raise PublishError(Problem(_KEY, reason)) from error
    if first_line and not _is_record(first_line):
        expected = "expected a new file or a file of run records"
        reason = f"{str(path)!r} contains no run records; {expected}"
        raise PublishError(Problem(_KEY, reason))


def _is_record(line: bytes) -> bool:
    try:
        return schema.fits("run_record", json.loads(line))
    except (ValueError, RecursionError):
        return False


def append(
    path: Path,
    published: Mapping[str, object],
    seconds: Mapping[str, float],
    peak: Peak,
) -> None:
    """Appends a line of JSON (schema: run_record) to a file, which is created if needed.

    Args:
        path: Path of the file.
        published: Name, release, version and digest.
        seconds: Stage to its duration in seconds.
        peak: The memory of the largest process.

    Raises:
        OSError: If the file cannot be written.
    """
    record = {
        **published,
        "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "host": platform.node(),
        "user": _user(),
        "platform": platform.platform(),
        "cpus": len(os.sched_getaffinity(0)),
        "seconds": {
            stage: round(value, 3) for stage, value in seconds.items()
        },
        "peak_memory": peak.memory,
        "peak_process": peak.process,
    }
    schema.require("run_record", record)
    path.parent.mkdir(parents=True, exist_ok=True)
    line = json.dumps(record, sort_keys=True) + "\n"
    _append_at_once(path, line.encode())


def _append_at_once(path: Path, line: bytes) -> None:
    """Appends a line in one write, so that lines of concurrent exports do not mix."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NONBLOCK
    descriptor = os.open(path, flags, 0o666)
    try:
        if os.write(descriptor, line) != len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    finally:
        os.close(descriptor)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # users in a container often have no name
        return str(os.getuid())
