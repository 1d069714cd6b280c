"""Stage 6, inspect: reads a SavedModel back from its bytes and says what it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from smdecl import contract, files
from smdecl.config import Signature
from smdecl.errors import ConfigError, ContractError, Problem
from smdecl.protos import dtype_name, saved_model_pb2
from smdecl.records import RESERVED_KEYS, Finding, SavedModelRecord, SignatureRecord, TensorRecord, VariableRecord


def read(directory: Path) -> Any:
    """Returns the SavedModel message of a directory.

    Raises:
        ContractError: Where there is none, or it cannot be parsed.
    """
    path = directory / "saved_model.pb"
    try:
        message = saved_model_pb2.SavedModel.FromString(files.read_regular(path))
    except Exception as error:  # OSError, or protobuf's DecodeError, whose place differs between implementations
        raise ContractError(f"{str(path)!r} cannot be read as a SavedModel: {error}") from error
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
        functions={name: traces for name, traces in sorted(saved_functions(graph)) if traces},
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


def saved_functions(graph: Any) -> Iterator[tuple[str, tuple[SignatureRecord, ...]]]:
    """Yields dotted path and traces of every function that hangs on the saved object.

    Arguments of a trace are named as in Python, or by position where they have no name, and by the place in a nest:
    `x`, `batch.ids`, `2`.
    """
    objects, traces = graph.object_graph_def.nodes, graph.object_graph_def.concrete_functions
    for name, index in _named_objects(graph.object_graph_def):
        kind = objects[index].WhichOneof("kind")
        if kind == "function":
            function = objects[index].function
            names = _argument_names(function.function_spec)
            yield name, tuple(_trace(traces[trace], names) for trace in function.concrete_functions)
        elif kind == "bare_concrete_function":
            yield name, (_trace(traces[objects[index].bare_concrete_function.concrete_function_name], []),)


def _argument_names(function_spec: Any) -> list[str]:
    parts = {pair.key: pair.value for pair in function_spec.fullargspec.named_tuple_value.values}
    if "args" not in parts:
        return []
    names = [value.string_value for value in parts["args"].list_value.values]
    return names[1:] if function_spec.is_method else names


def _trace(function: Any, names: Sequence[str]) -> SignatureRecord:
    inputs: dict[str, TensorRecord] = {}
    positional, keywords = (*function.canonicalized_input_signature.tuple_value.values, None, None)[:2]
    for index, value in enumerate(positional.tuple_value.values if positional else ()):
        inputs |= _leaves(value, names[index] if index < len(names) else str(index))
    inputs |= _leaves(keywords, "") if keywords else ()
    return SignatureRecord(inputs, dict(_leaves(function.output_signature, "")))


def _leaves(value: Any, place: str) -> Iterator[tuple[str, TensorRecord]]:
    """Yields the tensors of a StructuredValue by their places; what is no tensor has its value for a dtype."""
    kind = value.WhichOneof("kind")
    if kind in ("tuple_value", "list_value", "dict_value", "named_tuple_value"):
        held = getattr(value, kind)
        if kind == "dict_value":
            items = sorted(held.fields.items())
        elif kind == "named_tuple_value":
            items = [(pair.key, pair.value) for pair in held.values]
        else:
            items = [(str(index), item) for index, item in enumerate(held.values)]
        for name, item in items:
            yield from _leaves(item, f"{place}.{name}" if place else name)
    elif kind in ("tensor_spec_value", "bounded_tensor_spec_value"):
        spec = getattr(value, kind)
        yield place, TensorRecord(dtype_name(spec.dtype), _shape(spec.shape))
    elif kind == "type_spec_value":
        yield place, TensorRecord(str(value.type_spec_value.type_spec_class_name), None)
        yield from _leaves(value.type_spec_value.type_state, f"{place}.spec")
    elif kind == "tensor_shape_value":
        yield place, TensorRecord(f"value {list(_shape(value.tensor_shape_value) or ())}", None)
    elif kind == "none_value":
        yield place, TensorRecord("value None", None)
    elif kind is not None:
        yield place, TensorRecord(f"value {' '.join(str(getattr(value, kind)).split())}", None)


def _named_objects(object_graph: Any) -> Iterator[tuple[str, int]]:
    pending, seen = [("", 0)] if object_graph.nodes else [], {0}
    while pending:
        name, index = pending.pop(0)
        yield name, index
        if object_graph.nodes[index].WhichOneof("kind") == "function":
            continue  # below it hang only its own traces
        for child in object_graph.nodes[index].children:
            if child.node_id not in seen and child.local_name != "signatures":
                seen.add(child.node_id)
                pending.append((f"{name}.{child.local_name}" if name else child.local_name, child.node_id))


def _variables(object_graph: Any) -> Iterator[VariableRecord]:
    for name, index in _named_objects(object_graph):
        node = object_graph.nodes[index]
        if node.WhichOneof("kind") == "variable":
            yield VariableRecord(name, dtype_name(node.variable.dtype), _shape(node.variable.shape))


def _signature(signature: Any) -> SignatureRecord:
    return SignatureRecord(
        inputs={name: _tensor(signature.inputs[name]) for name in sorted(signature.inputs)},
        outputs={name: _tensor(signature.outputs[name]) for name in sorted(signature.outputs)},
    )


def _tensor(info: Any) -> TensorRecord:
    return TensorRecord(dtype_name(info.dtype), _shape(info.tensor_shape))


def _shape(shape: Any) -> tuple[int | None, ...] | None:
    if shape.unknown_rank:
        return None
    return tuple(None if dim.size < 0 else int(dim.size) for dim in shape.dim)
