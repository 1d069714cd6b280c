"""Reads the variables of a SavedModel, or of any checkpoint of TensorFlow 2, from its files alone.

A checkpoint is a tensor bundle: an index, which is a sorted table from the name of a tensor to a
BundleEntryProto, and data files with the bytes. The format is that of TensorFlow's
`tensor_bundle.h`.
"""

from __future__ import annotations

import glob
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
from smdecl.savedmodel import sstable
from smdecl.savedmodel.crc32c import crc32c, masked
from smdecl.savedmodel.protos import dtype_name, tensor_bundle_pb2
from smdecl.savedmodel.varint import read_varint

_SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"
_CHECKSUM = 4  # bytes, between the lengths of texts and the texts
_LARGEST_INDEX = 1 << 26  # bytes; a variable takes about a hundred
_LARGEST_OBJECT_GRAPH = 1 << 28  # bytes
_BLOCK = 1 << 22  # bytes to read at a time: whole numbers of every dtype
_HIGHEST_RANK = 254  # of a tensor in TensorFlow
_SLICE = b"\0"  # what the key of a slice begins with
_OF_OTHER_CHECKSUMS = ("variant", "resource")  # no value of them can be read here


@dataclass(frozen=True)
class Tensor:
    """A tensor in a bundle.

    Attributes:
        name: Of the variable, by its path from the saved object, such as `layers/0/kernel`.
        dtype: The canonical name.
        shape: Its sizes.
        file: That holds its bytes.
        offset: Of the first of them.
        size: How many they are.
        checksum: Their CRC-32C, masked.
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
        """Returns the value: texts as objects, and plain bytes where NumPy has no dtype for it.

        Raises:
            ContractError: Where the file does not hold it, or its checksum differs.
        """
        try:
            value, checksum = self._value(self._data())
        except (OSError, ValueError, IndexError) as error:
            raise ContractError(
                f"{self.file}: {self.name} cannot be read: {error}"
            ) from error
        self.require_checksum(checksum)
        return value

    @property
    def number(self) -> np.dtype[Any] | None:
        """The dtype of its numbers in NumPy; None for texts, and where NumPy has none."""
        dtype: np.dtype[Any] | None = (
            None if self.dtype == "string" else _numpy_dtype(self.dtype)
        )
        return dtype

    def blocks(self) -> Iterator[bytes]:
        """Yields the bytes in blocks of whole numbers, never all of them at once.

        Raises:
            ContractError: Where the file does not hold them, or they are not as many as the shape says.
        """
        try:
            self._require_size()
            with self._file() as file:
                for start in range(0, self.size, _BLOCK):
                    yield file.read(min(_BLOCK, self.size - start))
        except (OSError, ValueError) as error:
            raise ContractError(
                f"{self.file}: {self.name} cannot be read: {error}"
            ) from error

    def _require_size(self) -> None:
        number = self.number
        if number is not None and self.size != math.prod(self.shape) * number.itemsize:
            raise ValueError(
                f"{self.size} bytes are not those of the shape {list(self.shape)}"
            )

    def require_checksum(self, checksum: int) -> None:
        """Compares the CRC-32C of the bytes that were read.

        Raises:
            ContractError: Where it differs from that in the index.
        """
        if masked(checksum) != self.checksum and self.dtype not in _OF_OTHER_CHECKSUMS:
            raise ContractError(
                f"{self.file}: content of {self.name!r} differs from its checksum"
            )

    def _value(self, data: bytes) -> tuple[npt.NDArray[Any], int]:
        if self.dtype == "string":
            texts, checksum = _texts(data, math.prod(self.shape))
            value = np.empty(len(texts), object)
            value[:] = texts
            return value.reshape(self.shape), checksum
        dtype = self.number
        if dtype is None:
            return np.frombuffer(data, np.uint8), crc32c(data)
        return np.frombuffer(data, dtype).reshape(self.shape), crc32c(data)

    def _data(self) -> bytes:
        with self._file() as file:
            return file.read(self.size)

    @contextmanager
    def _file(self) -> Iterator[BinaryIO]:
        """Opens the file at the first of its bytes."""
        with files.open_regular(self.file) as file:
            if self.end > os.fstat(file.fileno()).st_size:
                raise ValueError("the file is too short for it")
            file.seek(self.offset)
            yield file


def exists(prefix: Path) -> bool:
    """Returns whether any file of a bundle is there."""
    return any(prefix.parent.glob(f"{glob.escape(prefix.name)}.*"))


def read(prefix: Path) -> list[Tensor]:
    """Returns the tensors of a bundle by name, without the object graph.

    The checksums of the index and of the object graph are verified, and the data files have the
    bytes that the index places in them. `Tensor.read` verifies the checksum of each tensor.

    Args:
        prefix: Of its files: `variables/variables` in a SavedModel.

    Raises:
        ContractError: With every file that is missing, cut off or malformed.
    """
    index = prefix.with_name(f"{prefix.name}.index")
    try:
        entries = dict(sstable.entries(files.read_regular(index, _LARGEST_INDEX)))
        header = tensor_bundle_pb2.BundleHeaderProto.FromString(entries.pop(b""))
        tensors = [*_tensors(prefix, header.num_shards, sorted(entries.items()))]
    except FileNotFoundError as error:
        raise ContractError(f"{index}: no such file") from error
    except (
        Exception
    ) as error:  # OSError, what parsing any bytes raises, or protobuf's DecodeError
        message = f"{index}: cannot be read as the index of a checkpoint: {error}"
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
    """Raises where loaders cannot read the object graph."""
    if tensor.size > _LARGEST_OBJECT_GRAPH:
        most = f"expected at most {_LARGEST_OBJECT_GRAPH}"
        raise ContractError(
            f"{tensor.file}: the object graph has {tensor.size} bytes; {most}"
        )
    tensor.read()


def _require_data(tensors: list[Tensor]) -> None:
    """Raises where the data files do not have all bytes of the tensors."""
    last: dict[Path, Tensor] = {}
    for tensor in tensors:
        known = last.get(tensor.file)
        if known is None or tensor.end > known.end:
            last[tensor.file] = tensor
    problems = []
    for file, tensor in sorted(last.items()):
        if not file.is_file():
            what = "not a regular file" if file.exists() else "no such file"
            problems.append(Problem((), f"{file}: {what}; it holds {tensor.name!r}"))
            continue
        size = file.stat().st_size
        if size < tensor.end:
            message = f"is cut off: it has {size} bytes, and {tensor.name!r} ends at {tensor.end}"
            problems.append(Problem((), f"{file}: {message}"))
    if problems:
        raise ContractError(problems)
    _require_apart(tensors)


def _require_apart(tensors: list[Tensor]) -> None:
    """Raises where tensors share bytes: many of them could take long to read from a small file."""
    known: Tensor | None = None
    for tensor in sorted(
        filter(_size, tensors), key=lambda each: (each.file, each.offset)
    ):
        if (
            known is not None
            and known.file == tensor.file
            and tensor.offset < known.end
        ):
            message = f"{tensor.file}: {known.name!r} and {tensor.name!r} overlap"
            raise ContractError(message)
        known = tensor


def _size(tensor: Tensor) -> int:
    return tensor.size


def _tensors(
    prefix: Path, shards: int, entries: list[tuple[bytes, bytes]]
) -> Iterator[Tensor]:
    for number, (key, data) in enumerate(entries):
        entry = tensor_bundle_pb2.BundleEntryProto.FromString(data)
        name = key.decode("utf-8", "backslashreplace").removesuffix(_SUFFIX)
        if entry.slices:  # a variable in slices has no bytes beside them
            continue
        shape = tuple(int(dim.size) for dim in entry.shape.dim)
        if len(shape) > _HIGHEST_RANK:
            raise ValueError(
                f"{name} has {len(shape)} dims; expected at most {_HIGHEST_RANK}"
            )
        if min(entry.offset, entry.size, *shape, 0) < 0:
            raise ValueError(f"{name} has a size below zero")
        yield Tensor(
            name=_slice_name(key, number) if key.startswith(_SLICE) else name,
            dtype=dtype_name(entry.dtype),
            shape=shape,
            file=prefix.with_name(
                f"{prefix.name}.data-{entry.shard_id:05d}-of-{shards:05d}"
            ),
            offset=entry.offset,
            size=entry.size,
            checksum=entry.crc32c,
        )


def _slice_name(key: bytes, number: int) -> str:
    """Names a slice by its variable and by where it stands; its key has the variable's name among packed numbers."""
    name = max(re.findall(rb"[ -~]+", key), key=len, default=b"").decode()
    return f"{name.removesuffix(_SUFFIX)} (slice, entry {number})"


def _numpy_dtype(name: str) -> Any:
    try:
        return np.dtype(
            name.removeprefix("q") if name.startswith(("qint", "quint")) else name
        )
    except TypeError:
        return getattr(ml_dtypes, name, None)


def _texts(data: bytes, count: int) -> tuple[list[bytes], int]:
    """Returns the texts that data holds, and its checksum: lengths, their checksum, then the texts.

    The lengths are checksummed as integers of 4 bytes, or of 8 where 4 are too few.
    """
    sizes, place, checksum = [], 0, 0
    for _ in range(count):
        size, place = read_varint(data, place)
        sizes.append(size)
    lengths = b"".join(
        size.to_bytes(4 if size < 1 << 32 else 8, "little") for size in sizes
    )
    checksum = crc32c(data[place:], crc32c(lengths))
    place += _CHECKSUM
    texts = []
    for size in sizes:
        texts.append(data[place : place + size])
        place += size
    return texts, checksum
