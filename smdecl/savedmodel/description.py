"""Describes any SavedModel by its files alone, without TensorFlow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path

from smdecl import files
from smdecl.errors import ContractError
from smdecl.names import RESERVED_KEYS
from smdecl.printing import printable
from smdecl.savedmodel import base_path, inspection, variable_names
from smdecl.savedmodel.checkpoint_files import checkpoint
from smdecl.savedmodel.description_records import (
    DescriptionRecord,
    GraphRecord,
    StoredRecord,
    TensorNamesRecord,
)
from smdecl.savedmodel.protos import MetaGraphDef, SignatureDef, TensorInfo

_INIT_KEY, _TRAIN_KEY = RESERVED_KEYS
# The collections in which TensorFlow 1 names the op that a loader runs first, and a training step.
_INIT_COLLECTIONS = ("saved_model_main_op", "legacy_init_op")
_TRAIN_COLLECTIONS = ("saved_model_train_op",)


def describe(directory: Path) -> DescriptionRecord:
    """Describes the SavedModel in a directory.

    A missing or malformed checkpoint is part of the description. The values of variables are not
    read.

    Raises:
        UsageError: If it is not a directory, or is a base path.
        ContractError: If it contains no SavedModel, or an unreadable one.
    """
    base_path.require_one(directory, "a SavedModel")
    message = inspection.read(directory)
    serving = inspection.serving_graph(message)
    first = _graph(directory, serving)
    others = [graph for graph in message.meta_graphs if graph is not serving]
    tensors: list[checkpoint.Tensor] = []
    damage: list[str] = []
    try:
        tensors = inspection.tensors(directory, message)
    except ContractError as error:
        damage = [str(problem) for problem in error.problems]
    return DescriptionRecord(
        **{field.name: getattr(first, field.name) for field in fields(first)},
        other_graphs=tuple(_graph(directory, graph) for graph in others),
        stored=tuple(_stored(serving, tensors)),
        files=dict(_files(directory)),
        release=None,
        damage=tuple(damage),
    )


def _graph(directory: Path, graph: MetaGraphDef) -> GraphRecord:
    saved_model = inspection.inspect_graph(directory, graph)
    signatures = {
        key: graph.signature_def[key] for key in saved_model.signatures
    }
    return GraphRecord(
        saved_model=saved_model,
        methods={
            key: signature.method_name for key, signature in signatures.items()
        },
        tensors={
            key: _names(signature) for key, signature in signatures.items()
        },
        tensorflow=graph.meta_info_def.tensorflow_version,
        init_op=_op(graph, _INIT_KEY, _INIT_COLLECTIONS),
        train_op=_op(graph, _TRAIN_KEY, _TRAIN_COLLECTIONS),
    )


def _names(signature: SignatureDef) -> TensorNamesRecord:
    return TensorNamesRecord(
        inputs=_names_of(signature.inputs),
        outputs=_names_of(signature.outputs),
    )


def _names_of(infos: Mapping[str, TensorInfo]) -> dict[str, str]:
    return {name: _tensor_name(infos[name]) for name in sorted(infos)}


def _tensor_name(info: TensorInfo) -> str:
    """Returns the tensor behind an input or output, such as `x:0`; for a composite, all of them."""
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
        return ", ".join(map(_tensor_name, info.composite_tensor.components))
    return str(info.name)


def _op(
    graph: MetaGraphDef, key: str, collections: tuple[str, ...]
) -> str | None:
    """Returns the op or tensor of a reserved signature, or else of a collection."""
    if key in graph.signature_def:
        outputs = graph.signature_def[key].outputs.values()
        return next((str(info.name) for info in outputs), None)
    for name in collections:
        if name in graph.collection_def:
            return next(iter(graph.collection_def[name].node_list.value), None)
    return None


def _stored(
    graph: MetaGraphDef, tensors: Sequence[checkpoint.Tensor]
) -> Iterator[StoredRecord]:
    names = variable_names.of_tensors(
        graph.object_graph_def, [tensor.name for tensor in tensors]
    )
    for tensor in tensors:
        yield StoredRecord(
            names[tensor.name],
            tensor.name,
            tensor.dtype,
            tensor.shape,
            tensor.size,
        )


def _files(directory: Path) -> Iterator[tuple[str, int]]:
    try:
        names = [name for name, _ in files.walk(directory)]
        for name in sorted(names, key=lambda name: name.split("/")):
            path = directory / name
            if path.is_file():
                yield printable(name), path.stat().st_size
    except OSError as error:
        message = f"cannot read {error.filename!r}: {error.strerror}"
        raise ContractError(message) from error
