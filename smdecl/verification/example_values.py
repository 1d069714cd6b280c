"""Makes arrays of the values that a config gives for examples, inline or in files that it names."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from smdecl.checks import tfrecord
from smdecl.config.settings import Spec
from smdecl.errors import ConfigError, KeyPath, Problem
from smdecl.exporting import user_code
from smdecl.tensor_texts import shape_text

_BATCH_OF_IMAGES = 4  # dims; an image itself has height, width and channels


def to_arrays(path: KeyPath, value: Any, spec: Spec) -> Any:
    """Makes of a value an array as its spec asks for it; of a ragged one, its flat values and its splits.

    Args:
        path: Of the value in the config.
        value: A scalar or lists, or a mapping that names a file.
        spec: Of the tensor; a sparse one is given as the dense one that it stands for.

    Raises:
        ConfigError: Where the file cannot be read, or the value does not fit the spec.
    """
    read = _read(path, value, spec.dtype, spec.shape)
    if spec.kind == "ragged":
        return _ragged(path, read, spec)
    return _array(path, read, spec.dtype, spec.shape)


def _read(path: KeyPath, value: Any, dtype: str, shape: Sequence[Any] | None) -> Any:
    """Returns a value with what is in the files that it names, and with bytes for base64."""
    if isinstance(value, list) and _has_contents(value):
        below = None if shape is None else shape[1:]
        items = enumerate(value)
        return _joined(
            [_read((*path, index), item, dtype, below) for index, item in items]
        )
    if isinstance(value, Mapping) and "b64" in value:
        return _batch_of_one(base64.b64decode(value["b64"]), shape)
    if isinstance(value, Mapping) and "file" in value:
        return _read_file(path, value, dtype, shape)
    return value


def _has_contents(value: Any) -> bool:
    if isinstance(value, list):
        return any(map(_has_contents, value))
    return isinstance(value, Mapping)


def _joined(items: list[Any]) -> Any:
    """Returns items as one value: a stack of arrays if their shapes and dtypes agree."""
    arrays = [item for item in items if isinstance(item, np.ndarray)]
    if (
        len(arrays) == len(items)
        and len({(array.shape, array.dtype) for array in arrays}) == 1
    ):
        return np.stack(arrays)
    return [item.tolist() if isinstance(item, np.ndarray) else item for item in items]


def _batch_of_one(content: bytes, shape: Sequence[Any] | None) -> bytes | list[bytes]:
    return [content] if shape is not None and len(shape) == 1 else content


def _read_file(
    path: KeyPath, value: Mapping[str, Any], dtype: str, shape: Sequence[Any] | None
) -> Any:
    file = Path(value["file"])
    try:
        if file.suffix in (".npz", ".npy"):
            return _read_numpy(file, value.get("key"))
        if file.suffix == tfrecord.SUFFIX:
            return [record.numpy() for record in tf.data.TFRecordDataset(str(file))]
        content = file.read_bytes()
        if file.suffix == ".json":
            return json.loads(content.decode())
        if file.suffix == ".txt":
            text = content.decode()
            return _lines(text) if shape else text
        if dtype == "string" or file.suffix == ".bin":  # the model decodes it itself
            return _batch_of_one(content, shape)
        return _decode_image(content, dtype, shape)
    except UnicodeDecodeError as error:
        told = f"is not UTF-8: {error.reason} at byte {error.start}"
        raise ConfigError(
            Problem((*path, "file"), f"{value['file']!r} {told}")
        ) from error
    except json.JSONDecodeError as error:
        raise ConfigError(
            Problem((*path, "file"), f"{value['file']!r} is no JSON: {error}")
        ) from error
    except (
        Exception
    ) as error:  # what broken files make NumPy and TensorFlow raise is of many types
        message = f"{value['file']!r} cannot be read: {user_code.summary(error)}"
        raise ConfigError(Problem((*path, "file"), message)) from error


def _read_numpy(file: Path, key: str | None) -> Any:
    loaded = np.load(file, allow_pickle=False)
    if isinstance(loaded, np.ndarray):
        return loaded
    with loaded:
        names = loaded.files
        if key is None and len(names) == 1:
            key = names[0]
        if key not in names:
            raise ValueError(
                f"it has the keys {', '.join(names)}; takes one of them as key"
            )
        return loaded[key]


def _lines(text: str) -> list[str]:
    # Not by str.splitlines: it takes a form feed, or the separators of Unicode, for the end of a line.
    *lines, rest = text.replace("\r\n", "\n").split("\n")
    return [*lines, rest] if rest else lines


def _decode_image(content: bytes, dtype: str, shape: Sequence[Any] | None) -> Any:
    channels = shape[-1] if shape and isinstance(shape[-1], int) else 0
    # Asked for 16 bits of what has 8, TensorFlow would scale them.
    depth = tf.uint16 if dtype == "uint16" and _is_png_of_16_bits(content) else tf.uint8
    image = tf.io.decode_image(
        content, channels=channels, dtype=depth, expand_animations=False
    ).numpy()
    return (
        image[np.newaxis]
        if shape is not None and len(shape) == _BATCH_OF_IMAGES
        else image
    )


def _is_png_of_16_bits(content: bytes) -> bool:
    return content.startswith(b"\x89PNG\r\n\x1a\n") and content[24:25] == b"\x10"


def _ragged(path: KeyPath, value: Any, spec: Spec) -> list[Any]:
    splits: list[Any] = []
    for _ in range(spec.ragged_rank):
        if (rows := _rows(value)) is None:
            raise ConfigError(
                Problem(
                    path,
                    f"takes lists in lists, {spec.ragged_rank} deep, for a ragged tensor",
                )
            )
        lengths, value = rows
        splits.append(np.cumsum(np.append(0, lengths)).astype(spec.row_splits_dtype))
    inner = None if spec.shape is None else (None, *spec.shape[spec.ragged_rank + 1 :])
    if isinstance(value, list) and not value:
        value = np.zeros(
            [0, *[dim if isinstance(dim, int) else 0 for dim in (inner or ())[1:]]]
        )
    return [_array(path, value, spec.dtype, inner), *splits]


def _rows(value: Any) -> tuple[Any, Any] | None:
    """Returns the length of each row, and what is in them, one row after the other; None where there are no rows."""
    if isinstance(value, np.ndarray):
        if value.ndim > 1:
            count, length, *rest = value.shape
            return np.full(count, length), value.reshape(count * length, *rest)
        value = value.tolist()
    if not isinstance(value, list) or not all(isinstance(row, list) for row in value):
        return None
    return [*map(len, value)], [item for row in value for item in row]


def _array(path: KeyPath, value: Any, dtype: str, shape: Sequence[Any] | None) -> Any:
    try:
        array = _convert(value, tf.as_dtype(dtype))
    except (TypeError, ValueError, OverflowError) as error:
        raise ConfigError(Problem(path, f"cannot be made {dtype}: {error}")) from error
    sizes = (
        None
        if shape is None
        else [None if isinstance(dim, str) else dim for dim in shape]
    )
    if not tf.TensorShape(sizes).is_compatible_with(array.shape):
        hint = _SEVERAL if dtype == "string" and array.ndim < len(sizes or ()) else ""
        told = f"got a value of shape {shape_text(array.shape)}; takes {shape_text(shape or ())}{hint}"
        raise ConfigError(Problem(path, told))
    return array


_SEVERAL = ", in brackets, such as [{file: a.jpg}, {file: b.jpg}]"
_SHOWN = 80  # characters of a value


def _convert(value: Any, dtype: Any) -> Any:
    # Not by tf.constant: it wraps integers that are out of range around, and makes no float8 of an integer.
    leaves = value if isinstance(value, np.ndarray) else np.array(value, dtype=object)
    for leaf in _telling(leaves, dtype):
        _require(leaf, dtype)
    if dtype == tf.string:
        texts = [tf.compat.as_bytes(leaf) for leaf in leaves.ravel().tolist()]
        return np.array(texts, dtype=object).reshape(leaves.shape)
    if leaves.dtype == dtype.as_numpy_dtype:
        return leaves
    if not dtype.is_floating and not dtype.is_complex:
        return np.asarray(leaves.astype(dtype.as_numpy_dtype))
    wide = leaves.astype(np.complex128 if dtype.is_complex else np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        array = np.asarray(wide.astype(dtype.as_numpy_dtype))
    if (np.isfinite(wide) & ~np.isfinite(array.astype(wide.dtype))).any():
        raise ValueError("got a number that is too large for it")
    return array


def _telling(leaves: Any, dtype: Any) -> Any:
    """Returns the leaves to look at: of an array in a file, all of one type, the first and one that is out of range."""
    if leaves.dtype == object:
        return leaves.ravel()
    telling = leaves.flat[:1].tolist()
    if leaves.dtype.kind in "iu" and (limits := _limits(dtype)):
        # As numbers that it can hold itself, for NumPy would compare others as floats.
        own = np.iinfo(leaves.dtype)
        outside = (leaves < max(limits[0], own.min)) | (
            leaves > min(limits[1], own.max)
        )
        telling += leaves[outside][:1].tolist()
    return telling


def _limits(dtype: Any) -> tuple[Any, Any] | None:
    """Returns the least and the greatest integer of a dtype of integers."""
    if dtype.is_quantized:
        dtype = tf.as_dtype(dtype.as_numpy_dtype[0])
    return (int(dtype.min), int(dtype.max)) if dtype.is_integer else None


def _require(leaf: Any, dtype: Any) -> None:
    takes: tuple[type, ...] = (int,)
    if dtype == tf.string:
        takes = (str, bytes)
    elif dtype == tf.bool:
        takes = (bool,)
    elif dtype.is_floating or dtype.is_complex:
        takes = (int, float, complex) if dtype.is_complex else (int, float)
    if isinstance(leaf, list):
        raise TypeError("got lists of different lengths or depths")
    if not isinstance(leaf, takes) or (isinstance(leaf, bool) and dtype != tf.bool):
        text = repr(leaf)
        shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
        raise TypeError(f"got {shown}, which is {type(leaf).__name__}")
    if (limits := _limits(dtype)) and not limits[0] <= leaf <= limits[1]:
        raise ValueError(f"got {leaf}; takes {limits[0]} to {limits[1]}")
