"""Finds the source lines and layers of audit findings, and merges findings of one cause."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from smdecl.exporting import user_code
from smdecl.exporting.live_objects import keras_names
from smdecl.exporting.tracing.traced import Traced
from smdecl.exporting.types import Graph, Operation, Trackable
from smdecl.savedmodel.records import Finding

NodeKey = tuple[str, str]
"""The name of a function, without the number that TensorFlow appends, and of a node in it."""

_NUMBER = re.compile(r"_\d+$")
_MOST_PLACES = 5  # named for one cause; all are counted


def locate(
    findings: Iterable[Finding], traced: Mapping[str, Traced], obj: Trackable
) -> tuple[Finding, ...]:
    """Returns the findings, each with its source line and layer if they are known.

    TensorFlow saves several copies of a function; a finding in all of them counts once. Findings of
    one cause become the first of them, with the number of the others. Findings in the functions of
    Keras's own layers are omitted: only Keras decides whether they are traced.

    Args:
        findings: The findings of the audit.
        traced: Signature key to signature.
        obj: The object.
    """
    own = [
        one for one in _without_copies(findings) if not _is_of_keras(one, obj)
    ]
    if not own:
        return ()
    operations = _operations_of(traced)
    layers = keras_names.LayerNames(obj)
    located = []
    for finding in own:
        key = _key(finding.where)
        source = _source(operations.get(key))
        _, node = key
        located.append(
            replace(finding, source=source, layer=layers.find(node))
        )
    return tuple(_by_cause(located))


def _without_copies(findings: Iterable[Finding]) -> list[Finding]:
    first: dict[tuple[str, NodeKey, str], Finding] = {}
    for finding in findings:
        key = (finding.rule, _key(finding.where), finding.message)
        first.setdefault(key, finding)
    return list(first.values())


def _is_of_keras(finding: Finding, obj: Trackable) -> bool:
    if finding.rule != "untraced_functions":
        return False
    return keras_names.is_inner_function(obj, finding.where)


def _by_cause(findings: Iterable[Finding]) -> Iterator[Finding]:
    causes: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        causes.setdefault((finding.rule, finding.message), []).append(finding)
    for first, *others in causes.values():
        yield replace(first, more=_more(first, others)) if others else first


def _more(first: Finding, others: list[Finding]) -> str:
    """Returns such as "3 more like it: layer 'drop1', layer 'drop2'"."""
    known = dict.fromkeys(other.place for other in others if other.place)
    places = [place for place in known if place != first.place]
    text = f"{len(others)} more like it"
    if places:
        text += f": {', '.join(places[:_MOST_PLACES])}"
    if len(places) > _MOST_PLACES:
        text += ", ..."
    return text


def _key(where: str) -> NodeKey:
    function, slash, node = where.partition("/")
    if not slash:
        return where, ""
    return _NUMBER.sub("", function), node


def _operations_of(traced: Mapping[str, Traced]) -> dict[NodeKey, Operation]:
    known: dict[NodeKey, Operation] = {}
    for signature in traced.values():
        function = signature.function
        for key, operation in _operations(
            function.name.decode(), function.graph, set()
        ):
            known.setdefault(key, operation)
    return known


def _operations(
    name: str, graph: Graph, seen: set[str]
) -> Iterator[tuple[NodeKey, Operation]]:
    """Yields every operation of a graph and of the functions that it calls."""
    for operation in graph.get_operations():
        yield (_NUMBER.sub("", name), operation.name), operation
    for callee, function in graph._functions.items():
        if callee not in seen and getattr(function, "graph", None) is not None:
            seen.add(callee)
            yield from _operations(callee, function.graph, seen)


def _source(operation: Operation | None) -> str | None:
    # Operations imported from a GraphDef have no traceback.
    if operation is None or not operation.traceback:
        return None
    return user_code.source_line(operation.traceback)
