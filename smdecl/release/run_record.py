"""Writes down what varies from one run to the next, outside of the release: when, where, how long, how much memory."""

from __future__ import annotations

import errno
import getpass
import json
import os
import platform
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from smdecl import schema
from smdecl.errors import Problem, PublishError
from smdecl.files import open_regular

_LONGEST = 1 << 16  # bytes of a line


_KEY = ("publish", "run_record")


def require_ours(path: Path) -> None:
    """Raises where a file is there that is no file of run records: a config may add to no other.

    Raises:
        PublishError: With what is there.
    """
    try:
        with open_regular(path) as file:
            first = file.readline(_LONGEST)
    except FileNotFoundError:
        return
    except OSError as error:
        raise PublishError(
            Problem(_KEY, f"{str(path)!r} cannot be added to: {error.strerror}")
        ) from error
    try:
        ours = not first or not schema.problems("run_record", json.loads(first))
    except ValueError:
        ours = False
    if not ours:
        raise PublishError(
            Problem(
                _KEY,
                f"{str(path)!r} is no file of run records; takes one, or a new one",
            )
        )


def append(
    path: Path,
    published: Mapping[str, Any],
    seconds: Mapping[str, float],
    peak_memory: int,
) -> None:
    """Adds a line of JSON (schema: run_record) to a file, which is made where there is none.

    Args:
        path: Of the file.
        published: Name, release, version and digest.
        seconds: Stage to the seconds that it took.
        peak_memory: In bytes, of the process that built and saved.

    Raises:
        OSError: Where the file cannot be written.
    """
    record = {
        **published,
        "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "host": platform.node(),
        "user": _user(),
        "platform": platform.platform(),
        "cpus": len(os.sched_getaffinity(0)),
        "seconds": {stage: round(value, 3) for stage, value in seconds.items()},
        "peak_memory": peak_memory,
    }
    schema.require("run_record", record)
    path.parent.mkdir(parents=True, exist_ok=True)
    line = (json.dumps(record, sort_keys=True) + "\n").encode()
    # One write at the end of the file: lines of exports that run side by side do not mix.
    descriptor = os.open(
        path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NONBLOCK, 0o666
    )
    try:
        if os.write(descriptor, line) != len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    finally:
        os.close(descriptor)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # in a container, a number often is all there is
        return str(os.getuid())
