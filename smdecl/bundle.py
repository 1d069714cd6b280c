"""Reads the variables of a SavedModel, or of any checkpoint of TensorFlow 2, from its files alone.

A checkpoint is a tensor bundle: an index, which is a sorted table of LevelDB's format from the name of a tensor to a
BundleEntryProto, and data files with the bytes. The formats are those of TensorFlow's `tensor_bundle.h` and LevelDB's
`table_format.md`.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from smdecl import files
from smdecl.errors import ContractError
from smdecl.protos import dtype_name, tensor_bundle_pb2

OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
_SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"
_FOOTER = 48  # bytes: the handles of two blocks, padded, and the magic number
_MAGIC = struct.pack("<Q", 0xDB4775248B80FB57)
_CHECKSUM = 4  # bytes, between the lengths of texts and the texts
_SLICE = b"\0"  # what the key of a slice begins with
_LONGEST_KEY = 1 << 16  # bytes; a key repeats the one before, so that a small file could hold very much of them
_LONGEST_VARINT = 64  # bits


@dataclass(frozen=True)
class Tensor:
    """A tensor in a bundle.

    Attributes:
        name: Of the variable, by the path that leads to it from the saved object, such as `layers/0/kernel`.
        dtype: The canonical name.
        shape: Its sizes.
        file: That holds its bytes.
        offset: Of the first of them.
        size: How many they are.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    file: Path
    offset: int
    size: int

    def read(self) -> Any:
        """Returns the value as an array: texts as objects, and as plain bytes what NumPy has no dtype for.

        Raises:
            ContractError: Where the file does not hold it.
        """
        try:
            data = self._data()
            if self.dtype == "string":
                return np.array([*_texts(data, int(np.prod(self.shape))), None], dtype=object)[:-1].reshape(self.shape)
            dtype = _numpy_dtype(self.dtype)
            return np.frombuffer(data, np.uint8 if dtype is None else dtype).reshape(
                -1 if dtype is None else self.shape
            )
        except (OSError, ValueError, IndexError) as error:
            raise ContractError(f"{self.file}: {self.name} cannot be read: {error}") from error

    def _data(self) -> bytes:
        with files.open_regular(self.file) as file:
            if self.offset + self.size > os.fstat(file.fileno()).st_size:
                raise ValueError("the file is too short for it")
            file.seek(self.offset)
            return file.read(self.size)


def read(prefix: Path) -> list[Tensor]:
    """Returns what a bundle holds, by name, but for the graph of objects; nothing where there is no bundle.

    Args:
        prefix: Of its files: `variables/variables` in a SavedModel.

    Raises:
        ContractError: Where the index is none.
    """
    index = prefix.with_name(f"{prefix.name}.index")
    if not index.is_file():
        return []
    try:
        entries = dict(_table(files.read_regular(index)))
        shards = tensor_bundle_pb2.BundleHeaderProto.FromString(entries.pop(b"")).num_shards
        return [*_tensors(prefix, shards, sorted(entries.items()))]
    except Exception as error:  # OSError, what parsing any bytes raises, or protobuf's DecodeError
        raise ContractError(f"{index}: cannot be read as the index of a checkpoint: {error}") from error


def _tensors(prefix: Path, shards: int, entries: list[tuple[bytes, bytes]]) -> Iterator[Tensor]:
    for number, (key, data) in enumerate(entries):
        entry = tensor_bundle_pb2.BundleEntryProto.FromString(data)
        name = key.decode("utf-8", "backslashreplace").removesuffix(_SUFFIX)
        if name == OBJECT_GRAPH or entry.slices:  # what is kept in slices has no bytes beside them
            continue
        if min(entry.offset, entry.size, *(dim.size for dim in entry.shape.dim), 0) < 0:
            raise ValueError(f"{name} has a size below zero")
        yield Tensor(
            name=_slice_name(key, number) if key.startswith(_SLICE) else name,
            dtype=dtype_name(entry.dtype),
            shape=tuple(dim.size for dim in entry.shape.dim),
            file=prefix.with_name(f"{prefix.name}.data-{entry.shard_id:05d}-of-{shards:05d}"),
            offset=entry.offset,
            size=entry.size,
        )


def _slice_name(key: bytes, number: int) -> str:
    """Names a slice by its variable and by where it stands; its key has the variable's name among packed numbers."""
    name = max(re.findall(rb"[ -~]+", key), key=len, default=b"").decode()
    return f"{name.removesuffix(_SUFFIX)} (slice, entry {number})"


def _numpy_dtype(name: str) -> Any:
    try:
        return np.dtype(name.removeprefix("q") if name.startswith(("qint", "quint")) else name)
    except TypeError:
        return getattr(ml_dtypes, name, None)


def _texts(data: bytes, count: int) -> Iterator[bytes]:
    sizes, place = [], 0
    for _ in range(count):
        size, place = _varint(data, place)
        sizes.append(size)
    place += _CHECKSUM
    for size in sizes:
        yield data[place : place + size]
        place += size


def _table(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yields the entries of a sorted table: a block of them for each entry of the last block, the index of blocks."""
    footer = data[-_FOOTER:]
    if footer[-len(_MAGIC) :] != _MAGIC:
        raise ValueError("it does not end as a sorted table does")
    _, place = _varint(footer, 0)  # where the block about the other blocks is, which bundles leave empty
    _, place = _varint(footer, place)
    end = 0
    for _, handle in _block(data, footer[place:]):
        start, _ = _varint(handle, 0)
        if start < end:
            raise ValueError("its blocks overlap")
        end = start + 1
        yield from _block(data, handle)


def _block(data: bytes, handle: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yields the entries of the block that a handle points to; each key is told by what it adds to the one before."""
    start, place = _varint(handle, 0)
    size, _ = _varint(handle, place)
    if start + size >= len(data) or data[start + size] != 0:
        raise ValueError("a block is cut off, or compressed, as TensorFlow writes none")
    block = data[start : start + size]
    (restarts,) = struct.unpack("<I", block[-4:])
    end, place, key = size - 4 * (restarts + 1), 0, b""
    while place < end:
        shared, place = _varint(block, place)
        added, place = _varint(block, place)
        length, place = _varint(block, place)
        if shared > len(key) or shared + added > _LONGEST_KEY:
            raise ValueError("a key is longer than TensorFlow writes any")
        key = key[:shared] + block[place : place + added]
        yield key, block[place + added : place + added + length]
        place += added + length


def _varint(data: bytes, place: int) -> tuple[int, int]:
    """Returns an integer of protobuf's variable length, and the place after it."""
    value = shift = 0
    while True:
        byte = data[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if shift > _LONGEST_VARINT + 7:
            raise ValueError("a number is longer than any")
        if not byte & 0x80:  # the last one
            return value, place
