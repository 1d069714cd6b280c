"""Finds absolute paths of existing files in the attributes of nodes."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator

from smdecl.savedmodel.audits.audit_subject import Subject, place
from smdecl.savedmodel.protos import NodeDef
from smdecl.savedmodel.records import Finding

_LONGEST_PATH = 4096  # bytes, on Linux
_LONGEST_NAME = 255
# Where a path can begin in a longer text: in `hash_table_/data/vocab.txt_-2_-1`, but not in
# `encoder/home` or `http://`.
_BEGIN = rb"(?<![A-Za-z0-9.:/])/(?=[^/\s])"
_END = re.compile(rb"[^A-Za-z0-9]")


def find(subject: Subject) -> Iterator[Finding]:
    """Yields a finding for each path in a node's attributes that exists on this machine."""
    disk = _Disk()
    for function, node in subject.nodes():
        found: dict[bytes, None] = {}
        for text in _texts(node):
            found.update(dict.fromkeys(_paths(text, disk)))
        for path in found:
            message = f"names {os.fsdecode(path)!r}, which other machines lack"
            yield Finding("absolute_paths", place(function, node), message)


class _Disk:
    """The files on disk. Each path is looked up once.

    Attributes:
        begin: Matches where a path can begin: at a slash before a name in `/`. In a long constant,
            few slashes are followed by such a name.
    """

    def __init__(self) -> None:
        self._modes: dict[bytes, int] = {}
        try:
            names = b"|".join(map(re.escape, os.listdir(b"/")))  # noqa: PTH208 - in bytes
        except OSError:
            # The process may be allowed to look up paths, but not to list them.
            names = b""
        self.begin = re.compile(_BEGIN + b"(?=" + names + b")")

    def has(self, path: bytes) -> bool:
        return self._mode(path) != 0

    def has_file(self, path: bytes) -> bool:
        return stat.S_ISREG(self._mode(path))

    def _mode(self, path: bytes) -> int:
        """Returns the mode of the file at a path; 0 if there is none."""
        if path not in self._modes:
            self._modes[path] = _look_up(path)
        return self._modes[path]


def _look_up(path: bytes) -> int:
    try:
        return os.stat(path).st_mode  # noqa: PTH116 - of bytes
    except (OSError, ValueError):
        # A NUL byte, or a directory without permission.
        return 0


def _texts(node: NodeDef) -> Iterator[bytes]:
    for attribute in node.attr.values():
        yield attribute.s
        yield from attribute.list.s
        yield from attribute.tensor.string_val


def _paths(text: bytes, disk: _Disk) -> Iterator[bytes]:
    end = 0
    for begin in disk.begin.finditer(text):
        if begin.start() < end:
            continue
        path = _longest_path(text, begin.start(), disk)
        if path is not None:
            end = begin.start() + len(path)
            yield path


def _longest_path(text: bytes, begin: int, disk: _Disk) -> bytes | None:
    """Returns the longest existing path that begins at an index of a text.

    A directory must extend to the end of the text; after a file, other text may follow.
    """
    limit = min(len(text), begin + _LONGEST_PATH)
    slash = begin
    while True:
        end = text.find(b"/", slash + 1, limit)
        if end < 0:
            end = limit
        is_name = 0 < end - slash - 1 <= _LONGEST_NAME
        if not is_name or not disk.has(text[begin:end]):
            return (
                _longest_file(text, begin, slash, disk)
                if end > slash + 1
                else None
            )
        if end == limit:
            return text[begin:end] if end == len(text) else None
        slash = end


def _longest_file(
    text: bytes, begin: int, slash: int, disk: _Disk
) -> bytes | None:
    """Returns the longest path of a file whose name follows a slash and ends where a word ends."""
    name = text[slash + 1 : slash + 1 + _LONGEST_NAME + 1].partition(b"/")[0]
    ends = [match.start() for match in _END.finditer(name) if match.start()]
    paths = (text[begin : slash + 1 + end] for end in reversed(ends))
    return next((path for path in paths if disk.has_file(path)), None)
