"""Reads and writes the examples that a release keeps: an archive of arrays, and an index of them."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt

from smdecl import files
from smdecl.errors import VerificationError
from smdecl.exporting import user_code
from smdecl.names import OWN_FILES

FILE = f"{OWN_FILES}/examples.npz"
_INDEX = "examples.json"
_LARGEST = 1 << 31  # bytes
_LARGEST_INDEX = 1 << 24  # bytes
_TEXT = "string"
_QUANTIZED = ("qint", "quint")


@dataclass(frozen=True)
class Example:
    """Inputs of one call of a signature and the outputs expected of it, by name."""

    signature: str
    inputs: dict[str, Any]
    outputs: dict[str, Any]


def write(examples: Sequence[Example], directory: Path) -> None:
    """Writes the examples into a SavedModel.

    Each tensor is one .npy, texts are their lengths and bytes, and nothing is pickled.
    """
    path = directory / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    index = []
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for number, example in enumerate(examples):
            entry: dict[str, Any] = {
                "signature": example.signature,
                "inputs": {},
                "outputs": {},
            }
            for kind, tensors in (
                ("inputs", example.inputs),
                ("outputs", example.outputs),
            ):
                for position, (name, array) in enumerate(tensors.items()):
                    place = f"{number}/{kind}/{position}"
                    entry[kind][name] = {
                        "file": place,
                        "dtype": _dtype_name(array.dtype),
                        "shape": list(array.shape),
                    }
                    _write_array(archive, place, array)
            index.append(entry)
        # ZipInfo's default date is fixed, so that the same examples make the same bytes.
        archive.writestr(zipfile.ZipInfo(_INDEX), json.dumps(index, indent=1))


def _write_array(archive: zipfile.ZipFile, place: str, array: npt.NDArray[Any]) -> None:
    if array.dtype == object:
        values = [bytes(value) for value in array.ravel()]
        lengths = np.array([len(value) for value in values], dtype=np.int64)
        _write_npy(archive, f"{place}.lengths.npy", lengths)
        array = np.frombuffer(b"".join(values), dtype=np.uint8)
    elif array.dtype.isbuiltin != 1:  # bfloat16 and the like, which .npy cannot name
        array = np.ascontiguousarray(array).view(f"u{array.dtype.itemsize}")
    _write_npy(archive, f"{place}.npy", np.ascontiguousarray(array))


def _write_npy(archive: zipfile.ZipFile, name: str, array: npt.NDArray[Any]) -> None:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, allow_pickle=False)
    archive.writestr(zipfile.ZipInfo(name), buffer.getvalue())


def read(directory: Path) -> list[Example]:
    """Reads the examples of a release, which anyone may have written.

    Raises:
        VerificationError: Where they cannot be read, or take more memory than their file has bytes.
    """
    path = directory / FILE
    try:
        with (
            files.open_regular(path, _LARGEST) as file,
            zipfile.ZipFile(file) as archive,
        ):
            arrays = _Arrays(archive, path.stat().st_size)
            index = json.loads(arrays.read(_INDEX, _LARGEST_INDEX))
            return [_read_example(arrays, **entry) for entry in _list(index)]
    except (
        Exception
    ) as error:  # what broken files make zipfile and NumPy raise is of many types
        raise VerificationError(
            f"{path}: cannot be read: {user_code.summary(error)}"
        ) from error


class _Arrays:
    """The arrays of an archive, each of which is read once."""

    def __init__(self, archive: zipfile.ZipFile, size: int) -> None:
        self._archive = archive
        self._left = {info.filename: info for info in archive.infolist()}
        stored = 0
        for info in archive.infolist():
            if info.compress_type != zipfile.ZIP_STORED:
                raise ValueError(
                    f"{info.filename!r} is compressed; expected it as it is"
                )
            stored += info.file_size
        if stored > size:
            raise ValueError(f"the files in it have {stored} bytes, and it has {size}")

    def read(self, name: str, most: int = _LARGEST) -> bytes:
        """Returns the bytes of a file in the archive."""
        info = self._left.pop(name, None)
        if info is None:
            known = name in self._archive.NameToInfo
            raise ValueError(
                f"{name!r} is used twice" if known else f"no such file in it: {name!r}"
            )
        if info.file_size > most:
            raise ValueError(
                f"{name!r} has {info.file_size} bytes; expected at most {most}"
            )
        return self._archive.read(info)

    def array(self, name: str) -> npt.NDArray[Any]:
        """Returns an array of the archive."""
        data = io.BytesIO(self.read(f"{name}.npy"))
        array: npt.NDArray[Any] = np.lib.format.read_array(data, allow_pickle=False)
        return array


def _list(index: Any) -> list[Any]:
    if not isinstance(index, list):
        raise TypeError(f"{_INDEX} is not a list")
    return index


def _read_example(
    arrays: _Arrays,
    signature: str,
    inputs: Mapping[str, Mapping[str, Any]],
    outputs: Mapping[str, Mapping[str, Any]],
) -> Example:
    if not isinstance(signature, str):
        raise TypeError(f"{signature!r} is no signature")
    return Example(
        signature,
        {name: _read_array(arrays, **tensor) for name, tensor in inputs.items()},
        {name: _read_array(arrays, **tensor) for name, tensor in outputs.items()},
    )


def _read_array(
    arrays: _Arrays, file: str, dtype: str, shape: list[int]
) -> npt.NDArray[Any]:
    array = arrays.array(file)
    if dtype == _TEXT:
        array = _texts(array, arrays.array(f"{file}.lengths"))
    elif array.dtype != _numpy_dtype(dtype):
        array = array.view(_numpy_dtype(dtype))
    array = array.reshape(shape)
    if list(array.shape) != shape:  # NumPy takes null, and -1 for a size
        raise ValueError(f"{shape} is no shape")
    return array


def _texts(content: npt.NDArray[Any], lengths: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Returns the texts that follow each other in an array of bytes."""
    if lengths.dtype != np.int64 or lengths.ndim != 1 or (lengths < 0).any():
        raise ValueError("the lengths of texts are not a list of sizes")
    data, place = content.tobytes(), 0
    texts = np.empty(len(lengths), object)
    for index, length in enumerate(lengths.tolist()):
        texts[index] = data[place : place + length]
        place += length
    if place != len(data):
        raise ValueError(f"texts of {place} bytes have {len(data)}")
    return texts


def _dtype_name(dtype: np.dtype[Any]) -> str:
    """Returns the name that TensorFlow has for a dtype."""
    if dtype.hasobject:
        return _TEXT
    return dtype.names[0] if dtype.names else dtype.name


def _numpy_dtype(name: str) -> np.dtype[Any]:
    """Returns the dtype that TensorFlow gives arrays of a dtype, by its name."""
    if name.startswith(_QUANTIZED):
        return np.dtype([(name, name.removeprefix("q"))])
    return np.dtype(getattr(ml_dtypes, name, name))
