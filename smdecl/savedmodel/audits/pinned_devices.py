"""Finds nodes that the user's code pins to a device."""

from __future__ import annotations

import re
from collections.abc import Iterator

from smdecl.savedmodel.audits import outside_ops
from smdecl.savedmodel.audits.audit_subject import Subject, place
from smdecl.savedmodel.audits.dataflow import source
from smdecl.savedmodel.protos import NodeDef, types_pb2
from smdecl.savedmodel.records import Finding

_CPU = re.compile(r"(?i)(^|/|device:)CPU:(\d+|\*)$")
_ANY_CPU = re.compile(r"(?i)^/?(device:)?CPU(:0|:\*)?$")
_TEXT_OP = re.compile("String|Regex|Unicode|Lookup|HashTable")
_LEAVE_OUT = "leave tf.device out of the body of a function"


def find(subject: Subject) -> Iterator[Finding]:
    """Yields a finding for each pinned node; within a function, those pinned to a CPU come last."""
    # The nodes of the graph itself are variables and their savers; traced code is in functions.
    # TensorFlow itself pins the ops that run Python, for which there is a different rule.
    bodies: dict[str, list[NodeDef]] = {}
    for function, node in subject.nodes():
        if function and node.device and node.op not in outside_ops.PYTHON:
            bodies.setdefault(function, []).append(node)
    for function, pinned in bodies.items():
        elsewhere = [node for node in pinned if not _CPU.search(node.device)]
        on_cpu = _without_text(
            [node for node in pinned if _CPU.search(node.device)]
        )
        for node in (*elsewhere, *on_cpu):
            yield _pinned(place(function, node), node.device)


def _pinned(where: str, device: str) -> Finding:
    if _ANY_CPU.match(device):
        # Every server has a CPU, so the node runs anyway. Libraries pin ops without a GPU kernel.
        message = f"is pinned to a CPU; {_LEAVE_OUT} that is yours"
        return Finding("baked_devices", where, message, most="warn")
    return Finding(
        "baked_devices", where, f"is pinned to {device}; {_LEAVE_OUT}"
    )


def _without_text(pinned: list[NodeDef]) -> list[NodeDef]:
    """Leaves out nodes that are connected with text or tables.

    Only CPUs have kernels for text and tables, so a pin to a CPU changes nothing. Keras pins its
    text layers itself.
    """
    nodes = {node.name: node for node in pinned}
    neighbours: dict[str, set[str]] = {name: set() for name in nodes}
    for node in pinned:
        for name in map(source, node.input):
            if name in nodes:
                neighbours[node.name].add(name)
                neighbours[name].add(node.name)
    pending = [node.name for node in pinned if _is_text(node)]
    while pending:
        pending += neighbours.pop(pending.pop(), set())
    return [node for node in pinned if node.name in neighbours]


def _is_text(node: NodeDef) -> bool:
    if _TEXT_OP.search(node.op):
        return True
    values = node.attr.values()
    return any(
        types_pb2.DT_STRING in (value.type, *value.list.type)
        for value in values
    )
