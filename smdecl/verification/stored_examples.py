"""Reads and writes the examples that a release stores: an archive of arrays and an index."""

from __future__ import annotations

import io
import json
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import ml_dtypes
import numpy as np

from smdecl import files
from smdecl.errors import VerificationError
from smdecl.exporting import user_code
from smdecl.names import OWN_FILES
from smdecl.savedmodel.comparing.array_distances import Array

FILE = f"{OWN_FILES}/examples.npz"
_INDEX = "examples.json"
_LARGEST = 1 << 31  # bytes
_LARGEST_INDEX = 1 << 24  # bytes
_TEXT = "string"
_QUANTIZED = ("qint", "quint")

_TensorEntry: TypeAlias = Mapping[str, Any]
"""A tensor in the index: its `file`, `dtype` and `shape`."""


@dataclass(frozen=True)
class Example:
    """The inputs of one call of a signature and the outputs expected of it, by name."""

    signature: str
    inputs: dict[str, Array]
    outputs: dict[str, Array]


def numbered(cases: Sequence[Example]) -> Iterator[tuple[int, Example]]:
    """Yields each example with its index among those of its signature."""
    counts: Counter[str] = Counter()
    for case in cases:
        yield counts[case.signature], case
        counts[case.signature] += 1


def write(examples: Sequence[Example], directory: Path) -> None:
    """Writes the examples into a SavedModel.

    Each tensor is one .npy file; texts are stored as lengths and bytes, so nothing is pickled.
    """
    path = directory / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        index = []
        for number, example in enumerate(examples):
            entry = {
                "signature": example.signature,
                "inputs": _write_tensors(
                    archive, f"{number}/inputs", example.inputs
                ),
                "outputs": _write_tensors(
                    archive, f"{number}/outputs", example.outputs
                ),
            }
            index.append(entry)
        _write_member(archive, _INDEX, json.dumps(index, indent=1).encode())


def _write_tensors(
    archive: zipfile.ZipFile,
    directory: str,
    tensors: Mapping[str, Array],
) -> dict[str, _TensorEntry]:
    """Writes arrays into a directory of the archive and returns their entries in the index."""
    entries: dict[str, _TensorEntry] = {}
    for position, (name, array) in enumerate(tensors.items()):
        file = f"{directory}/{position}"
        _write_array(archive, file, array)
        entries[name] = {
            "file": file,
            "dtype": _dtype_name(array.dtype),
            "shape": list(array.shape),
        }
    return entries


def _write_array(archive: zipfile.ZipFile, file: str, array: Array) -> None:
    if array.dtype == object:
        values = [bytes(value) for value in array.ravel()]
        lengths = np.array([len(value) for value in values], dtype=np.int64)
        _write_npy(archive, f"{file}.lengths.npy", lengths)
        array = np.frombuffer(b"".join(values), dtype=np.uint8)
    elif array.dtype.isbuiltin != 1:
        # These are bfloat16 and the like, which .npy cannot name.
        array = np.ascontiguousarray(array).view(f"u{array.dtype.itemsize}")
    _write_npy(archive, f"{file}.npy", np.ascontiguousarray(array))


def _write_npy(archive: zipfile.ZipFile, name: str, array: Array) -> None:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, allow_pickle=False)
    _write_member(archive, name, buffer.getvalue())


def _write_member(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    # ZipInfo has a fixed default date, so the same examples make the same bytes.
    archive.writestr(zipfile.ZipInfo(name), content)


def read(directory: Path) -> list[Example]:
    """Reads the examples of a release, which may come from anyone.

    Raises:
        VerificationError: If they cannot be read, or need more memory than their file has bytes.
    """
    path = directory / FILE
    try:
        with (
            files.open_regular(path, _LARGEST) as file,
            zipfile.ZipFile(file) as archive,
        ):
            arrays = _Arrays(archive, path.stat().st_size)
            index = arrays.index()
            return [_read_example(arrays, **entry) for entry in index]
    except Exception as error:
        # zipfile and NumPy raise many types for broken files.
        message = f"cannot read {path}: {user_code.summary(error)}"
        raise VerificationError(message) from error


class _Arrays:
    """The arrays of an archive, each of which can be read once."""

    def __init__(self, archive: zipfile.ZipFile, size: int) -> None:
        """Checks that the members of an archive of so many bytes take no more memory."""
        self._archive = archive
        self._unread = {info.filename: info for info in archive.infolist()}
        stored = 0
        for info in archive.infolist():
            if info.compress_type != zipfile.ZIP_STORED:
                raise ValueError(
                    f"{info.filename!r} is compressed; expected it stored"
                )
            stored += info.file_size
        if stored > size:
            raise ValueError(
                f"its members claim {stored} bytes, but it has {size}"
            )

    def read(self, name: str, most: int = _LARGEST) -> bytes:
        """Returns the bytes of a member of the archive."""
        info = self._unread.pop(name, None)
        if info is None:
            if name in self._archive.NameToInfo:
                raise ValueError(f"{name!r} is used twice")
            raise ValueError(f"no such member: {name!r}")
        if info.file_size > most:
            found = f"{name!r} has {info.file_size} bytes"
            raise ValueError(f"{found}; expected at most {most}")
        return self._archive.read(info)

    def index(self) -> list[Any]:
        """Returns the parsed index, whose entries are not checked yet."""
        index = json.loads(self.read(_INDEX, _LARGEST_INDEX))
        if not isinstance(index, list):
            raise TypeError(f"{_INDEX} is not a list")
        return index

    def array(self, name: str) -> Array:
        """Returns an array of the archive."""
        data = io.BytesIO(self.read(f"{name}.npy"))
        array: Array = np.lib.format.read_array(data, allow_pickle=False)
        return array


def _read_example(
    arrays: _Arrays,
    signature: str,
    inputs: Mapping[str, _TensorEntry],
    outputs: Mapping[str, _TensorEntry],
) -> Example:
    if not isinstance(signature, str):
        raise TypeError(f"expected the key of a signature, got {signature!r}")
    return Example(
        signature,
        {name: _read_array(arrays, **entry) for name, entry in inputs.items()},
        {
            name: _read_array(arrays, **entry)
            for name, entry in outputs.items()
        },
    )


def _read_array(
    arrays: _Arrays, file: str, dtype: str, shape: list[int]
) -> Array:
    array = arrays.array(file)
    if dtype == _TEXT:
        array = _texts(array, arrays.array(f"{file}.lengths"))
    elif array.dtype != _numpy_dtype(dtype):
        array = array.view(_numpy_dtype(dtype))
    array = array.reshape(shape)
    if list(array.shape) != shape:  # NumPy accepts null, and -1 for a size
        raise ValueError(f"expected a shape, got {shape}")
    return array


def _texts(content: Array, lengths: Array) -> Array:
    """Splits an array of bytes into texts of the given lengths."""
    is_list = lengths.dtype == np.int64 and lengths.ndim == 1
    if not is_list or (lengths < 0).any():
        raise ValueError("the lengths of texts are not a list of sizes")
    data = content.tobytes()
    texts = np.empty(len(lengths), object)
    start = 0
    for index, length in enumerate(lengths.tolist()):
        texts[index] = data[start : start + length]
        start += length
    if start != len(data):
        raise ValueError(f"expected texts of {start} bytes, got {len(data)}")
    return texts


def _dtype_name(dtype: np.dtype[Any]) -> str:
    """Returns TensorFlow's name of a dtype."""
    if dtype.hasobject:
        return _TEXT
    return dtype.names[0] if dtype.names else dtype.name


def _numpy_dtype(name: str) -> np.dtype[Any]:
    """Returns the NumPy dtype that TensorFlow uses for a dtype."""
    if name.startswith(_QUANTIZED):
        return np.dtype([(name, name.removeprefix("q"))])
    return np.dtype(getattr(ml_dtypes, name, name))
