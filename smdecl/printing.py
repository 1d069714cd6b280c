"""Makes texts that others may have written fit to be printed: names in a SavedModel, a manifest or a directory."""

from __future__ import annotations

import json
import re

_LONGEST_LINE = 20_000  # characters; a function of many arguments has thousands
_LONGEST_WORD = 500
_ENDLESS = re.compile(r"\S{2000,}")  # an override is cut at half of that
_LONGEST_VALUE = 80
_BEYOND_ASCII = re.compile(r"[^\x00-\x7e]")


def printable(text: str) -> str:
    """Returns a text in which nothing ends a line, or speaks to a terminal: others may have written the names in it."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def as_line(text: str) -> str:
    """Returns a text as a line to print: printable, names and all of it cut where they are endless."""
    cut = _ENDLESS.sub(_cut, text[:_LONGEST_LINE])
    left = len(text) - _LONGEST_LINE
    return printable(cut) + (f"... ({left} more characters)" if left > 0 else "")


def _cut(found: re.Match[str]) -> str:
    word = found[0]
    return f"{word[:_LONGEST_WORD]}...({len(word)} characters)"


def abbreviated(value: object) -> str:
    """Returns a config value as JSON, cut to 80 characters."""
    return _cut_value(json.dumps(value, default=str, ensure_ascii=False))


def quoted(value: object) -> str:
    """Returns a config value in single quotes if it is a string, else as JSON; cut to 80 characters."""
    return _cut_value(repr(value)) if isinstance(value, str) else abbreviated(value)


def _cut_value(text: str) -> str:
    if len(text) <= _LONGEST_VALUE:
        return text
    return f"{text[: _LONGEST_VALUE - 3]}..."


def as_json(record: object) -> str:
    """Returns a record as JSON in which nothing speaks to a terminal."""
    text = json.dumps(record, indent=2, ensure_ascii=False) + "\n"
    return _BEYOND_ASCII.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    return found[0] if found[0].isprintable() else json.dumps(found[0])[1:-1]
