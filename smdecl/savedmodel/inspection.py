"""Stage 6, inspect: reads a SavedModel back from its bytes and says what it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from google.protobuf.message import DecodeError

from smdecl import files
from smdecl.errors import ConfigError, ContractError, Problem
from smdecl.names import CHECKPOINT_PREFIX, PREDICT, RESERVED_KEYS
from smdecl.savedmodel import base_path, checkpoint
from smdecl.savedmodel.functions import saved_functions
from smdecl.savedmodel.object_graph import named_objects
from smdecl.savedmodel.protos import (
    AssetFileDef,
    GraphDef,
    MetaGraphDef,
    NodeDef,
    SavedModel,
    SignatureDef,
    TensorInfo,
    dtype_name,
    saved_model_pb2,
)
from smdecl.savedmodel.records import (
    TYPE,
    Finding,
    SavedModelRecord,
    SignatureRecord,
    TensorRecord,
    VariableRecord,
)
from smdecl.savedmodel.structured_value import composite_spec, constant, shape

SERVE = "serve"
_LARGEST = (1 << 31) - 1  # bytes of a message, as protobuf takes them
_LARGEST_TEXT = 1 << 25  # bytes; parsing takes a second for a million
_MOST_GRAPHS = 10_000  # an empty one takes two bytes; a file of TensorFlow has a few
_ASSETS = "saved_model_assets"  # the collection of TensorFlow 1


def read(directory: Path) -> SavedModel:
    """Returns the SavedModel message of a directory, from saved_model.pb or saved_model.pbtxt.

    Raises:
        ContractError: Where there is none, or it cannot be parsed.
    """
    path = base_path.model_file(directory)
    if path is None:
        names = " and no ".join(base_path.MODEL_FILES)
        raise ContractError(
            f"{str(directory)!r} holds no SavedModel: it has no {names}"
        )
    try:
        if path.suffix == ".pbtxt":
            text = files.read_regular(path, _LARGEST_TEXT).decode()
            content = text_format.Parse(
                text, saved_model_pb2.SavedModel()
            ).SerializeToString()
        else:
            content = files.read_regular(path, _LARGEST)
        message = saved_model_pb2.SavedModel.FromString(
            content
        )  # refuses deep nesting, too
    except (
        Exception
    ) as error:  # OSError, or protobuf's own, whose place differs by implementation
        reason = getattr(error, "strerror", None) or error
        raise ContractError(
            f"{str(path)!r} cannot be read as a SavedModel: {reason}"
        ) from error
    if not message.meta_graphs:
        raise ContractError(f"{str(path)!r} holds no MetaGraphDef")
    if len(message.meta_graphs) > _MOST_GRAPHS:
        found = (
            f"{len(message.meta_graphs)} MetaGraphDefs; expected at most {_MOST_GRAPHS}"
        )
        raise ContractError(f"{str(path)!r} holds {found}")
    return message


def load(directory: Path) -> tuple[SavedModel, SavedModelRecord]:
    """Returns the message of a directory that anybody may have written, and its serving record.

    Raises:
        ContractError: Where there is none, or it is malformed.
    """
    message = read(directory)
    return message, inspect_graph(directory, serving_graph(message))


def serving_graph(message: SavedModel) -> MetaGraphDef:
    """Returns the MetaGraph that a server loads.

    That is the one with the tag `serve` alone; else the one with the fewest tags beside it; else
    the first.
    """
    serving = [
        graph for graph in message.meta_graphs if SERVE in graph.meta_info_def.tags
    ]
    if not serving:
        return message.meta_graphs[0]
    return min(serving, key=lambda graph: len(graph.meta_info_def.tags))


def inspect(
    message: SavedModel, findings: tuple[Finding, ...] = ()
) -> SavedModelRecord:
    """Returns the record of the serving graph of a message, with what the audit found in it."""
    return replace(_record(serving_graph(message)), findings=findings)


def inspect_graph(directory: Path, graph: MetaGraphDef) -> SavedModelRecord:
    """Returns the record of a MetaGraph that was read from a directory.

    Raises:
        ContractError: Where it is malformed.
    """
    try:
        return _record(graph)
    except (IndexError, KeyError, ValueError, DecodeError) as error:
        path = base_path.model_file(directory)
        raise ContractError(
            f"{path}: cannot be read as a SavedModel: {error}"
        ) from error


def tensors(directory: Path, message: SavedModel) -> list[checkpoint.Tensor]:
    """Returns what the checkpoint of a SavedModel holds; nothing where it has and needs none.

    Raises:
        ContractError: With every file of it that is missing, cut off or malformed.
    """
    prefix = directory / CHECKPOINT_PREFIX
    if not checkpoint.exists(prefix) and not any(map(_restores, message.meta_graphs)):
        return []
    return checkpoint.read(prefix)


def _restores(graph: MetaGraphDef) -> bool:
    """Returns whether loading a graph reads a checkpoint."""
    return bool(graph.saver_def.restore_op_name or graph.object_graph_def.nodes)


def assets(graph: MetaGraphDef) -> list[str]:
    """Returns the basenames of the assets, sorted; TensorFlow 1 keeps them in a collection."""
    found = {asset.filename for asset in graph.asset_file_def}
    if _ASSETS in graph.collection_def:
        for packed in graph.collection_def[_ASSETS].any_list.value:
            asset = AssetFileDef()
            packed.Unpack(asset)
            found.add(asset.filename)
    return sorted(found)


def _record(graph: MetaGraphDef) -> SavedModelRecord:
    devices: set[str] = set()
    ops: Counter[str] = Counter()
    for _, node in all_nodes(
        graph
    ):  # not in a list: a node of two bytes would take hundreds
        devices.add(node.device)
        ops[node.op] += 1
    functions = sorted(saved_functions(graph), key=lambda pair: pair[0])
    keys = sorted({*graph.signature_def} - {*RESERVED_KEYS})
    return SavedModelRecord(
        tags=tuple(sorted(graph.meta_info_def.tags)),
        signatures={key: _signature(graph.signature_def[key]) for key in keys},
        variables=tuple(_variables(graph)),
        functions={name: function for name, function in functions if function.traces},
        assets=tuple(assets(graph)),
        devices=tuple(sorted(filter(None, devices))),
        ops=dict(sorted(ops.items())),
    )


def require_options(
    message: SavedModel, options: Mapping[str, Any], loaders: Collection[str]
) -> None:
    """Raises where a SavedModel message is not what the options promise of it.

    Raises:
        ConfigError: Where an op has a namespace that is not allowed.
        ContractError: Where there is no saver for variables that a server would need.
    """
    graph, allowed = serving_graph(message), options["namespace_whitelist"]
    ops = {node.op for _, node in all_nodes(graph) if ">" in node.op}
    found = sorted(
        op for op in ops if allowed is not None and op.partition(">")[0] not in allowed
    )
    if found:
        known = ", ".join(allowed) or "none"
        raise ConfigError(
            Problem(
                ("options", "namespace_whitelist"),
                f"allows {known}, but the graph has {', '.join(found)}",
            )
        )
    if (
        options["experimental_skip_saver"]
        and "cpp" in loaders
        and _needs_variables(graph.graph_def)
    ):
        message = "leaves no saver for variables that signatures read, so that no server can restore them"
        takes = "takes false, or verify.loaders=[python] where tf.saved_model.load is all that loads it"
        raise ContractError(
            Problem(("options", "experimental_skip_saver"), f"{message}; {takes}")
        )


def _needs_variables(graph: GraphDef) -> bool:
    variables = {node.name for node in graph.node if node.op == "VarHandleOp"}
    return any(
        variables & {*node.input}
        for node in graph.node
        if node.op.endswith("PartitionedCall")
    )


def all_nodes(graph: MetaGraphDef) -> Iterator[tuple[str, NodeDef]]:
    """Yields every node of a MetaGraphDef with the name of the function that holds it, empty for the graph itself."""
    for node in graph.graph_def.node:
        yield "", node
    for function in graph.graph_def.library.function:
        name = (
            function.signature.name
        )  # once: protobuf makes a new text of it each time
        for node in function.node_def:
            yield name, node


def _variables(graph: MetaGraphDef) -> Iterator[VariableRecord]:
    seen = set[int]()
    for name, index in named_objects(graph.object_graph_def):
        node = graph.object_graph_def.nodes[index]
        if node.WhichOneof("kind") == "variable" and index not in seen:
            seen.add(index)
            yield VariableRecord(
                name, dtype_name(node.variable.dtype), shape(node.variable.shape)
            )


def _signature(signature: SignatureDef) -> SignatureRecord:
    inputs = {
        name: _tensor(signature.inputs[name]) for name in sorted(signature.inputs)
    }
    for name in inputs.keys() & signature.defaults.keys():
        inputs[name] = replace(inputs[name], default=constant(signature.defaults[name]))
    outputs = {
        name: _tensor(signature.outputs[name]) for name in sorted(signature.outputs)
    }
    method_name = None if signature.method_name == PREDICT else signature.method_name
    return SignatureRecord(inputs, outputs, method_name=method_name)


def _tensor(info: TensorInfo) -> TensorRecord:
    encoding = info.WhichOneof("encoding")
    if encoding == "composite_tensor":
        composite = composite_spec(info.composite_tensor.type_spec)
        if composite is not None:
            return composite
        name = str(info.composite_tensor.type_spec.type_spec_class_name)
        return TensorRecord(name, None, kind=TYPE)
    kind = "sparse" if encoding == "coo_sparse" else None
    return TensorRecord(dtype_name(info.dtype), shape(info.tensor_shape), kind=kind)
