"""Locates the fields of a text proto, so that one can be edited and the rest kept.

The text must be valid: parse it with `google.protobuf.text_format` first, which reports
what is wrong with it.
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
_CLOSING = ("}", ">")
_END = ""  # in place of a token after the last one


@dataclass(frozen=True)
class Field:
    """A field of a message, by its positions in the text.

    Attributes:
        name: The name as written; a list has a field for each element.
        start: Position of the name.
        begin: Position of the value, including a message's opening bracket.
        end: Position after the value.
        fields: The fields of a message; None if the value is not a message.
    """

    name: str
    start: int
    begin: int
    end: int
    fields: tuple[Field, ...] | None = None


def fields(text: str) -> tuple[Field, ...]:
    """Returns the fields of the whole message, in order."""
    return tuple(_Reader(text).message())


class _Reader:
    """Reads a text proto token by token."""

    def __init__(self, text: str) -> None:
        matches = _TOKEN.finditer(text)
        # Spaces and comments match no group.
        self._tokens = [
            token for token in matches if token.lastgroup is not None
        ]
        self._next = 0

    def message(self) -> Iterator[Field]:
        """Yields the fields up to a closing bracket or the end."""
        while self._peek() != _END and self._peek() not in _CLOSING:
            start = self._tokens[self._next].start()
            name = self._name()
            self._skip(":")
            yield from self._values(name, start)
            self._skip(",", ";")

    def _name(self) -> str:
        """Reads a field name; that of an extension or an `Any` type is in brackets."""
        name = self._take()[0]
        if name != "[":
            return name
        while not name.endswith("]"):
            name += self._take()[0]
        return name

    def _values(self, name: str, start: int) -> Iterator[Field]:
        """Yields a field for a value, or one for each element of a list."""
        if self._peek() != "[":
            yield self._value(name, start)
            return
        self._take()
        while self._peek() != "]":
            yield self._value(name, start)
            self._skip(",")
        self._take()

    def _value(self, name: str, start: int) -> Field:
        first = self._take()
        if first[0] in _OPENING:
            inner = tuple(self.message())
            end = self._take().end()
            return Field(name, start, first.start(), end, inner)
        last = first
        if first.lastgroup == "string":
            while self._is_string():  # adjacent strings form one value
                last = self._take()
        return Field(name, start, first.start(), last.end())

    def _peek(self) -> str:
        """Returns the text of the next token."""
        if self._next == len(self._tokens):
            return _END
        return self._tokens[self._next][0]

    def _is_string(self) -> bool:
        """Returns whether the next token is a string."""
        if self._next == len(self._tokens):
            return False
        return self._tokens[self._next].lastgroup == "string"

    def _take(self) -> re.Match[str]:
        token = self._tokens[self._next]
        self._next += 1
        return token

    def _skip(self, *marks: str) -> None:
        if self._peek() in marks:
            self._take()
