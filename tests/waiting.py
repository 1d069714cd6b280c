"""Waits for what other processes do, however busy the machine is."""

import time
from collections.abc import Callable
from pathlib import Path


def wait_for(condition: Callable[[], object], seconds: float = 300.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def processes_with(marker: str) -> list[Path]:
    """Returns the places in /proc of the processes whose environment has a variable."""
    return [place for place in Path("/proc").glob("[0-9]*") if marker in _read(place / "environ")]


def imports_tensorflow(marker: str) -> bool:
    """Tells whether a process with the variable has loaded TensorFlow's library, which comes early in its import."""
    return any("libtensorflow" in _read(place / "maps") for place in processes_with(marker))


def is_gone(pid: str) -> bool:
    """Returns whether a process has ended, even if no process has waited for it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:  # it has ended in between, or is another user's
        return ""
