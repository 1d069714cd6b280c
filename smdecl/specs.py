"""Makes TensorFlow's specs and arguments of declared ones, and finds the methods that they are for."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from smdecl.config import Signature, Spec, map_nest


def find_method(obj: Any, dotted_path: str) -> Any:
    """Follows a dotted path from `obj`; None where it leads to nothing that can be called."""
    found = obj
    for name in dotted_path.split("."):
        found = getattr(found, name, None)
    return found if callable(found) else None


def arguments(signature: Signature) -> dict[str, Any]:
    """Returns the arguments to trace the method of a signature with: specs, nests of them, and bound values."""
    return {
        name: map_nest(nest, lambda place, spec, name=name: tensor_spec(spec, None if place else name))  # type: ignore[misc]
        for name, nest in (signature.inputs or {}).items()
    }


def tensor_spec(spec: Spec, default_name: str | None) -> Any:
    """Returns the `tf.TypeSpec` of a declared spec; a named dim is an unknown size to TensorFlow."""
    shape = None if spec.shape is None else [None if isinstance(dim, str) else dim for dim in spec.shape]
    if spec.kind == "ragged":
        splits = tf.as_dtype(spec.row_splits_dtype)
        return tf.RaggedTensorSpec(shape, spec.dtype, ragged_rank=spec.ragged_rank, row_splits_dtype=splits)
    if spec.kind == "sparse":
        return tf.SparseTensorSpec(shape, spec.dtype)
    return tf.TensorSpec(shape, spec.dtype, name=spec.name or default_name)
