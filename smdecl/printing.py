"""Prints untrusted texts, such as names in a SavedModel, without harm to the terminal."""

from __future__ import annotations

import json
import re

# Characters; a function with many arguments has thousands.
_LONGEST_LINE = 20_000
_LONGEST_WORD = 500
# Twice the length at which overrides are cut.
_ENDLESS = re.compile(r"\S{2000,}")
_LONGEST_VALUE = 80
_BEFORE_DIFFERENCE = 20  # characters that two cut values share
_BEYOND_ASCII = re.compile(r"[^\x00-\x7e]")


def printable(text: str) -> str:
    """Escapes line ends, control sequences and everything else that is not printable."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else ascii(char)[1:-1] for char in text
    )


def as_line(text: str) -> str:
    """Returns a text as one printable line; cuts it, and each word in it, if it is too long."""
    line = printable(_ENDLESS.sub(_cut, text[:_LONGEST_LINE]))
    left = len(text) - _LONGEST_LINE
    return f"{line}... ({left} more characters)" if left > 0 else line


def _cut(found: re.Match[str]) -> str:
    word = found[0]
    return f"{word[:_LONGEST_WORD]}...({len(word)} characters)"


def abbreviated(value: object) -> str:
    """Returns a config value as JSON, cut to 80 characters."""
    return _cut_value(json.dumps(value, default=str, ensure_ascii=False))


def abbreviated_pair(old: object, new: object) -> tuple[str, str]:
    """Returns two different config values as JSON, cut so that the texts differ."""
    texts = [
        json.dumps(value, default=str, ensure_ascii=False)
        for value in (old, new)
    ]
    was, now = map(_cut_value, texts)
    if was != now:
        return was, now
    start = _common_length(*texts) - _BEFORE_DIFFERENCE
    was, now = (f"...{_cut_value(text[start:])}" for text in texts)
    return was, now


def _common_length(one: str, other: str) -> int:
    """Returns how many characters two texts share at the beginning."""
    pairs = enumerate(zip(one, other, strict=False))
    shorter = min(len(one), len(other))
    return next((index for index, (a, b) in pairs if a != b), shorter)


def quoted(value: object) -> str:
    """Returns a config value, a string in quotes, else as JSON; cut to 80 characters."""
    return (
        _cut_value(repr(value))
        if isinstance(value, str)
        else abbreviated(value)
    )


def result_text(value: object, target: str) -> str:
    """Returns what a function returned, such as `an int from mynet.make`.

    Args:
        value: The unexpected result.
        target: The name of the function.
    """
    if value is None:
        return f"None from {target}; does it lack a return?"
    name = type(value).__name__
    article = "an" if name[0].lower() in "aeiou" else "a"
    return f"{article} {name} from {target}"


def _cut_value(text: str) -> str:
    if len(text) <= _LONGEST_VALUE:
        return text
    return f"{text[: _LONGEST_VALUE - 3]}..."


def as_json(record: object) -> str:
    """Returns a record as indented JSON; escapes what is not printable."""
    text = json.dumps(record, indent=2, ensure_ascii=False) + "\n"
    return _BEYOND_ASCII.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    return found[0] if found[0].isprintable() else json.dumps(found[0])[1:-1]
