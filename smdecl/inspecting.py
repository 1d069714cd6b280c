"""Stage 6, inspect: reads a SavedModel back from its bytes and says what it is."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict, deque
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from smdecl import contract, files
from smdecl.config import PREDICT, Signature
from smdecl.errors import ConfigError, ContractError, Problem
from smdecl.protos import dtype_name, saved_model_pb2
from smdecl.records import (
    RESERVED_KEYS,
    VALUE,
    ArgumentsRecord,
    Finding,
    FunctionRecord,
    SavedModelRecord,
    SignatureRecord,
    TensorRecord,
    TraceRecord,
    VariableRecord,
)

_MOST_ALIASES, _DEEPEST_ALIAS = 1000, 32
# Fields of a TensorProto that have values as Python does; float16, for one, is there in bits.
_SINGLE = ("float_val", "double_val", "int_val", "int64_val", "bool_val", "string_val")
_BRACKETS = {
    "tuple_value": ("(", ")"),
    "list_value": ("[", "]"),
    "dict_value": ("{", "}"),
    "named_tuple_value": ("(", ")"),
}


def read(directory: Path) -> Any:
    """Returns the SavedModel message of a directory.

    Raises:
        ContractError: Where there is none, or it cannot be parsed.
    """
    path = directory / "saved_model.pb"
    try:
        message = saved_model_pb2.SavedModel.FromString(files.read_regular(path))
    except FileNotFoundError as error:
        raise ContractError(f"{str(directory)!r} holds no SavedModel: it has no saved_model.pb") from error
    except Exception as error:  # OSError, or protobuf's DecodeError, whose place differs between implementations
        reason = getattr(error, "strerror", None) or error
        raise ContractError(f"{str(path)!r} cannot be read as a SavedModel: {reason}") from error
    if not message.meta_graphs:
        raise ContractError(f"{str(path)!r} holds no MetaGraphDef")
    return message


def load(directory: Path) -> tuple[Any, SavedModelRecord]:
    """Returns the message of a directory that anybody may have written, and its record.

    Raises:
        ContractError: Where there is none, or what it says cannot be.
    """
    message = read(directory)
    try:
        return message, inspect(message)
    except (IndexError, KeyError, ValueError) as error:
        raise ContractError(f"{directory / 'saved_model.pb'}: cannot be read as a SavedModel: {error}") from error


def inspect(message: Any, findings: tuple[Finding, ...] = ()) -> SavedModelRecord:
    """Returns the record of a SavedModel message, with what the audit found in it."""
    graph = message.meta_graphs[0]
    nodes = list(all_nodes(graph))
    return SavedModelRecord(
        tags=tuple(sorted(graph.meta_info_def.tags)),
        signatures={
            key: _signature(graph.signature_def[key]) for key in sorted(graph.signature_def) if key not in RESERVED_KEYS
        },
        variables=tuple(_variables(graph.object_graph_def)),
        functions={
            name: found for name, found in sorted(saved_functions(graph), key=lambda pair: pair[0]) if found.traces
        },
        assets=tuple(sorted(asset.filename for asset in graph.asset_file_def)),
        devices=tuple(sorted({node.device for _, node in nodes if node.device})),
        ops=dict(sorted(Counter(node.op for _, node in nodes).items())),
        findings=findings,
    )


def compare(declared: Mapping[str, Signature], traced: Mapping[str, SignatureRecord], saved: SavedModelRecord) -> None:
    """Compares what was saved with what was declared and traced.

    Raises:
        ContractError: With every difference.
    """
    problems: list[Problem] = []
    for key, signature in declared.items():
        path = ("signatures", key)
        if key not in saved.signatures:
            problems.append(Problem(path, "is declared, but the SavedModel does not have it"))
            continue
        found = saved.signatures[key]
        problems += contract.compare_inputs(path, signature, found.inputs)
        problems += contract.compare_outputs(path, signature, found.outputs, refined=True)
        problems += contract.compare_signatures(path, traced[key], found)
    problems += [
        Problem(("signatures",), f"the SavedModel has the signature {key!r}, which is not declared")
        for key in saved.signatures
        if declared and key not in declared
    ]
    if problems:
        raise ContractError(problems)


def require_options(message: Any, options: Mapping[str, Any], loaders: Collection[str]) -> None:
    """Raises where a SavedModel message is not what the options promise of it.

    Raises:
        ConfigError: Where an op has a namespace that is not allowed.
        ContractError: Where there is no saver for variables that a server would need.
    """
    graph, allowed = message.meta_graphs[0], options["namespace_whitelist"]
    ops = {node.op for _, node in all_nodes(graph) if ">" in node.op}
    found = sorted(op for op in ops if allowed is not None and op.partition(">")[0] not in allowed)
    if found:
        known = ", ".join(allowed) or "none"
        raise ConfigError(
            Problem(("options", "namespace_whitelist"), f"allows {known}, but the graph has {', '.join(found)}")
        )
    if options["experimental_skip_saver"] and "cpp" in loaders and _needs_variables(graph.graph_def):
        message = "leaves no saver for variables that signatures read, so that no server can restore them"
        takes = "takes false, or verify.loaders=[python] where tf.saved_model.load is all that loads it"
        raise ContractError(Problem(("options", "experimental_skip_saver"), f"{message}; {takes}"))


def _needs_variables(graph: Any) -> bool:
    variables = {node.name for node in graph.node if node.op == "VarHandleOp"}
    return any(variables & {*node.input} for node in graph.node if node.op.endswith("PartitionedCall"))


def all_nodes(graph: Any) -> Iterator[tuple[str, Any]]:
    """Yields every node of a MetaGraphDef with the name of the function that holds it, empty for the graph itself."""
    for node in graph.graph_def.node:
        yield "", node
    for function in graph.graph_def.library.function:
        for node in function.node_def:
            yield function.signature.name, node


def saved_functions(graph: Any) -> Iterator[tuple[str, FunctionRecord]]:
    """Yields every function that hangs on the saved object, by each dotted path that leads to it.

    Inputs of a trace are named as in Python, or by position where they have no name, and by the place in a nest:
    `x`, `batch.ids`, `2`.
    """
    objects, known = graph.object_graph_def.nodes, dict[int, FunctionRecord]()
    for name, index in _named_objects(graph.object_graph_def):
        if objects[index].WhichOneof("kind") in ("function", "bare_concrete_function"):
            if index not in known:
                known[index] = _function(objects[index], graph.object_graph_def.concrete_functions)
            yield name, known[index]


def _function(node: Any, traces: Any) -> FunctionRecord:
    if node.WhichOneof("kind") == "bare_concrete_function":
        return FunctionRecord((_trace(traces[node.bare_concrete_function.concrete_function_name], ()),), None)
    arguments = _arguments(node.function.function_spec)
    names = arguments.positional if arguments else ()
    return FunctionRecord(tuple(_trace(traces[trace], names) for trace in node.function.concrete_functions), arguments)


def _arguments(function_spec: Any) -> ArgumentsRecord | None:
    parts = {pair.key: pair.value for pair in function_spec.fullargspec.named_tuple_value.values}
    if "args" not in parts:
        return None
    positional, keyword_only = (
        [value.string_value for value in parts[key].list_value.values] for key in ("args", "kwonlyargs")
    )
    values = parts["defaults"].tuple_value.values
    defaults = dict(zip(positional[len(positional) - len(values) :], values, strict=True))
    defaults |= dict(parts["kwonlydefaults"].dict_value.fields)
    return ArgumentsRecord(
        tuple(positional[1:] if function_spec.is_method else positional),
        tuple(sorted(keyword_only)),
        {name: _text(value) for name, value in sorted(defaults.items())},
    )


def _trace(function: Any, names: tuple[str, ...]) -> TraceRecord:
    positional, keywords = (*function.canonicalized_input_signature.tuple_value.values, None, None)[:2]
    values = enumerate(positional.tuple_value.values if positional else ())
    given = {names[index] if index < len(names) else str(index): value for index, value in values}
    given |= dict(sorted(keywords.dict_value.fields.items())) if keywords else {}
    leaves = {name: dict(_leaves(value, name)) for name, value in given.items()}
    return TraceRecord(
        inputs={place: leaf for each in leaves.values() for place, leaf in each.items()},
        outputs=dict(_leaves(function.output_signature, "")),
        values={
            name: _text(given[name])
            for name, each in leaves.items()
            if all(leaf.dtype.startswith(VALUE) for leaf in each.values())
        },
        nests={place: kind for name, value in given.items() for place, kind in _nests(value, name)},
        returns=dict(_nests(function.output_signature, "")),
    )


def _items(nest: Any) -> list[tuple[str, Any]]:
    """Returns what a StructuredValue that is a nest holds, by name or number."""
    kind = nest.WhichOneof("kind")
    held = getattr(nest, kind)
    if kind == "dict_value":
        return sorted(held.fields.items())
    if kind == "named_tuple_value":
        return [(pair.key, pair.value) for pair in held.values]
    return [(str(index), item) for index, item in enumerate(held.values)]


def _nests(value: Any, place: str) -> Iterator[tuple[str, str]]:
    kind = value.WhichOneof("kind")
    if kind not in _BRACKETS:
        return
    items = _items(value)
    names = f" ({', '.join(name for name, _ in items)})" if kind == "named_tuple_value" else ""
    yield place, kind.removesuffix("_value").replace("_", " ") + names
    for name, item in items:
        yield from _nests(item, f"{place}.{name}" if place else name)


def _text(value: Any) -> str:
    """Returns a StructuredValue as Python writes it, as far as it can."""
    kind = value.WhichOneof("kind")
    if kind in _BRACKETS:
        first, last = _BRACKETS[kind]
        named = {"dict_value": "{!r}: {}", "named_tuple_value": "{}={}"}.get(kind, "{1}")
        items = [named.format(name, _text(item)) for name, item in _items(value)]
        return f"{first}{', '.join(items)}{',' if kind == 'tuple_value' and len(items) == 1 else ''}{last}"
    if kind == "tensor_value":
        return f"{dtype_name(value.tensor_value.dtype)} {_constant(value.tensor_value)}"
    if kind is None or kind == "none_value":
        return "None"
    held = getattr(value, kind)
    return " ".join(str(held).split()) if hasattr(held, "ListFields") else repr(held)


def _constant(tensor: Any) -> str:
    """Returns the value of a TensorProto in text, or a digest of it where it is no single one."""
    values = [value for field, held in tensor.ListFields() if field.name in _SINGLE for value in held]
    if len(values) == 1 and not tensor.tensor_shape.dim:
        return repr(values[0])
    return f"sha256 {hashlib.sha256(tensor.SerializeToString(deterministic=True)).hexdigest()[:12]}"


def _leaves(value: Any, place: str) -> Iterator[tuple[str, TensorRecord]]:
    """Yields the tensors of a StructuredValue by their places; what is no tensor has its value for a dtype."""
    kind = value.WhichOneof("kind")
    if kind in _BRACKETS:
        for name, item in _items(value):
            yield from _leaves(item, f"{place}.{name}" if place else name)
    elif kind in ("tensor_spec_value", "bounded_tensor_spec_value"):
        spec = getattr(value, kind)
        yield place, TensorRecord(dtype_name(spec.dtype), _shape(spec.shape))
    elif kind == "type_spec_value":
        yield place, TensorRecord(str(value.type_spec_value.type_spec_class_name), None)
        yield from _leaves(value.type_spec_value.type_state, f"{place}.spec")
    elif kind == "tensor_shape_value":
        yield place, TensorRecord(f"{VALUE}{list(_shape(value.tensor_shape_value) or ())}", None)
    elif kind == "none_value":
        yield place, TensorRecord(f"{VALUE}None", None)
    elif kind is not None:
        yield place, TensorRecord(f"{VALUE}{' '.join(str(getattr(value, kind)).split())}", None)


def _named_objects(object_graph: Any) -> Iterator[tuple[str, int]]:
    """Yields the nodes of the object graph by dotted path, those that are nearest to the root first.

    Each node has its first name. One that is a function, or that leads to some, has its other ones as well, but for
    those that lead in a circle. Names may grow as a power of the nodes: no more than 1000 others are followed, and none
    from more than 32 nodes below the root.
    """
    nodes, leading = object_graph.nodes, _leading(object_graph)
    pending: deque[tuple[str, int, tuple[int, ...]]] = deque([("", 0, (0,))] if nodes else [])
    seen, aliases = {0}, 0
    while pending:
        name, index, path = pending.popleft()
        yield name, index
        if nodes[index].WhichOneof("kind") == "function":
            continue  # below it hang only its own traces
        most = _MOST_ALIASES if len(path) <= _DEEPEST_ALIAS else 0
        for child in nodes[index].children:
            if index == 0 and child.local_name == "signatures":
                continue  # they are read from the graph itself
            if child.node_id in seen:
                if aliases >= most or child.node_id in path or child.node_id not in leading:
                    continue
                aliases += 1
            seen.add(child.node_id)
            below = f"{name}.{child.local_name}" if name else child.local_name
            pending.append((below, child.node_id, (*path, child.node_id)[: _DEEPEST_ALIAS + 1]))


def _leading(object_graph: Any) -> set[int]:
    """Returns the nodes that are functions or lead to one."""
    parents = defaultdict[int, list[int]](list)
    for index, node in enumerate(object_graph.nodes):
        for child in node.children:
            parents[child.node_id].append(index)
    kinds = ("function", "bare_concrete_function")
    pending = [index for index, node in enumerate(object_graph.nodes) if node.WhichOneof("kind") in kinds]
    found = set(pending)
    while pending:
        above = {*parents[pending.pop()]} - found
        found |= above
        pending += above
    return found


def _variables(object_graph: Any) -> Iterator[VariableRecord]:
    seen = set[int]()
    for name, index in _named_objects(object_graph):
        node = object_graph.nodes[index]
        if node.WhichOneof("kind") == "variable" and index not in seen:
            seen.add(index)
            yield VariableRecord(name, dtype_name(node.variable.dtype), _shape(node.variable.shape))


def _signature(signature: Any) -> SignatureRecord:
    inputs = {name: _tensor(signature.inputs[name]) for name in sorted(signature.inputs)}
    for name in inputs.keys() & signature.defaults.keys():
        inputs[name] = replace(inputs[name], default=_constant(signature.defaults[name]))
    return SignatureRecord(
        inputs,
        outputs={name: _tensor(signature.outputs[name]) for name in sorted(signature.outputs)},
        method_name=None if signature.method_name == PREDICT else signature.method_name,
    )


def _tensor(info: Any) -> TensorRecord:
    return TensorRecord(dtype_name(info.dtype), _shape(info.tensor_shape))


def _shape(shape: Any) -> tuple[int | None, ...] | None:
    if shape.unknown_rank:
        return None
    return tuple(None if dim.size < 0 else int(dim.size) for dim in shape.dim)
