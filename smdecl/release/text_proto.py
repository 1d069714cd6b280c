"""Finds the fields of a text proto in its text, so that one can be changed and all else kept.

The text has to be one that `google.protobuf.text_format` parses; that says what is wrong with any other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""
    \s+ | \#[^\n]*
    | (?P<string> "(?:[^"\\]|\\.)*" | '(?:[^'\\]|\\.)*' )
    | (?P<mark> [{}<>\[\]:;,] )
    | (?P<word> [^\s{}<>\[\]:;,"'#]+ )
    """,
    re.VERBOSE | re.DOTALL,
)
_OPENING = ("{", "<")


@dataclass(frozen=True)
class Field:
    """A field of a message, by its places in the text.

    Attributes:
        name: As it is written; a list has a field for each element.
        start: Where the name begins.
        begin: Where the value begins, with the bracket of a message.
        end: The place after the value.
        fields: What a message holds; None if the value is no message.
    """

    name: str
    start: int
    begin: int
    end: int
    fields: tuple[Field, ...] | None = None


def fields(text: str) -> tuple[Field, ...]:
    """Returns the fields of the whole message, in their order."""
    return tuple(_Reader(text).message())


class _Reader:
    def __init__(self, text: str) -> None:
        self._tokens = [
            token for token in _TOKEN.finditer(text) if token.lastgroup is not None
        ]
        self._next = 0

    def message(self) -> Iterator[Field]:
        """Yields the fields up to a closing bracket, or the end."""
        while self._text() not in ("", "}", ">"):
            name = self._take()
            start, label = name.start(), name[0]
            if label == "[":  # the name of an extension, or of the type of an Any
                while self._text() != "]":
                    label += self._take()[0]
                label += self._take()[0]
            if self._text() == ":":
                self._take()
            yield from self._values(label, start)
            if self._text() in (",", ";"):
                self._take()

    def _values(self, name: str, start: int) -> Iterator[Field]:
        if self._text() != "[":
            yield self._value(name, start)
            return
        self._take()
        while self._text() != "]":
            yield self._value(name, start)
            if self._text() == ",":
                self._take()
        self._take()

    def _value(self, name: str, start: int) -> Field:
        first = last = self._take()
        if first[0] in _OPENING:
            inner = tuple(self.message())
            return Field(name, start, first.start(), self._take().end(), inner)
        while (
            first.lastgroup == "string" == self._kind()
        ):  # strings beside each other are one
            last = self._take()
        return Field(name, start, first.start(), last.end())

    def _text(self) -> str:
        return self._tokens[self._next][0] if self._next < len(self._tokens) else ""

    def _kind(self) -> str | None:
        return (
            self._tokens[self._next].lastgroup
            if self._next < len(self._tokens)
            else None
        )

    def _take(self) -> re.Match[str]:
        token = self._tokens[self._next]
        self._next += 1
        return token
