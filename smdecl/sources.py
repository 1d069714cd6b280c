"""Finds the lines of the user's code that made what the audit found."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from smdecl import usercode
from smdecl.records import Finding
from smdecl.tracing import Traced

_NUMBER = re.compile(r"_\d+$")


def locate(findings: Iterable[Finding], traced: Mapping[str, Traced]) -> tuple[Finding, ...]:
    """Returns the findings with the source of each node that a traced function, or one that it calls, still knows.

    TensorFlow saves several copies of a function; what is found in them all is told once.
    """
    first: dict[tuple[str, ...], Finding] = {}
    for finding in findings:
        first.setdefault((finding.rule, *_key(finding.where), finding.message), finding)
    if not first:
        return ()
    known: dict[tuple[str, str], Any] = {}
    for signature in traced.values():
        for function, operation in _operations(signature.function.name.decode(), signature.function.graph, set()):
            known.setdefault((function, operation.name), operation)
    return tuple(replace(finding, source=_source(known.get(_key(finding.where)))) for finding in first.values())


def _key(where: str) -> tuple[str, str]:
    function, slash, node = where.partition("/")
    return (_NUMBER.sub("", function), node) if slash else (where, "")


def _operations(name: str, graph: Any, seen: set[str]) -> Iterator[tuple[str, Any]]:
    """Yields every operation of a graph and of the functions that it calls, with the function's name.

    The names come without the numbers that TensorFlow puts behind them: it saves copies, which have others.
    """
    for operation in graph.get_operations():
        yield _NUMBER.sub("", name), operation
    for callee, function in graph._functions.items():
        if callee not in seen and getattr(function, "graph", None) is not None:
            seen.add(callee)
            yield from _operations(callee, function.graph, seen)


def _source(operation: Any) -> str | None:
    # What was imported as a GraphDef has no traceback.
    return None if operation is None or not operation.traceback else usercode.source_line(operation.traceback)
