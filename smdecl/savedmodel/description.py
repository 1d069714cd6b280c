"""Says what any SavedModel is, by its files alone; TensorFlow is not needed for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

from smdecl import files
from smdecl.errors import ContractError
from smdecl.names import RESERVED_KEYS
from smdecl.printing import printable
from smdecl.savedmodel import base_path, checkpoint, inspection
from smdecl.savedmodel.description_records import (
    DescriptionRecord,
    GraphRecord,
    StoredRecord,
    TensorNamesRecord,
)
from smdecl.savedmodel.protos import MetaGraphDef, SignatureDef, TensorInfo

_INIT_KEY, _TRAIN_KEY = RESERVED_KEYS
# The collections of TensorFlow 1 that name what a loader runs first, and a training step.
_INIT_COLLECTIONS = ("saved_model_main_op", "legacy_init_op")
_TRAIN_COLLECTIONS = ("saved_model_train_op",)


def describe(directory: Path) -> DescriptionRecord:
    """Returns what the SavedModel in a directory is.

    A missing or malformed checkpoint is part of the description. The values of variables are not
    read.

    Raises:
        UsageError: Where it is no directory, or a base path.
        ContractError: Where it holds no SavedModel that can be read.
    """
    base_path.require_one(directory, "a SavedModel")
    message = inspection.read(directory)
    serving = inspection.serving_graph(message)
    first = _graph(directory, serving)
    others = [
        _graph(directory, graph)
        for graph in message.meta_graphs
        if graph is not serving
    ]
    tensors, damage = list[checkpoint.Tensor](), list[str]()
    try:
        tensors = inspection.tensors(directory, message)
    except ContractError as error:
        damage += [str(problem) for problem in error.problems]
    return DescriptionRecord(
        **{field.name: getattr(first, field.name) for field in fields(first)},
        other_graphs=tuple(others),
        stored=tuple(_stored(tensor) for tensor in tensors),
        files=dict(_files(directory)),
        release=None,
        damage=tuple(damage),
    )


def _graph(directory: Path, graph: MetaGraphDef) -> GraphRecord:
    saved_model = inspection.inspect_graph(directory, graph)
    signatures = {key: graph.signature_def[key] for key in saved_model.signatures}
    return GraphRecord(
        saved_model=saved_model,
        methods={key: signature.method_name for key, signature in signatures.items()},
        tensors={
            key: _tensor_names(signature) for key, signature in signatures.items()
        },
        tensorflow=graph.meta_info_def.tensorflow_version,
        init_op=_op(graph, _INIT_KEY, _INIT_COLLECTIONS),
        train_op=_op(graph, _TRAIN_KEY, _TRAIN_COLLECTIONS),
    )


def _tensor_names(signature: SignatureDef) -> TensorNamesRecord:
    return TensorNamesRecord(
        inputs={
            name: _tensor_name(info) for name, info in sorted(signature.inputs.items())
        },
        outputs={
            name: _tensor_name(info) for name, info in sorted(signature.outputs.items())
        },
    )


def _tensor_name(info: TensorInfo) -> str:
    """Returns the tensor behind an input or output, such as `x:0`; of a composite, all tensors."""
    encoding = info.WhichOneof("encoding")
    if encoding == "coo_sparse":
        sparse = info.coo_sparse
        parts = {
            "values": sparse.values_tensor_name,
            "indices": sparse.indices_tensor_name,
            "dense shape": sparse.dense_shape_tensor_name,
        }
        return ", ".join(f"{part} {name}" for part, name in parts.items())
    if encoding == "composite_tensor":
        return ", ".join(
            _tensor_name(part) for part in info.composite_tensor.components
        )
    return str(info.name)


def _op(graph: MetaGraphDef, key: str, collections: tuple[str, ...]) -> str | None:
    if key in graph.signature_def:
        return next(
            (str(info.name) for info in graph.signature_def[key].outputs.values()), None
        )
    for name in collections:
        if name in graph.collection_def:
            return next(iter(graph.collection_def[name].node_list.value), None)
    return None


def _stored(tensor: checkpoint.Tensor) -> StoredRecord:
    return StoredRecord(tensor.name, tensor.dtype, tensor.shape, tensor.size)


def _files(directory: Path) -> Iterator[tuple[str, int]]:
    try:
        for name, _ in sorted(
            files.walk(directory), key=lambda found: found[0].split("/")
        ):
            path = directory / name
            if path.is_file():
                yield printable(name), path.stat().st_size
    except OSError as error:
        raise ContractError(
            f"{error.filename}: cannot be read: {error.strerror}"
        ) from error
