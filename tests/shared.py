"""What is dear to make is made once, for all processes that run tests."""

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import pytest


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """Returns a directory that `make` fills, and that no test may change: copy it.

    Args:
        factory: Of the test run.
        name: Of the directory. The process that asks first makes it; the others wait for it.
        make: Fills an empty directory.
    """
    base = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent  # each worker has a directory of its own there
    directory = base / name
    with (base / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not directory.exists():
            unfinished = base / f"{name}.unfinished"
            unfinished.mkdir()
            make(unfinished)
            unfinished.rename(directory)
    return directory
