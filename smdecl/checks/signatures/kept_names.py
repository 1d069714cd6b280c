"""Predicts which names of inputs TensorFlow keeps, and which it rewrites."""

from __future__ import annotations

import itertools
import keyword
import re
from collections.abc import Mapping

# The names that TensorFlow keeps. It rewrites others, or fails on them with a misleading message.
_KEPT_NAME = re.compile(r"[A-Za-z0-9.][A-Za-z0-9_.\\/>-]*")
_REPLACED = re.compile(r"[^A-Za-z0-9_.\\/>-]")


def sanitized(name: str) -> str:
    """Returns the form of a name by which TensorFlow tells inputs apart."""
    return re.sub(r"[^a-z0-9_]", "_", name.lower())


def refuse(name: str, seen: Mapping[str, str]) -> str | None:
    """Returns why TensorFlow would not keep the name of an input; None if it keeps it.

    Args:
        name: The name.
        seen: The names of the inputs before it, by their sanitized form.
    """
    hint = f"set a different name, such as name: {similar(name, seen)}"
    renamed = f"{name}_1"
    if name in seen.values():
        found = f"{name!r} is taken by another input"
        return f"{found}; TensorFlow would rename one to {renamed!r}; {hint}"
    other = seen.get(sanitized(name))
    if other is not None:
        found = f"TensorFlow treats {name!r} and {other!r} as equal"
        return f"{found}, and would rename one to {renamed!r}; {hint}"
    if _is_reserved(name):
        return f"{name!r} is reserved by Python; {hint}"
    if not _KEPT_NAME.fullmatch(name):
        became = _REPLACED.sub("_", name).lstrip("_\\/>-") or "unknown"
        expected = "expected letters, digits and _ . - / after a first letter or digit"
        return f"TensorFlow would rename {name!r} to {became!r}; {expected}; {hint}"
    return None


def similar(name: str, seen: Mapping[str, str]) -> str:
    """Returns a similar name that TensorFlow keeps.

    Args:
        name: The name of an input.
        seen: The names of other inputs, by their sanitized form.
    """
    base = (
        re.sub("__+", "_", _REPLACED.sub("_", name)).strip("_\\/>-") or "input"
    )
    if _is_reserved(base):
        base = f"{base}_"
    candidate = base
    for number in itertools.count(2):
        if sanitized(candidate) not in seen:
            break
        candidate = f"{base.rstrip('_')}_{number}"
    return candidate


def _is_reserved(name: str) -> bool:
    return name == "self" or keyword.iskeyword(name)
