"""Derives the specs that a config may omit, from a `tf.TypeSpec` or a Keras Input."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

import tensorflow as tf

from smdecl.config.settings import Spec
from smdecl.exporting.types import Tensor, TypeSpec


@dataclass(frozen=True)
class DerivedSpec:
    """The spec of an input that a config does not declare.

    Attributes:
        spec: The spec, as far as it is known.
        unclear: Why a config must declare the input instead; None if the spec is known.
    """

    spec: Spec
    unclear: str | None = None


def of_input(tensor: Tensor) -> DerivedSpec:
    """Returns the spec of the tensor of a Keras Input."""
    # Only legacy Keras keeps one.
    type_spec = getattr(tensor, "type_spec", None)
    if type_spec is not None:
        return of_type_spec(type_spec)
    shape = None
    if tensor.shape is not None:
        shape = _shape(tf.TensorShape(tensor.shape))
    spec = Spec(shape, tf.as_dtype(tensor.dtype).name)
    if tensor.sparse:
        return DerivedSpec(replace(spec, kind="sparse"))
    if not tensor.ragged:
        return DerivedSpec(spec)
    splits = tensor.row_splits_dtype or spec.row_splits_dtype
    spec = replace(spec, kind="ragged", row_splits_dtype=splits)
    return _of_ragged(spec, tensor.ragged_rank)


def of_type_spec(type_spec: TypeSpec) -> DerivedSpec:
    """Returns the declared form of a `tf.TypeSpec` that has a shape and a dtype."""
    spec = Spec(_shape(type_spec.shape), type_spec.dtype.name)
    if isinstance(type_spec, tf.TensorSpec):
        return DerivedSpec(spec)
    if isinstance(type_spec, tf.SparseTensorSpec):
        return DerivedSpec(replace(spec, kind="sparse"))
    is_ragged = isinstance(type_spec, tf.RaggedTensorSpec)
    if not is_ragged or type_spec.flat_values_spec is not None:
        found = f"expected a dense, ragged or sparse tensor, got {type_spec}"
        hint = "export a method that creates it from such tensors"
        return DerivedSpec(spec, f"{found}; {hint}")
    splits = type_spec.row_splits_dtype.name
    spec = replace(spec, kind="ragged", row_splits_dtype=splits)
    return _of_ragged(spec, type_spec.ragged_rank)


def _of_ragged(spec: Spec, ragged_rank: int | None) -> DerivedSpec:
    """Adds the number of ragged dimensions to a ragged spec.

    Args:
        spec: The spec.
        ragged_rank: What Keras knows of it; None if nothing, as for most Inputs of Keras 3.
    """
    if spec.shape is None:
        return unclear(
            replace(spec, shape=(None, None)),
            "the rank of this ragged tensor is unknown",
        )
    if len(spec.shape) <= 1:
        return unclear(
            replace(spec, kind="dense"),
            f"expected a ragged tensor of rank 2 or more, got rank {len(spec.shape)}",
        )
    if ragged_rank:
        return DerivedSpec(replace(spec, ragged_rank=ragged_rank))
    if ragged_rank == 0:
        return unclear(spec, "expected a ragged_rank of at least 1, got 0")
    unknown = [
        index
        for index, size in enumerate(spec.shape)
        if size is None and index > 0
    ]
    spec = replace(spec, ragged_rank=max(unknown, default=1))
    if len(unknown) > 1:
        return unclear(
            spec, "Keras does not know which of the sizes are ragged"
        )
    return DerivedSpec(spec)


def unclear(spec: Spec, found: str) -> DerivedSpec:
    """Returns a spec that a config must declare.

    Args:
        spec: The most likely one.
        found: Why it is not certain.
    """
    hint = f"declare what clients send, such as {declaration(spec)}"
    return DerivedSpec(spec, f"{found}; {hint}")


def _shape(shape: tf.TensorShape) -> tuple[int | None, ...] | None:
    return None if shape.rank is None else tuple(shape.as_list())


def declaration(spec: Spec) -> str:
    """Returns a spec as a config declares it."""
    keys = {"shape": json.dumps(spec.shape), "dtype": spec.dtype}
    if spec.kind != "dense":
        keys = {"kind": spec.kind, **keys}
    if spec.kind == "ragged" and spec.ragged_rank != 1:
        keys["ragged_rank"] = str(spec.ragged_rank)
    if spec.kind == "ragged" and spec.row_splits_dtype != "int64":
        keys["row_splits_dtype"] = spec.row_splits_dtype
    if spec.name is not None:
        keys["name"] = spec.name
    texts = [f"{key}: {text}" for key, text in keys.items()]
    return f"{{{', '.join(texts)}}}"
