"""The audit of stage 6: looks in the bytes of a SavedModel for what makes trouble where it is served."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

from smdecl.inspecting import all_nodes, saved_functions
from smdecl.records import Finding

_LARGE_CONSTANT = 1 << 20  # bytes
_SAVER = "__inference__traced_"  # how TensorFlow names the functions that save and restore
_PYTHON = ("PyFunc", "EagerPyFunc", "PyFuncStateless")
_RANDOM = (
    "Multinomial", "ParameterizedTruncatedNormal", "RandomGamma", "RandomPoisson", "RandomPoissonV2", "RandomShuffle",
    "RandomStandardNormal", "RandomUniform", "RandomUniformInt", "TruncatedNormal",
)  # fmt: skip
_IO = (
    "MatchingFiles", "MergeV2Checkpoints", "ReadFile", "ReaderReadV2", "RestoreV2", "Save", "SaveV2", "SaveSlices",
    "TFRecordDataset", "TextLineDataset", "FixedLengthRecordDatasetV2", "WriteFile", "PrintV2",
)  # fmt: skip


def audit(message: Any, rules: Mapping[str, str]) -> tuple[Finding, ...]:
    """Returns the findings of every rule that is not off, in the order of the rules."""
    graph = message.meta_graphs[0]
    return tuple(finding for rule, find in _RULES.items() if rules[rule] != "off" for finding in find(graph))


def _nodes(graph: Any) -> Iterator[tuple[str, Any]]:
    """Yields place and node of what the user's code made; the saver's functions and nodes are TensorFlow's own."""
    for function, node in all_nodes(graph):
        if not function.startswith(_SAVER) and (
            function or node.op not in ("SaveV2", "RestoreV2", "MergeV2Checkpoints")
        ):
            yield (f"{function}/{node.name}" if function else node.name), node


def _baked_devices(graph: Any) -> Iterator[Finding]:
    # The nodes of the graph itself are the variables and what saves them; what users trace is in functions.
    for function, node in all_nodes(graph):
        if function and node.device and not function.startswith(_SAVER):
            message = f"is pinned to {node.device}; leave tf.device out of the function's body"
            yield Finding("baked_devices", f"{function}/{node.name}", message)


def _strategy(graph: Any) -> Iterator[Finding]:
    for place, node in _nodes(graph):
        if "/replica_" in f"/{node.name}":
            message = "was traced under a tf.distribute strategy, which fixes the replicas"
            yield Finding("strategy", place, message)


def _ops(rule: str, ops: tuple[str, ...], message: str) -> Callable[[Any], Iterator[Finding]]:
    def find(graph: Any) -> Iterator[Finding]:
        for place, node in _nodes(graph):
            if node.op in ops:
                yield Finding(rule, place, f"{node.op} {message}")

    return find


def _custom_ops(graph: Any) -> Iterator[Finding]:
    library = {function.signature.name for function in graph.graph_def.library.function}
    for place, node in _nodes(graph):
        if node.op not in library and not hasattr(tf.raw_ops, node.op) and not node.op.startswith("_"):
            yield Finding("custom_ops", place, f"{node.op} is no op of TensorFlow's own; the server must load it")


def _absolute_paths(graph: Any) -> Iterator[Finding]:
    for place, node in _nodes(graph):
        for text in _texts(node):
            if text.startswith("/") and text != "/" and _exists(text):
                yield Finding("absolute_paths", place, f"names {text!r}, which other machines do not have")


def _exists(text: str) -> bool:
    return "\0" not in text and len(text) < os.pathconf("/", "PC_PATH_MAX") and Path(text).exists()


def _texts(node: Any) -> Iterator[str]:
    for attribute in node.attr.values():
        values = [attribute.s, *attribute.list.s, *attribute.tensor.string_val]
        yield from (value.decode("utf-8", "replace") for value in values if value)


def _large_constants(graph: Any) -> Iterator[Finding]:
    for place, node in _nodes(graph):
        size = node.attr["value"].tensor.ByteSize() if node.op == "Const" else 0
        if size > _LARGE_CONSTANT:
            message = f"holds {size / (1 << 20):.1f} MiB in the graph; make it a tf.Variable"
            yield Finding("large_constants", place, message)


def _unused_inputs(graph: Any) -> Iterator[Finding]:
    functions = {function.signature.name: function for function in graph.graph_def.library.function}
    calls = {node.name: node for node in graph.graph_def.node if "PartitionedCall" in node.op}
    for key, signature in graph.signature_def.items():
        # Every output of a signature comes from one call of the function that was traced for it.
        call = next(
            (calls[t.name.split(":")[0]] for t in signature.outputs.values() if t.name.split(":")[0] in calls), None
        )
        if call is None:
            continue
        body = functions[call.attr["f"].func.name]
        unused = _unused_arguments(body, functions)
        for name, tensor in signature.inputs.items():
            position = (
                list(call.input).index(tensor.name.removesuffix(":0"))
                if tensor.name.removesuffix(":0") in call.input
                else None
            )
            if position is not None and position in unused:
                yield Finding("unused_inputs", f"signatures.{key}.inputs.{name}", "no output depends on it")


def _unused_arguments(body: Any, functions: Mapping[str, Any]) -> set[int]:
    """Returns the positions of the arguments that no return value of a function depends on, calls followed."""
    arguments = [argument.name for argument in body.signature.input_arg]
    nodes = {node.name: node for node in body.node_def}
    pending, needed = [*body.ret.values(), *body.control_ret.values()], set()
    while pending:
        name = pending.pop().removeprefix("^").split(":")[0]
        if name in needed:
            continue
        needed.add(name)
        if name in nodes:
            pending += _needed_inputs(nodes[name], functions)
    return {index for index, name in enumerate(arguments) if name not in needed}


def _needed_inputs(node: Any, functions: Mapping[str, Any]) -> list[str]:
    if "PartitionedCall" not in node.op:
        return list(node.input)
    unused = _unused_arguments(functions[node.attr["f"].func.name], functions)
    return [name for index, name in enumerate(node.input) if index not in unused]


def _untraced_functions(graph: Any) -> Iterator[Finding]:
    for name, traces in saved_functions(graph):
        if not traces:
            yield Finding("untraced_functions", name, "was never traced: nobody can call it after loading")


_RULES: dict[str, Callable[[Any], Iterator[Finding]]] = {
    "baked_devices": _baked_devices,
    "strategy": _strategy,
    "py_function": _ops("py_function", _PYTHON, "runs Python, which only the process that saved it has"),
    "absolute_paths": _absolute_paths,
    "large_constants": _large_constants,
    "unused_inputs": _unused_inputs,
    "untraced_functions": _untraced_functions,
    "random_ops": _ops("random_ops", _RANDOM, "gives other values at each call"),
    "io_ops": _ops("io_ops", _IO, "reads or writes outside of the model"),
    "custom_ops": _custom_ops,
}
