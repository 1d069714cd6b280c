"""Reads the values of examples from the files and base64 texts that a config names."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from smdecl.checks.examples import tfrecord
from smdecl.errors import ConfigError, KeyPath, Problem
from smdecl.exporting import user_code
from smdecl.savedmodel.comparing.array_distances import Array
from smdecl.tensor_texts import Dim

_BATCH_OF_IMAGES = 4  # dims; a single image has height, width and channels


def read(
    path: KeyPath,
    value: object,
    dtype: str,
    shape: Sequence[Dim] | None,
) -> object:
    """Returns a value with the contents of its files and base64 texts in their place.

    Args:
        path: The key path of the value.
        value: A scalar, an array or nested lists, in which a mapping names a file or holds base64.
        dtype: The dtype that the value is for.
        shape: The shape that the value is for; None is an unknown rank.

    Raises:
        ConfigError: If a file cannot be read.
    """
    if isinstance(value, list) and _has_contents(value):
        item_shape = None if shape is None else shape[1:]
        items = [
            read((*path, index), item, dtype, item_shape)
            for index, item in enumerate(value)
        ]
        return _joined(items)
    if isinstance(value, Mapping) and "b64" in value:
        return _batch_of_one(base64.b64decode(value["b64"]), shape)
    if isinstance(value, Mapping) and "file" in value:
        return _read_file(path, value["file"], value.get("key"), dtype, shape)
    return value


def _has_contents(value: object) -> bool:
    if isinstance(value, list):
        return any(map(_has_contents, value))
    return isinstance(value, Mapping)


def _joined(items: list[object]) -> object:
    """Returns the items as one value: stacked if all are arrays of one shape and dtype."""
    arrays = [item for item in items if isinstance(item, np.ndarray)]
    forms = {(array.shape, array.dtype) for array in arrays}
    if len(arrays) == len(items) and len(forms) == 1:
        return np.stack(arrays)
    joined = []
    for item in items:
        joined.append(item.tolist() if isinstance(item, np.ndarray) else item)
    return joined


def _batch_of_one(
    content: bytes, shape: Sequence[Dim] | None
) -> bytes | list[bytes]:
    is_batch = shape is not None and len(shape) == 1
    return [content] if is_batch else content


def _read_file(
    path: KeyPath,
    name: str,
    key: str | None,
    dtype: str,
    shape: Sequence[Dim] | None,
) -> object:
    try:
        return _content(Path(name), key, dtype, shape)
    except UnicodeDecodeError as error:
        message = (
            f"{name!r} is not UTF-8: {error.reason} at byte {error.start}"
        )
        raise ConfigError(Problem((*path, "file"), message)) from error
    except json.JSONDecodeError as error:
        message = f"{name!r} is not valid JSON: {error}"
        raise ConfigError(Problem((*path, "file"), message)) from error
    except Exception as error:
        # NumPy and TensorFlow raise many types for broken files.
        message = f"cannot read {name!r}: {user_code.summary(error)}"
        raise ConfigError(Problem((*path, "file"), message)) from error


def _content(
    file: Path,
    key: str | None,
    dtype: str,
    shape: Sequence[Dim] | None,
) -> object:
    if file.suffix in (".npz", ".npy"):
        return _read_numpy(file, key)
    if file.suffix == tfrecord.SUFFIX:
        return [
            record.numpy() for record in tf.data.TFRecordDataset(str(file))
        ]
    content = file.read_bytes()
    if file.suffix == ".json":
        return json.loads(content.decode())
    if file.suffix == ".txt":
        text = content.decode()
        return _lines(text) if shape else text
    # The model decodes it itself.
    if dtype == "string" or file.suffix == ".bin":
        return _batch_of_one(content, shape)
    return _decode_image(content, dtype, shape)


def _read_numpy(file: Path, key: str | None) -> Array:
    loaded = np.load(file, allow_pickle=False)
    if isinstance(loaded, np.ndarray):
        return loaded
    with loaded:
        names = loaded.files
        if key is None and len(names) == 1:
            key = names[0]
        if key not in names:
            raise ValueError(f"expected key to be one of {', '.join(names)}")
        array: Array = loaded[key]
        return array


def _lines(text: str) -> list[str]:
    # str.splitlines would also split at form feeds and Unicode's separators.
    *lines, rest = text.replace("\r\n", "\n").split("\n")
    return [*lines, rest] if rest else lines


def _decode_image(
    content: bytes, dtype: str, shape: Sequence[Dim] | None
) -> Array:
    channels = shape[-1] if shape and isinstance(shape[-1], int) else 0
    # TensorFlow scales an image of 8 bits that is decoded as one of 16.
    depth = (
        tf.uint16
        if dtype == "uint16" and _is_png_of_16_bits(content)
        else tf.uint8
    )
    image: Array = tf.io.decode_image(
        content, channels=channels, dtype=depth, expand_animations=False
    ).numpy()
    is_batch = shape is not None and len(shape) == _BATCH_OF_IMAGES
    return image[np.newaxis] if is_batch else image


def _is_png_of_16_bits(content: bytes) -> bool:
    return (
        content.startswith(b"\x89PNG\r\n\x1a\n") and content[24:25] == b"\x10"
    )
