"""Converts the values that a config gives for examples into arrays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from smdecl.config.settings import Spec, parts
from smdecl.errors import ConfigError, KeyPath, Problem
from smdecl.savedmodel.comparing.array_distances import Array
from smdecl.tensor_texts import Dim, shape_text
from smdecl.verification import example_files

_BRACKETS = "; put several in brackets, such as [{file: a.jpg}, {file: b.jpg}]"
_SHOWN = 80  # characters of a value


def to_array(path: KeyPath, value: object, spec: Spec) -> Array:
    """Converts a value into an array that fits a spec.

    Args:
        path: The key path of the value.
        value: A scalar, nested lists, or a mapping that names a file.
        spec: The dtype and shape of the array; its kind is ignored.

    Raises:
        ConfigError: If a file cannot be read, or the value does not fit the spec.
    """
    content = example_files.read(path, value, spec.dtype, spec.shape)
    return _array(path, content, spec.dtype, spec.shape)


def input_arrays(
    path: KeyPath,
    name: str,
    value: object,
    spec: Spec,
) -> dict[str, Array]:
    """Converts the value of an input into the dense arrays that it is sent as, by name.

    Args:
        path: The key path of the value.
        name: The name of the input.
        value: As for `to_array`; a ragged tensor is given as nested lists with rows of any
            length, a sparse one as its dense equivalent.
        spec: The spec of the input.

    Raises:
        ConfigError: If a file cannot be read, or the value does not fit the spec.
    """
    if spec.kind == "ragged":
        content = example_files.read(path, value, spec.dtype, spec.shape)
        arrays = _ragged(path, content, spec)
    elif spec.kind == "sparse":
        arrays = sparse_parts(to_array(path, value, spec))
    else:
        arrays = [to_array(path, value, spec)]
    return dict(zip(parts(name, spec), arrays, strict=True))


def sparse_parts(dense: Array) -> list[Array]:
    """Returns indices, values and dense shape of the entries that are not 0, False or empty."""
    absent = b"" if dense.dtype == object else np.zeros((), dense.dtype)
    present = dense != absent
    indices = np.argwhere(present)
    values = dense[tuple(indices.T)]
    shape = np.array(dense.shape, np.int64)
    return [indices, values, shape]


def _ragged(path: KeyPath, value: object, spec: Spec) -> list[Array]:
    """Returns the flat values and the row splits of each ragged dim, the outermost first."""
    splits: list[Array] = []
    for _ in range(spec.ragged_rank):
        rows = _rows(value)
        if rows is None:
            message = f"expected lists nested {spec.ragged_rank} deep for a ragged tensor"
            raise ConfigError(Problem(path, message))
        lengths, value = rows
        ends = np.cumsum(np.append(0, lengths))
        splits.append(ends.astype(spec.row_splits_dtype))
    inner = () if spec.shape is None else spec.shape[spec.ragged_rank + 1 :]
    if isinstance(value, list) and not value:
        sizes = [dim if isinstance(dim, int) else 0 for dim in inner]
        value = np.zeros([0, *sizes])
    flat_shape = None if spec.shape is None else (None, *inner)
    return [_array(path, value, spec.dtype, flat_shape), *splits]


def _rows(value: object) -> tuple[Array, object] | None:
    """Returns the length of each row, and the items of all rows; None if there are no rows."""
    if isinstance(value, np.ndarray):
        if value.ndim > 1:
            count, length, *rest = value.shape
            return np.full(count, length), value.reshape(count * length, *rest)
        value = value.tolist()
    if not isinstance(value, list):
        return None
    if not all(isinstance(row, list) for row in value):
        return None
    items = []
    for row in value:
        items += row
    lengths = np.array([len(row) for row in value], dtype=np.int64)
    return lengths, items


def _array(
    path: KeyPath,
    value: object,
    dtype: str,
    shape: Sequence[Dim] | None,
) -> Array:
    try:
        array = _convert(value, tf.as_dtype(dtype))
    except (TypeError, ValueError, OverflowError) as error:
        message = f"cannot be converted to {dtype}: {error}"
        raise ConfigError(Problem(path, message)) from error
    if shape is not None and not _fits(array, shape):
        lacks_dims = array.ndim < len(shape)
        hint = _BRACKETS if dtype == "string" and lacks_dims else ""
        found = f"got a value of shape {shape_text(array.shape)}"
        message = f"{found}; expected {shape_text(shape)}{hint}"
        raise ConfigError(Problem(path, message))
    return array


def _fits(array: Array, shape: Sequence[Dim]) -> bool:
    sizes = [dim if isinstance(dim, int) else None for dim in shape]
    return bool(tf.TensorShape(sizes).is_compatible_with(array.shape))


def _convert(value: object, dtype: tf.DType) -> Array:
    # tf.constant wraps integers that are out of range, and cannot convert an integer to float8.
    if isinstance(value, np.ndarray):
        leaves: Array = value
    else:
        leaves = np.array(value, dtype=object)
    for leaf in _leaves_to_check(leaves, dtype):
        _check_leaf(leaf, dtype)
    if dtype == tf.string:
        texts = [tf.compat.as_bytes(leaf) for leaf in leaves.ravel().tolist()]
        return np.array(texts, dtype=object).reshape(leaves.shape)
    if leaves.dtype == dtype.as_numpy_dtype:
        return leaves
    if dtype.is_floating or dtype.is_complex:
        return _convert_floats(leaves, dtype)
    return leaves.astype(dtype.as_numpy_dtype)


def _convert_floats(leaves: Array, dtype: tf.DType) -> Array:
    wide = leaves.astype(np.complex128 if dtype.is_complex else np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        array: Array = wide.astype(dtype.as_numpy_dtype)
    back = array.astype(wide.dtype)
    overflows = np.isfinite(wide) & ~np.isfinite(back)
    if overflows.any():
        raise ValueError("got a number that is too large for it")
    return array


def _leaves_to_check(leaves: Array, dtype: tf.DType) -> Sequence[object]:
    """Returns all leaves of a value in the config.

    The leaves of an array in a file have one type: returns the first, and one that is out of range.
    """
    if leaves.dtype == object:
        return list(leaves.ravel())
    chosen: list[object] = leaves.flat[:1].tolist()
    limits = _limits(dtype)
    if leaves.dtype.kind in "iu" and limits is not None:
        # Limits that its own dtype cannot hold would make NumPy compare floats.
        own = np.iinfo(leaves.dtype)
        least = max(limits[0], own.min)
        greatest = min(limits[1], own.max)
        is_outside = (leaves < least) | (leaves > greatest)
        chosen += leaves[is_outside][:1].tolist()
    return chosen


def _limits(dtype: tf.DType) -> tuple[int, int] | None:
    """Returns the least and the greatest value of an integer dtype; None for other dtypes."""
    if dtype.is_quantized:
        dtype = tf.as_dtype(dtype.as_numpy_dtype[0])
    return (int(dtype.min), int(dtype.max)) if dtype.is_integer else None


def _check_leaf(leaf: object, dtype: tf.DType) -> None:
    if isinstance(leaf, list):
        raise TypeError("got lists of different lengths or depths")
    is_misplaced_bool = isinstance(leaf, bool) and dtype != tf.bool
    if is_misplaced_bool or not isinstance(leaf, _python_types(dtype)):
        text = repr(leaf)
        shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
        raise TypeError(f"got {shown}, which is {type(leaf).__name__}")
    limits = _limits(dtype)
    if limits is not None and isinstance(leaf, int):
        least, greatest = limits
        if not least <= leaf <= greatest:
            raise ValueError(f"got {leaf}; expected {least} to {greatest}")


def _python_types(dtype: tf.DType) -> tuple[type, ...]:
    """Returns the types of Python values that a dtype accepts."""
    if dtype == tf.string:
        return (str, bytes)
    if dtype == tf.bool:
        return (bool,)
    if dtype.is_complex:
        return (int, float, complex)
    if dtype.is_floating:
        return (int, float)
    return (int,)
