"""Reads the variables of a SavedModel, or of any checkpoint of TensorFlow 2, without TensorFlow.

A checkpoint is a tensor bundle: an index, which is a sorted table from the name of a tensor to a
BundleEntryProto, and data files with the bytes. The format is that of TensorFlow's
`tensor_bundle.h`.
"""

from __future__ import annotations

import glob
import itertools
import math
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import ml_dtypes
import numpy as np
import numpy.typing as npt

from smdecl import files
from smdecl.errors import ContractError, Problem
from smdecl.names import OBJECT_GRAPH
from smdecl.savedmodel.checkpoint_files import sstable
from smdecl.savedmodel.checkpoint_files.crc32c import crc32c, masked
from smdecl.savedmodel.checkpoint_files.varint import read_varint
from smdecl.savedmodel.protos import dtype_name, tensor_bundle_pb2

_SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"
# Bytes of the checksum between the lengths of strings and the strings.
_CHECKSUM = 4
_LARGEST_INDEX = 1 << 26  # bytes; a variable takes about a hundred of them
_LARGEST_OBJECT_GRAPH = 1 << 28  # bytes
# Bytes to read at a time; a multiple of the size of every dtype.
_BLOCK = 1 << 20
_HIGHEST_RANK = 254  # of a tensor in TensorFlow
_SLICE = b"\0"  # the key of a slice begins with it
# Their values cannot be read either.
_OF_OTHER_CHECKSUMS = (
    "variant",
    "resource",
)


@dataclass(frozen=True)
class Tensor:
    """A tensor in a bundle.

    Attributes:
        name: The path of the variable from the saved object, such as `layers/0/kernel`.
        dtype: The canonical name.
        shape: The sizes.
        file: The file with its bytes.
        offset: The place of the first byte.
        size: The number of bytes.
        checksum: The CRC-32C of the bytes, masked.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    file: Path
    offset: int
    size: int
    checksum: int

    @property
    def end(self) -> int:
        """The place after the last byte."""
        return self.offset + self.size

    def read(self) -> npt.NDArray[Any]:
        """Returns the value: strings as objects, and plain bytes if NumPy has no dtype for it.

        Raises:
            ContractError: If the file lacks bytes of it, or its checksum differs.
        """
        try:
            with self._file() as file:
                value, checksum = self._value(file.read(self.size))
        except (OSError, ValueError, IndexError) as error:
            raise self._unreadable(error) from error
        self.require_checksum(checksum)
        return value

    @property
    def number(self) -> np.dtype[Any] | None:
        """The NumPy dtype of its numbers; None for strings, and if NumPy has none."""
        return None if self.dtype == "string" else _numpy_dtype(self.dtype)

    def blocks(self) -> Iterator[bytes]:
        """Yields the bytes in blocks of whole numbers, so that large tensors need little memory.

        Raises:
            ContractError: If the file lacks bytes, or their number does not fit the shape.
        """
        try:
            self._require_size()
            with self._file() as file:
                for start in range(0, self.size, _BLOCK):
                    yield file.read(min(_BLOCK, self.size - start))
        except (OSError, ValueError) as error:
            raise self._unreadable(error) from error

    def _require_size(self) -> None:
        if self.number is None:
            return
        expected = math.prod(self.shape) * self.number.itemsize
        if self.size != expected:
            shape = list(self.shape)
            raise ValueError(
                f"expected {expected} bytes for the shape {shape}, got {self.size}"
            )

    def require_checksum(self, checksum: int) -> None:
        """Compares the CRC-32C of the bytes that were read with that in the index.

        Raises:
            ContractError: If they differ.
        """
        is_comparable = self.dtype not in _OF_OTHER_CHECKSUMS
        if is_comparable and masked(checksum) != self.checksum:
            raise ContractError(
                f"{self.file}: content of {self.name!r} differs from its checksum"
            )

    def _value(self, data: bytes) -> tuple[npt.NDArray[Any], int]:
        """Returns the value and the checksum of its bytes."""
        if self.dtype == "string":
            texts, checksum = _texts(data, math.prod(self.shape))
            value = np.empty(len(texts), object)
            value[:] = texts
            return value.reshape(self.shape), checksum
        dtype = self.number
        if dtype is None:
            return np.frombuffer(data, np.uint8), crc32c(data)
        return np.frombuffer(data, dtype).reshape(self.shape), crc32c(data)

    def _unreadable(self, error: Exception) -> ContractError:
        return ContractError(
            f"{self.file}: cannot read {self.name!r}: {error}"
        )

    @contextmanager
    def _file(self) -> Iterator[BinaryIO]:
        """Opens the file at the first byte of the tensor."""
        with files.open_regular(self.file) as file:
            if self.end > os.fstat(file.fileno()).st_size:
                raise ValueError("the file is too short")
            file.seek(self.offset)
            yield file


def exists(prefix: Path) -> bool:
    """Returns whether any file of a bundle exists."""
    return any(prefix.parent.glob(f"{glob.escape(prefix.name)}.*"))


def read(prefix: Path) -> list[Tensor]:
    """Returns the tensors of a bundle by name, without the object graph.

    The checksums of the index and of the object graph are verified, and the data files are as long
    as the index says. `Tensor.read` verifies the checksum of each tensor.

    Args:
        prefix: The path of its files without suffixes: `variables/variables` in a SavedModel.

    Raises:
        ContractError: With every file that is missing, truncated or malformed.
    """
    index = prefix.with_name(f"{prefix.name}.index")
    try:
        entries = dict(
            sstable.entries(files.read_regular(index, _LARGEST_INDEX))
        )
        header = tensor_bundle_pb2.BundleHeaderProto.FromString(
            entries.pop(b"")
        )
        tensors = list(
            _tensors(prefix, header.num_shards, sorted(entries.items()))
        )
    except FileNotFoundError as error:
        raise ContractError(f"{index}: no such file") from error
    except Exception as error:
        # OSError, protobuf's DecodeError, or whatever parsing arbitrary bytes raises.
        message = (
            f"cannot read {str(index)!r} as the index of a checkpoint: {error}"
        )
        raise ContractError(message) from error
    _require_data(tensors)
    variables = []
    for tensor in tensors:
        if tensor.name == OBJECT_GRAPH:
            _require_object_graph(tensor)
        else:
            variables.append(tensor)
    return variables


def _require_object_graph(tensor: Tensor) -> None:
    """Raises if loaders cannot read the object graph."""
    if tensor.size > _LARGEST_OBJECT_GRAPH:
        found = f"the object graph has {tensor.size} bytes"
        most = f"expected at most {_LARGEST_OBJECT_GRAPH}"
        raise ContractError(f"{tensor.file}: {found}; {most}")
    tensor.read()


def _require_data(tensors: list[Tensor]) -> None:
    """Raises if the data files lack bytes of the tensors."""
    last: dict[Path, Tensor] = {}
    for tensor in tensors:
        known = last.get(tensor.file)
        if known is None or tensor.end > known.end:
            last[tensor.file] = tensor
    problems = []
    for file, tensor in sorted(last.items()):
        if not file.is_file():
            what = "not a regular file" if file.exists() else "no such file"
            message = f"{file}: {what}; expected the values of {tensor.name!r}"
            problems.append(Problem((), message))
            continue
        size = file.stat().st_size
        if size < tensor.end:
            message = f"is truncated: it has {size} bytes, but {tensor.name!r} ends at {tensor.end}"
            problems.append(Problem((), f"{file}: {message}"))
    if problems:
        raise ContractError(problems)
    _require_apart(tensors)


def _require_apart(tensors: list[Tensor]) -> None:
    """Raises if tensors share bytes: from a small file, many such tensors take long to read."""
    stored = [tensor for tensor in tensors if tensor.size]
    stored.sort(key=lambda tensor: (tensor.file, tensor.offset))
    for known, tensor in itertools.pairwise(stored):
        if known.file == tensor.file and tensor.offset < known.end:
            message = (
                f"{tensor.file}: {known.name!r} and {tensor.name!r} overlap"
            )
            raise ContractError(message)


def _tensors(
    prefix: Path, shards: int, entries: list[tuple[bytes, bytes]]
) -> Iterator[Tensor]:
    for number, (key, data) in enumerate(entries):
        entry = tensor_bundle_pb2.BundleEntryProto.FromString(data)
        name = key.decode("utf-8", "backslashreplace").removesuffix(_SUFFIX)
        if entry.slices:  # only the slices of this variable have bytes
            continue
        shape = tuple(int(dim.size) for dim in entry.shape.dim)
        if len(shape) > _HIGHEST_RANK:
            found = f"{name} has {len(shape)} dims"
            raise ValueError(f"{found}; expected at most {_HIGHEST_RANK}")
        if min(entry.offset, entry.size, *shape, 0) < 0:
            raise ValueError(f"{name} has a negative size")
        if key.startswith(_SLICE):
            name = _slice_name(key, number)
        shard = f"data-{entry.shard_id:05d}-of-{shards:05d}"
        yield Tensor(
            name=name,
            dtype=dtype_name(entry.dtype),
            shape=shape,
            file=prefix.with_name(f"{prefix.name}.{shard}"),
            offset=entry.offset,
            size=entry.size,
            checksum=entry.crc32c,
        )


def _slice_name(key: bytes, number: int) -> str:
    """Returns a name for a slice, whose key has the name of the variable among packed numbers."""
    name = max(re.findall(rb"[ -~]+", key), key=len, default=b"").decode()
    return f"{name.removesuffix(_SUFFIX)} (slice, entry {number})"


def _numpy_dtype(name: str) -> np.dtype[Any] | None:
    if name.startswith(("qint", "quint")):
        name = name.removeprefix("q")
    try:
        return np.dtype(name)
    except TypeError:
        known = getattr(ml_dtypes, name, None)
        return None if known is None else np.dtype(known)


def _texts(data: bytes, count: int) -> tuple[list[bytes], int]:
    """Returns the strings in the data of a tensor, and the checksum of the data.

    The data consists of the lengths of the strings, their checksum, and the strings.
    """
    place = 0
    sizes = []
    lengths = bytearray()
    for _ in range(count):
        size, place = read_varint(data, place)
        sizes.append(size)
        # In the checksum, a length has 4 bytes, or 8 if those are too few.
        lengths += size.to_bytes(4 if size < 1 << 32 else 8, "little")
    checksum = crc32c(data[place:], crc32c(bytes(lengths)))
    place += _CHECKSUM
    texts = []
    for size in sizes:
        texts.append(data[place : place + size])
        place += size
    return texts, checksum
