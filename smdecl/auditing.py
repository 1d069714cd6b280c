"""The audit of stage 6: looks in the bytes of a SavedModel for what makes trouble where it is served."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from smdecl import op_sets, outside_ops, seeds
from smdecl.function_uses import CALLS, Functions, source
from smdecl.inspecting import all_nodes
from smdecl.names import LEGACY_KERAS_FUNCTIONS
from smdecl.protos import types_pb2
from smdecl.records import Finding
from smdecl.saved_functions import saved_functions

_LARGE_CONSTANT = 1 << 20  # bytes
_RANDOM = (
    "AllCandidateSampler", "AnonymousRandomSeedGenerator", "AnonymousSeedGenerator", "FixedUnigramCandidateSampler",
    "FractionalAvgPool", "FractionalMaxPool", "LearnedUnigramCandidateSampler", "LogUniformCandidateSampler",
    "Multinomial", "NonDeterministicInts", "ParameterizedTruncatedNormal", "RandomCrop", "RandomDataset",
    "RandomDatasetV2", "RandomGamma", "RandomPoisson", "RandomPoissonV2", "RandomShuffle", "RandomStandardNormal",
    "RandomUniform", "RandomUniformInt", "RngReadAndSkip", "RngSkip", "SampleDistortedBoundingBox",
    "SampleDistortedBoundingBoxV2", "ShuffleAndRepeatDataset", "ShuffleAndRepeatDatasetV2", "ShuffleDataset",
    "ShuffleDatasetV2", "ShuffleDatasetV3", "StatefulRandomBinomial", "StatefulStandardNormal",
    "StatefulStandardNormalV2", "StatefulTruncatedNormal", "StatefulUniform", "StatefulUniformFullInt",
    "StatefulUniformInt", "ThreadUnsafeUnigramCandidateSampler", "TruncatedNormal", "UniformCandidateSampler",
)  # fmt: skip
# TensorFlow's own that the table leaves out: what tf.function rewrites to, XLA's, and what calibrates a quantization.
_HIDDEN_OPS = ("_", "Xla", "TPU", "DTensor", "CustomAggregator")
_COLLECTIVE_OPS = ("Collective", "Nccl", "TPUReplicate")
_REPLICA = re.compile(r"(^|/)replica_[1-9]\d*/")
_CPU = re.compile(r"(?i)(^|/|device:)CPU:(\d+|\*)$")
_ANY_CPU = re.compile(r"(?i)^/?(device:)?CPU(:0|:\*)?$")
_TEXT_OP = re.compile("String|Regex|Unicode|Lookup|HashTable")


def audit(
    message: Any,
    levels: Mapping[str, str | None],
    consumer: str | None = None,
    providers: Mapping[str, str] | None = None,
) -> tuple[Finding, ...]:
    """Returns the findings of every rule that is not off, in the order of the rules.

    Args:
        message: The SavedModel.
        levels: Rule to its level: error, warn, off, or None where the signatures decide.
        consumer: The version of TensorFlow that is going to serve it, if it is known.
        providers: Op to the entry of the project's custom_ops that registers it.
    """
    graph = message.meta_graphs[0]
    found = [finding for rule, find in _RULES.items() if levels[rule] != "off" for finding in find(graph)]
    if levels["custom_ops"] != "off":
        found += _custom_ops(graph, providers or {})
    if consumer is not None and levels["consumer"] != "off":
        found += _consumer(graph, consumer, providers or {})
    return tuple(found)


def _nodes(graph: Any) -> Iterator[tuple[str, Any]]:
    """Yields function and node of what the user's code made: not of what saves and restores, TensorFlow's own."""
    savers = outside_ops.saver_functions(graph)
    for function, node in all_nodes(graph):
        if function not in savers:
            yield function, node


def _place(function: str, node: Any) -> str:
    return f"{function}/{node.name}" if function else str(node.name)


def _baked_devices(graph: Any) -> Iterator[Finding]:
    # The nodes of the graph itself are the variables and what saves them; what users trace is in functions.
    # TensorFlow itself pins what runs Python, which has a rule of its own.
    bodies: dict[str, list[Any]] = {}
    for function, node in _nodes(graph):
        if function and node.device and node.op not in outside_ops.PYTHON:
            bodies.setdefault(function, []).append(node)
    for function, pinned in bodies.items():
        elsewhere = [node for node in pinned if not _CPU.search(node.device)]
        on_cpu = _without_text([node for node in pinned if _CPU.search(node.device)])
        yield from (_pinned(_place(function, node), node.device) for node in (*elsewhere, *on_cpu))


def _pinned(where: str, device: str) -> Finding:
    if _ANY_CPU.match(device):
        # Every server has one, so that it runs all the same; libraries pin what a GPU has no kernel for.
        return Finding("baked_devices", where, f"is pinned to a CPU; {_LEAVE_OUT} that is yours", most="warn")
    return Finding("baked_devices", where, f"is pinned to {device}; {_LEAVE_OUT}")


_LEAVE_OUT = "leave tf.device out of the body of a function"


def _without_text(pinned: list[Any]) -> list[Any]:
    """Leaves out nodes that are connected with text or tables.

    Only the CPU has kernels for text and tables, so that a pin there moves nothing; Keras pins its text layers itself.
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


def _is_text(node: Any) -> bool:
    types = {kind for value in node.attr.values() for kind in (value.type, *value.list.type)}
    return types_pb2.DT_STRING in types or _TEXT_OP.search(node.op) is not None


def _strategy(graph: Any) -> Iterator[Finding]:
    # Building under a strategy, or tracing under one, leaves nothing in the bytes; these do.
    for node in graph.object_graph_def.nodes:
        if components := node.variable.experimental_distributed_variable_components:
            devices = ", ".join(component.device for component in components)
            message = f"is saved once a replica of a tf.distribute strategy: {devices}"
            yield Finding("strategy", node.variable.name, message)
    for function, node in _nodes(graph):
        if node.op.startswith(_COLLECTIVE_OPS):
            message = f"{node.op} waits for the other replicas of a tf.distribute strategy"
            yield Finding("strategy", _place(function, node), message)
        elif function and node.device and _REPLICA.search(node.name):
            message = f"runs for a further replica of a tf.distribute strategy, on {node.device}"
            yield Finding("strategy", _place(function, node), message)


def _ops(rule: str, ops: tuple[str, ...], message: str) -> Callable[[Any], Iterator[Finding]]:
    def find(graph: Any) -> Iterator[Finding]:
        for function, node in _nodes(graph):
            if node.op in ops:
                yield Finding(rule, _place(function, node), f"{node.op} {message}")

    return find


def _training_traces(graph: Any) -> set[str]:
    """Returns the functions that only the layers of tf_keras call, which export themselves as trained and as served.

    A signature has functions of its own.
    """
    called = {function.signature.name: _callees(function.node_def) for function in graph.graph_def.library.function}
    objects = graph.object_graph_def.nodes
    layers = [node for node in objects if node.user_object.identifier.startswith("_tf_keras_")]
    # What a release offers as a model's `__call__` hides Keras's own there, but not in `keras_api`.
    apis = [objects[child.node_id] for layer in layers for child in layer.children if child.local_name == "keras_api"]
    held = [child for holder in (*layers, *apis) for child in holder.children]
    children = [child for child in held if child.local_name in LEGACY_KERAS_FUNCTIONS]
    roots = {name for child in children for name in objects[child.node_id].function.concrete_functions}
    others = _callees(graph.graph_def.node)
    for node in objects:
        others |= {*node.function.concrete_functions, node.bare_concrete_function.concrete_function_name} - roots
    return _reached(called, roots) - _reached(called, others)


def _callees(nodes: Iterable[Any]) -> set[str]:
    values = [value for node in nodes for value in node.attr.values()]
    return {function.name for value in values for function in (value.func, *value.list.func)}


def _reached(called: Mapping[str, set[str]], roots: Iterable[str]) -> set[str]:
    pending, found = [name for name in roots if name in called], set[str]()
    while pending:
        name = pending.pop()
        if name not in found:
            found.add(name)
            pending += called[name] & called.keys()
    return found


def _random_ops(graph: Any) -> Iterator[Finding]:
    unserved = _training_traces(graph)
    for function, node in _nodes(graph):
        if node.op in _RANDOM and function not in unserved:
            yield Finding("random_ops", _place(function, node), f"{node.op} gives other values at each call")
    for draw in seeds.draws(graph):
        message = f"{draw.node.op} draws by a seed in a variable that each call changes"
        yield Finding("random_ops", _place(draw.function, draw.node), message)


def _custom_ops(graph: Any, providers: Mapping[str, str]) -> Iterator[Finding]:
    known = {function.signature.name for function in graph.graph_def.library.function}
    for function, node in _nodes(graph):
        if node.op in known or op_sets.has(node.op) or node.op.startswith(_HIDDEN_OPS):
            continue
        known.add(node.op)  # one finding for each op says all
        provider = providers.get(node.op)
        has = f"{provider} registers it, and the server must load that too" if provider else _NO_PROVIDER
        message = f"{node.op} is not an op of TensorFlow itself: {has}"
        yield Finding("custom_ops", _place(function, node), message, provider=provider)


_NO_PROVIDER = (
    "the server must load what registers it; name that package or library under custom_ops in [tool.smdecl] of the"
    " project's pyproject.toml"
)


def _consumer(graph: Any, release: str, providers: Mapping[str, str]) -> Iterator[Finding]:
    known = {*providers, *(function.signature.name for function in graph.graph_def.library.function)}
    told = set()
    for function, node in all_nodes(graph):  # what saves and restores is loaded by the consumer too
        attributes = frozenset(name for name in node.attr if not name.startswith("_"))
        if node.op in known or not (missing := op_sets.lacks(release, node.op, attributes)) or missing in told:
            continue
        told.add(missing)
        yield Finding("consumer", _place(function, node), f"TensorFlow {release} lacks {missing}")


def _absolute_paths(graph: Any) -> Iterator[Finding]:
    for function, node in _nodes(graph):
        for path in dict.fromkeys(path for text in _texts(node) for path in _paths(text)):
            message = f"names {path!r}, which other machines do not have"
            yield Finding("absolute_paths", _place(function, node), message)


def _texts(node: Any) -> Iterator[str]:
    for attribute in node.attr.values():
        values = [attribute.s, *attribute.list.s, *attribute.tensor.string_val]
        yield from (os.fsdecode(value) for value in values if value)


# Where a path can begin in a longer text: `hash_table_/data/vocab.txt_-2_-1`, but not `encoder/home` or `http://`.
_BEGIN = re.compile(r"(?<![A-Za-z0-9.:/])/(?=[^/\s])")


def _paths(text: str) -> Iterator[str]:
    end = 0
    for begin in _BEGIN.finditer(text):
        if begin.start() >= end and (path := _longest_path(text[begin.start() :])):
            end = begin.start() + len(path)
            yield path


def _longest_path(text: str) -> str | None:
    """Returns the existing path that a text begins with: the whole text, or a file that anything may follow."""
    directory = ""
    parts = text.split("/")[1:]
    for index, part in enumerate(parts):
        path = f"{directory}/{part}"
        if index + 1 == len(parts) and part and _exists(path):
            return path
        if not part or not _exists(path):
            ends = [match.start() for match in re.finditer(r"[^A-Za-z0-9]", part) if match.start()]
            return next((p for p in (f"{directory}/{part[:end]}" for end in reversed(ends)) if _is_file(p)), None)
        directory = path
    return directory if directory and _is_file(directory) else None


def _exists(path: str) -> bool:
    try:
        return Path(path).exists()
    except (OSError, ValueError):  # a name longer than names can be, a NUL byte, a directory of someone else's
        return False


def _is_file(path: str) -> bool:
    return _exists(path) and Path(path).is_file()


def _large_constants(graph: Any) -> Iterator[Finding]:
    for function, node in _nodes(graph):
        size = node.attr["value"].tensor.ByteSize() if node.op == "Const" else 0
        if size > _LARGE_CONSTANT:
            message = f"holds {size / (1 << 20):.1f} MiB in the graph; make it a tf.Variable"
            yield Finding("large_constants", _place(function, node), message)


def _unused_inputs(graph: Any) -> Iterator[Finding]:
    functions = Functions(graph.graph_def.library)
    calls = {node.name: node for node in graph.graph_def.node if node.op in CALLS}
    for key, signature in graph.signature_def.items():
        # Every output of a signature comes from one call of the function that was traced for it.
        outputs = [tensor.name.partition(":") for tensor in signature.outputs.values()]
        call = next((calls[name] for name, _, _ in outputs if name in calls), None)
        if call is None:
            continue
        needed = functions.needed(call, [int(index or 0) for name, _, index in outputs if name == call.name])
        used = {source(call.input[position]) for position in needed}
        for name, tensor in sorted(signature.inputs.items()):
            node = source(tensor.name)
            if node in map(source, call.input) and node not in used:
                yield Finding("unused_inputs", f"signatures.{key}.inputs.{name}", "no output depends on it")


_UNTRACED = "was never traced: nobody can call it after loading; give it a signature, or an input_signature"


def _untraced_functions(graph: Any) -> Iterator[Finding]:
    told = set()
    for name, function in saved_functions(graph):
        if not function.traces and id(function) not in told:  # by its first name, of several that lead to it
            told.add(id(function))
            yield Finding("untraced_functions", name, _UNTRACED)


_RULES: dict[str, Callable[[Any], Iterator[Finding]]] = {
    "baked_devices": _baked_devices,
    "strategy": _strategy,
    "py_function": _ops("py_function", outside_ops.PYTHON, "runs Python, which only the process that saved it has"),
    "absolute_paths": _absolute_paths,
    "large_constants": _large_constants,
    "unused_inputs": _unused_inputs,
    "untraced_functions": _untraced_functions,
    "random_ops": _random_ops,
    "io_ops": _ops("io_ops", (*outside_ops.FILES, *outside_ops.NETWORK), "reads or writes outside of the model"),
}
