"""The ops of each TensorFlow release, from a table that scripts/make_op_sets.py writes."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import TypeAlias, TypedDict

_TABLE = Path(__file__).with_name("op_sets.json")
_OP = ""  # the key of an op's own span among those of its attributes

_Span: TypeAlias = tuple[str, str | None]
"""The first and the last release with an op or attribute; None if the newest release has it."""


class _Table(TypedDict):
    """The content of the table: all releases, and op to attribute to span."""

    releases: list[str]
    ops: dict[str, dict[str, _Span]]


def releases() -> tuple[str, ...]:
    """Returns the minor releases of TensorFlow in the table, such as 2.15, oldest first."""
    return tuple(_table()["releases"])


def has(op: str) -> bool:
    """Returns whether any release in the table has an op."""
    return op in _table()["ops"]


def lacks(release: str, op: str, attributes: frozenset[str]) -> str | None:
    """Returns what a release lacks to run a node, for an error.

    A saved node has no default-valued attributes, so it needs all that it has.

    Args:
        release: A release in the table.
        op: The op of the node.
        attributes: The attributes of the node.

    Returns:
        The op or attribute, and the releases that have it; None if the release has all.
    """
    spans = _table()["ops"].get(op, {})
    if not _has(spans.get(_OP), release):
        return f"{op}, which {_existence(spans.get(_OP))}"
    for attribute in sorted(attributes):
        span = spans.get(attribute)
        if not _has(span, release):
            return f"{op}'s attribute {attribute}, which {_existence(span)}"
    return None


def _existence(span: _Span | None) -> str:
    if span is None:
        return "no release has"
    first, last = span
    if last is None:
        return f"exists since {first}"
    return f"exists from {first} to {last}"


def _has(span: _Span | None, release: str) -> bool:
    if span is None:
        return False
    known = releases()
    first, last = span
    return (
        known.index(first)
        <= known.index(release)
        <= known.index(last or known[-1])
    )


@functools.cache
def _table() -> _Table:
    table: _Table = json.loads(_TABLE.read_text(encoding="utf-8"))
    return table
