"""What each TensorFlow release knows of ops: the table that scripts/make_op_sets.py makes of the released wheels."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

_TABLE = Path(__file__).with_name("op_sets.json")


def releases() -> tuple[str, ...]:
    """Returns the minor releases of TensorFlow in the table, such as 2.15; the oldest first."""
    return tuple(_table()["releases"])


def has(op: str) -> bool:
    """Returns whether any release in the table has an op."""
    return op in _table()["ops"]


def lacks(release: str, op: str, attributes: frozenset[str]) -> str | None:
    """Says what of an op and the attributes that it is given a release does not know; None where it knows all.

    The default-valued attributes of a saved node are stripped, so that those it has are those it needs.
    """
    spans = _table()["ops"].get(op)
    if spans is None or not _has(spans[""], release):
        return f"{op}, which {_told(spans and spans[''])}"
    for attribute in sorted(attributes):
        if not _has(spans.get(attribute), release):
            return f"{op}'s attribute {attribute}, which {_told(spans.get(attribute))}"
    return None


def _told(span: Any) -> str:
    if span is None:
        return "no release has"
    first, last = span
    return (
        f"is there from {first} on"
        if last is None
        else f"is there from {first} to {last}"
    )


def _has(span: Any, release: str) -> bool:
    if span is None:
        return False
    known = releases()
    first, last = span
    return known.index(first) <= known.index(release) <= known.index(last or known[-1])


@functools.cache
def _table() -> Any:
    return json.loads(_TABLE.read_text(encoding="utf-8"))
