"""Writes paths of objects as TensorFlow does in the keys of a checkpoint.

A key joins the local names on the way from the root with `/`. In a local name, `.` becomes `..` and
`/` becomes `.S`. Unlike a path for people, a key belongs to one object only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_ESCAPES = {"..": ".", ".S": "/"}
_ESCAPE = re.compile(r"\.\.|\.S")


def key_of(local_names: Iterable[str]) -> str:
    """Returns the key of the object that local names lead to."""
    return "/".join(map(escaped, local_names))


def local_names(key: str) -> list[str]:
    """Returns the local names that lead to the object of a key."""
    return [unescaped(part) for part in key.split("/")]


def path_of(key: str) -> str:
    """Returns the path to show for a key, which separates all parts by `/`."""
    return _ESCAPE.sub("/", key)


def escaped(local_name: str) -> str:
    """Returns a local name as it is in a key."""
    return local_name.replace(".", "..").replace("/", ".S")


def unescaped(part: str) -> str:
    """Returns a local name from a part of a key."""
    return _ESCAPE.sub(lambda found: _ESCAPES[found[0]], part)
