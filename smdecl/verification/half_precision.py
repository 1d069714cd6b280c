"""Finds out whether a signature computes in 16 bits, whatever the dtypes of its outputs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from smdecl.savedmodel.audits.dataflow import source
from smdecl.savedmodel.protos import (
    MetaGraphDef,
    NodeDef,
    SignatureDef,
    dtype_name,
    functions_of,
)

# The one that rounds more comes first.
_DTYPES = ("bfloat16", "float16")


def dtype_of(graph: MetaGraphDef, key: str) -> str | None:
    """Returns the 16-bit dtype that the ops of a signature compute in; None if there is none.

    Ops that only read, copy or cast 16-bit values do not count, because they do not round.
    """
    return dtype_in(_nodes(graph, graph.signature_def[key]))


def dtype_in(nodes: Iterable[NodeDef]) -> str | None:
    """Returns the 16-bit dtype that nodes compute in; None if there is none."""
    found = set()
    for node in nodes:
        if node.op != "Identity" and "T" in node.attr:
            found.add(dtype_name(node.attr["T"].type))
    return next((dtype for dtype in _DTYPES if dtype in found), None)


def _nodes(graph: MetaGraphDef, signature: SignatureDef) -> Iterator[NodeDef]:
    """Yields the nodes that the outputs of a signature depend on, and those of called functions."""
    by_name = {node.name: node for node in graph.graph_def.node}
    outputs = [source(tensor.name) for tensor in signature.outputs.values()]
    functions = {
        function.signature.name: function.node_def
        for function in graph.graph_def.library.function
    }
    called: list[str] = []
    for node in _upstream(by_name, outputs):
        yield node
        called += _called(node)
    seen = set[str]()
    while called:
        name = called.pop()
        if name in seen:
            continue
        seen.add(name)
        for node in functions.get(name, ()):
            yield node
            called += _called(node)


def _upstream(
    nodes: Mapping[str, NodeDef], outputs: Sequence[str]
) -> Iterator[NodeDef]:
    pending = [*outputs]
    seen = set[str]()
    while pending:
        name = pending.pop()
        if name in seen or name not in nodes:
            continue
        seen.add(name)
        yield nodes[name]
        pending += map(source, nodes[name].input)


def _called(node: NodeDef) -> Iterator[str]:
    for value in node.attr.values():
        for function in functions_of(value):
            if function.name:
                yield function.name
