"""Finds absolute paths of existing files in the attributes of nodes."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from smdecl.savedmodel.audit_subject import Subject, place
from smdecl.savedmodel.protos import NodeDef
from smdecl.savedmodel.records import Finding


def find(subject: Subject) -> Iterator[Finding]:
    """Yields each path of a node that exists on this machine."""
    for function, node in subject.nodes():
        for path in dict.fromkeys(path for text in _texts(node) for path in _paths(text)):
            message = f"names {path!r}, which other machines do not have"
            yield Finding("absolute_paths", place(function, node), message)


def _texts(node: NodeDef) -> Iterator[str]:
    for attribute in node.attr.values():
        values = [attribute.s, *attribute.list.s, *attribute.tensor.string_val]
        yield from (os.fsdecode(value) for value in values if value)


# Where a path can begin in a longer text: `hash_table_/data/vocab.txt_-2_-1`, but not `encoder/home` or `http://`.
_BEGIN = re.compile(r"(?<![A-Za-z0-9.:/])/(?=[^/\s])")


def _paths(text: str) -> Iterator[str]:
    end = 0
    for begin in _BEGIN.finditer(text):
        if begin.start() >= end and (path := _longest_path(text[begin.start() :])):
            end = begin.start() + len(path)
            yield path


def _longest_path(text: str) -> str | None:
    """Returns the existing path that a text begins with: the whole text, or a file that anything may follow."""
    directory = ""
    parts = text.split("/")[1:]
    for index, part in enumerate(parts):
        path = f"{directory}/{part}"
        if index + 1 == len(parts) and part and _exists(path):
            return path
        if not part or not _exists(path):
            ends = [match.start() for match in re.finditer(r"[^A-Za-z0-9]", part) if match.start()]
            return next((p for p in (f"{directory}/{part[:end]}" for end in reversed(ends)) if _is_file(p)), None)
        directory = path
    return directory if directory and _is_file(directory) else None


def _exists(path: str) -> bool:
    try:
        return Path(path).exists()
    except (OSError, ValueError):  # a name longer than names can be, a NUL byte, a directory of someone else's
        return False


def _is_file(path: str) -> bool:
    return _exists(path) and Path(path).is_file()
