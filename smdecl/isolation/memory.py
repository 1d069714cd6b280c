"""How much memory new processes may take without swapping."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_KIBIBYTE = 1024


@dataclass(frozen=True)
class _Names:
    """The names of the files of a memory control group.

    Attributes:
        limit: The most bytes that its processes may take together.
        usage: The bytes that they take, with cached files.
        cached: The key of the files that can be dropped, in memory.stat.
    """

    limit: str
    usage: str
    cached: str


# Version 2 of control groups has one tree, version 1 one tree for memory.
_NAMES: Mapping[str, _Names] = {
    "": _Names("memory.max", "memory.current", "inactive_file"),
    "memory": _Names(
        "memory.limit_in_bytes",
        "memory.usage_in_bytes",
        "total_inactive_file",
    ),
}


def available(root: Path = Path("/")) -> int:
    """Returns the bytes that are free or can be freed, within the limits of control groups.

    Args:
        root: The directory that has `proc` and `sys`.

    Returns:
        The bytes; `sys.maxsize` if the system does not say.
    """
    return min([_of_machine(root), *_of_groups(root)])


def _of_machine(root: Path) -> int:
    with suppress(OSError):
        text = (root / "proc/meminfo").read_text()
        for line in text.splitlines():
            name, _, value = line.partition(":")
            if name == "MemAvailable":
                kibibytes, _unit = value.split()
                return int(kibibytes) * _KIBIBYTE
    return sys.maxsize


def _of_groups(root: Path) -> Iterator[int]:
    """Yields the bytes that each group around this process leaves."""
    text = ""
    with suppress(OSError):
        text = (root / "proc/self/cgroup").read_text()
    for line in text.splitlines():
        _, controllers, path = line.split(":", 2)
        names = _NAMES.get(controllers)
        if names is None:
            continue
        top = root / "sys/fs/cgroup" / controllers
        # A container sees its own group as the top, but may be told its path outside.
        group = top / path.strip("/")
        for directory in (group, *group.parents):
            # A group without a limit has no such file, or a text for it.
            with suppress(OSError, ValueError, KeyError):
                yield _left(directory, names)
            if directory == top:
                break


def _left(group: Path, names: _Names) -> int:
    limit = int((group / names.limit).read_text())
    usage = int((group / names.usage).read_text())
    statistics = {}
    for line in (group / "memory.stat").read_text().splitlines():
        key, _, value = line.partition(" ")
        statistics[key] = value
    return limit - usage + int(statistics[names.cached])
