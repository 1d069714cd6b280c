"""Checks that a config consists of values that JSON can hold, before any other check."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from smdecl.checks.types import Problems
from smdecl.config.bounded_yaml import DEEPEST, MOST_DIGITS
from smdecl.config.types import Values
from smdecl.errors import KeyPath, Problem

_MOST_BITS = 14_284  # of an integer with MOST_DIGITS digits
_PLAIN = (str, int, float, type(None), list, dict)


def check(values: Values) -> Problems:
    """Yields keys and values that JSON cannot hold, and the first nesting that is too deep."""
    pending: list[tuple[KeyPath, Any]] = [((), values)]
    while pending:
        path, holder = pending.pop()
        items = list(_items(holder))
        if items and len(path) >= DEEPEST:
            yield Problem(path[:3], f"is nested more than {DEEPEST} deep")
            return
        for key, value in items:
            if isinstance(holder, dict) and not isinstance(key, str):
                yield Problem((*path, str(key)), _wrong_key(key, value))
                continue
            place = (*path, key)
            reason = _refuse_value(place, value)
            if reason is None:
                pending.append((place, value))
            else:
                yield Problem(place, reason)


def _items(value: object) -> Iterable[tuple[Any, Any]]:
    if isinstance(value, dict):
        return value.items()
    return enumerate(value) if isinstance(value, list) else ()


def _wrong_key(key: object, value: object) -> str:
    message = f"expected a string as the key, got {type(key).__name__}; write it in quotes"
    # To YAML, the 4 in {shape: batch, 4} is a key without a value.
    hint = ", or write a list in brackets, such as [batch, 3]"
    return f"{message}{hint}" if value is None else message


def _refuse_value(place: KeyPath, value: object) -> str | None:
    """Returns why a config must not hold a value; None if it may."""
    if isinstance(value, int) and value.bit_length() > _MOST_BITS:
        return f"expected an integer of at most {MOST_DIGITS} digits"
    if isinstance(value, _PLAIN):
        return None
    if isinstance(value, bytes) and place[:2] == ("verify", "examples"):
        return "got !!binary; write it as {b64: TEXT}"
    return f"expected a string, number, list or mapping, got {type(value).__name__}"
