"""Finds the lines and layers of the user's code that made what the audit found, and tells each cause once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from smdecl.exporting import keras_names, user_code
from smdecl.exporting.traced import Traced
from smdecl.savedmodel.records import Finding

_NUMBER = re.compile(r"_\d+$")
_PLACES = 5  # of others of a kind; all of them are still counted


def locate(
    findings: Iterable[Finding], traced: Mapping[str, Traced], obj: Any
) -> tuple[Finding, ...]:
    """Returns the findings with the source of each node that a traced function, or one that it calls, still knows.

    TensorFlow saves several copies of a function; what is found in them all counts once. Findings of one cause become
    the first of them, with the number of the others. Functions within the layers of Keras are left out: what they are
    for, and whether they are ever traced, is Keras's business.
    """
    first: dict[tuple[str, ...], Finding] = {}
    for finding in findings:
        first.setdefault((finding.rule, *_key(finding.where), finding.message), finding)
    own = [finding for finding in first.values() if not _is_of_keras(finding, obj)]
    if not own:
        return ()
    known: dict[tuple[str, str], Any] = {}
    for signature in traced.values():
        for function, operation in _operations(
            signature.function.name.decode(), signature.function.graph, set()
        ):
            known.setdefault((function, operation.name), operation)
    layers = keras_names.LayerNames(obj)
    located = [
        replace(
            finding,
            source=_source(known.get(_key(finding.where))),
            layer=layers.find(_key(finding.where)[1]),
        )
        for finding in own
    ]
    return tuple(_by_cause(located))


def _is_of_keras(finding: Finding, obj: Any) -> bool:
    return finding.rule == "untraced_functions" and keras_names.is_inner_function(
        obj, finding.where
    )


def _by_cause(findings: Iterable[Finding]) -> Iterator[Finding]:
    causes: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        causes.setdefault((finding.rule, finding.message), []).append(finding)
    for first, *others in causes.values():
        yield replace(first, more=_more(first, others)) if others else first


def _more(first: Finding, others: list[Finding]) -> str:
    known = dict.fromkeys(other.place for other in others if other.place)
    places = [place for place in known if place != first.place]
    told = ", ".join(places[:_PLACES])
    rest = ", ..." if len(places) > _PLACES else ""
    return f"{len(others)} more like it" + (f": {told}{rest}" if told else "")


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
    return (
        None
        if operation is None or not operation.traceback
        else user_code.source_line(operation.traceback)
    )
