"""Stage 6, inspect: reads a SavedModel back from its bytes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from google.protobuf import text_format
from google.protobuf.message import DecodeError

from smdecl import files
from smdecl.errors import ContractError
from smdecl.names import CHECKPOINT_PREFIX, PREDICT, RESERVED_KEYS
from smdecl.savedmodel import base_path, variable_names
from smdecl.savedmodel.checkpoint_files import checkpoint
from smdecl.savedmodel.functions import saved_functions
from smdecl.savedmodel.protos import (
    AssetFileDef,
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
_LARGEST = (1 << 31) - 1  # bytes of a message, the limit of protobuf
_LARGEST_TEXT = 1 << 25  # bytes; parsing a million of them takes a second
_MOST_GRAPHS = 10_000  # an empty one takes two bytes; TensorFlow writes a few
# The collection in which TensorFlow 1 keeps assets.
_ASSETS = "saved_model_assets"


def read(directory: Path) -> SavedModel:
    """Returns the message in saved_model.pb or saved_model.pbtxt.

    Raises:
        ContractError: If the directory has neither file, or the file cannot be parsed.
    """
    path = base_path.model_file(directory)
    if path is None:
        names = " or ".join(base_path.MODEL_FILES)
        raise ContractError(
            f"{str(directory)!r} contains no SavedModel: no {names}"
        )
    try:
        message = saved_model_pb2.SavedModel.FromString(_content(path))
    except Exception as error:
        # OSError, or an error of protobuf, whose module depends on the implementation.
        reason = getattr(error, "strerror", None) or error
        raise _unreadable(path, reason) from error
    graphs = len(message.meta_graphs)
    if graphs == 0:
        raise ContractError(f"{str(path)!r} contains no MetaGraphDef")
    if graphs > _MOST_GRAPHS:
        found = f"{graphs} MetaGraphDefs; expected at most {_MOST_GRAPHS}"
        raise ContractError(f"{str(path)!r} contains {found}")
    return message


def _content(path: Path) -> bytes:
    """Returns the bytes of a message, which may be stored as text."""
    if path.suffix != ".pbtxt":
        return files.read_regular(path, _LARGEST)
    text = files.read_regular(path, _LARGEST_TEXT).decode()
    message = text_format.Parse(text, saved_model_pb2.SavedModel())
    # The text parser accepts deep nesting; the binary parser refuses it.
    return bytes(message.SerializeToString())


def _unreadable(path: Path | None, reason: object) -> ContractError:
    return ContractError(
        f"cannot read {str(path)!r} as a SavedModel: {reason}"
    )


def load(directory: Path) -> tuple[SavedModel, SavedModelRecord]:
    """Returns the message in a directory from any source, and the record of its serving graph.

    Raises:
        ContractError: If there is no message, or it is malformed.
    """
    message = read(directory)
    return message, inspect_graph(directory, serving_graph(message))


def serving_graph(message: SavedModel) -> MetaGraphDef:
    """Returns the MetaGraph that a server loads: the one tagged `serve`.

    If several are, it is the one with the fewest tags; if none is, the first MetaGraph.
    """
    graphs = message.meta_graphs
    serving = [graph for graph in graphs if SERVE in graph.meta_info_def.tags]
    if not serving:
        return graphs[0]
    return min(serving, key=lambda graph: len(graph.meta_info_def.tags))


def inspect(
    message: SavedModel, findings: tuple[Finding, ...] = ()
) -> SavedModelRecord:
    """Returns the record of the serving graph of a message, with the findings of the audit."""
    return replace(_record(serving_graph(message)), findings=findings)


def inspect_graph(directory: Path, graph: MetaGraphDef) -> SavedModelRecord:
    """Returns the record of a MetaGraph that was read from a directory.

    Raises:
        ContractError: If it is malformed.
    """
    try:
        return _record(graph)
    except (IndexError, KeyError, ValueError, DecodeError) as error:
        raise _unreadable(base_path.model_file(directory), error) from error


def tensors(directory: Path, message: SavedModel) -> list[checkpoint.Tensor]:
    """Returns the tensors in the checkpoint; none if the SavedModel has and needs no checkpoint.

    Raises:
        ContractError: With every file of the checkpoint that is missing, truncated or malformed.
    """
    prefix = directory / CHECKPOINT_PREFIX
    is_restored = any(map(_restores, message.meta_graphs))
    if not is_restored and not checkpoint.exists(prefix):
        return []
    return checkpoint.read(prefix)


def _restores(graph: MetaGraphDef) -> bool:
    """Returns whether loading a graph reads a checkpoint."""
    return bool(
        graph.saver_def.restore_op_name or graph.object_graph_def.nodes
    )


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
    # One by one: in a list, each node of two bytes would take hundreds.
    for _, node in all_nodes(graph):
        devices.add(node.device)
        ops[node.op] += 1
    functions = sorted(saved_functions(graph), key=lambda pair: pair[0])
    keys = sorted({*graph.signature_def} - {*RESERVED_KEYS})
    return SavedModelRecord(
        tags=tuple(sorted(graph.meta_info_def.tags)),
        signatures={key: _signature(graph.signature_def[key]) for key in keys},
        variables=tuple(_variables(graph)),
        functions={
            name: function for name, function in functions if function.traces
        },
        assets=tuple(assets(graph)),
        devices=tuple(sorted(filter(None, devices))),
        ops=dict(sorted(ops.items())),
    )


def all_nodes(graph: MetaGraphDef) -> Iterator[tuple[str, NodeDef]]:
    """Yields each node with the name of the function that it is in, empty for the graph itself."""
    for node in graph.graph_def.node:
        yield "", node
    for function in graph.graph_def.library.function:
        name = function.signature.name  # once: each access makes a new string
        for node in function.node_def:
            yield name, node


def _variables(graph: MetaGraphDef) -> Iterator[VariableRecord]:
    for variable in variable_names.of_graph(graph.object_graph_def):
        saved = variable.saved
        dtype = dtype_name(saved.dtype)
        yield VariableRecord(variable.name, dtype, shape(saved.shape))


def _signature(signature: SignatureDef) -> SignatureRecord:
    inputs = _tensors(signature.inputs)
    for name in inputs.keys() & signature.defaults.keys():
        inputs[name] = replace(
            inputs[name], default=constant(signature.defaults[name])
        )
    outputs = _tensors(signature.outputs)
    method_name = (
        None if signature.method_name == PREDICT else signature.method_name
    )
    return SignatureRecord(inputs, outputs, method_name=method_name)


def _tensors(infos: Mapping[str, TensorInfo]) -> dict[str, TensorRecord]:
    return {name: _tensor(infos[name]) for name in sorted(infos)}


def _tensor(info: TensorInfo) -> TensorRecord:
    encoding = info.WhichOneof("encoding")
    if encoding == "composite_tensor":
        composite = composite_spec(info.composite_tensor.type_spec)
        if composite is not None:
            return composite
        name = str(info.composite_tensor.type_spec.type_spec_class_name)
        return TensorRecord(name, None, kind=TYPE)
    kind = "sparse" if encoding == "coo_sparse" else None
    return TensorRecord(
        dtype_name(info.dtype), shape(info.tensor_shape), kind=kind
    )
