"""Finds inputs of signatures that no output depends on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

from smdecl.names import CALLS
from smdecl.savedmodel.audits.audit_subject import Subject
from smdecl.savedmodel.audits.dataflow import Functions, source
from smdecl.savedmodel.protos import NodeDef, SignatureDef
from smdecl.savedmodel.records import Finding


def find(subject: Subject) -> Iterator[Finding]:
    """Yields a finding for each input, by signature and name."""
    functions = Functions(subject.graph.graph_def.library)
    calls = {
        node.name: node
        for node in subject.graph.graph_def.node
        if node.op in CALLS
    }
    positions: dict[str, Mapping[str, list[int]]] = {}
    for key, signature in subject.graph.signature_def.items():
        call = _call(signature, calls)
        if call is None:
            continue
        if call.name not in positions:
            positions[call.name] = _positions(call)
        needed = functions.needed(call, _outputs(signature, call))
        for name, tensor in sorted(signature.inputs.items()):
            passed = positions[call.name].get(source(tensor.name), ())
            if passed and needed.isdisjoint(passed):
                where = f"signatures.{key}.inputs.{name}"
                yield Finding(
                    "unused_inputs", where, "no output depends on it"
                )


def _call(
    signature: SignatureDef, calls: Mapping[str, NodeDef]
) -> NodeDef | None:
    """Returns the call that all outputs of a signature come from: that of its traced function."""
    for tensor in signature.outputs.values():
        name = tensor.name.partition(":")[0]
        if name in calls:
            return calls[name]
    return None


def _outputs(signature: SignatureDef, call: NodeDef) -> list[int]:
    """Returns the positions of the outputs of a call that a signature returns."""
    positions = []
    for tensor in signature.outputs.values():
        name, _, index = tensor.name.partition(":")
        if name == call.name:
            positions.append(int(index or 0))
    return positions


def _positions(call: NodeDef) -> Mapping[str, list[int]]:
    """Returns the nodes that a call takes inputs from, each with the positions of those inputs."""
    found = defaultdict[str, list[int]](list)
    for position, reference in enumerate(call.input):
        found[source(reference)].append(position)
    return found
