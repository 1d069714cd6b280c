"""Reads the headers of arrays in .npy and .npz files without NumPy; unpickles nothing."""

from __future__ import annotations

import math
import os
import re
import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO

from smdecl import budgets, files, syntax_trees

SUFFIXES = (".npz", ".npy")
_MAGIC = b"\x93NUMPY"
# The struct format of the header's length, by version of the file format.
_LENGTHS = {1: "<H", 2: "<I", 3: "<I"}
_LONGEST = 10_000  # bytes of a header; NumPy has the same limit
# A dtype whose values have a size, such as <f4 or |S12.
_SIZED = re.compile(r"[<>|=]?([a-zA-Z])(\d+)")
_CHARACTER = 4  # bytes, in NumPy's strings of kind U
_BLOCK = 1 << 20  # bytes
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0e-\x1f]")


@dataclass(frozen=True)
class Header:
    """The header of an array.

    Attributes:
        kind: NumPy's letter for the kind of the dtype, such as f for floats.
        shape: The shape.
        width: The size of each value in bytes if these are byte strings, else 0.
    """

    kind: str
    shape: tuple[int, ...]
    width: int = 0


def keys(path: Path) -> list[str] | None:
    """Returns the keys of the arrays in an archive; None if the file is a single array.

    Raises:
        OSError, zipfile.BadZipFile: If it cannot be read.
        ValueError: If it would unpack to far more than its size.
    """
    with files.open_regular(path) as file:
        if file.read(len(_MAGIC)) == _MAGIC:
            return None
        with _archive(file, path) as archive:
            return [name.removesuffix(".npy") for name in archive.namelist()]


def header(path: Path, key: str | None) -> Header:
    """Returns the header of an array.

    Args:
        path: The file.
        key: The key of the array if the file is an archive, else None.

    Raises:
        ValueError: If the header is invalid. For broken archives, zipfile raises many other types.
    """
    with _opened(path, key) as (file, size):
        return _header(file, size)


def may_be_cut(path: Path, key: str | None) -> bool:
    """Returns whether an array may have lost zeros at the ends of its values.

    NumPy pads fixed-width strings with zeros. A value that is shorter than the width is therefore
    the same with and without zeros at its end. Text never ends in zeros.
    """
    with _opened(path, key) as (file, size):
        found = _header(file, size)
        if found.kind != "S" or found.width == 0:
            return False
        has_short = has_bytes = False
        for cell in _cells(file, found.width):
            value = cell.rstrip(b"\0")
            has_short = has_short or len(value) < found.width
            has_bytes = has_bytes or not _is_text(value)
            if has_short and has_bytes:
                return True
    return False


def _cells(file: IO[bytes], width: int) -> Iterator[bytes]:
    """Yields the values of an array, block by block."""
    while block := file.read(max(1, _BLOCK // width) * width):
        for start in range(0, len(block), width):
            yield block[start : start + width]


def _is_text(value: bytes) -> bool:
    try:
        return _CONTROL.search(value.decode()) is None
    except UnicodeDecodeError:
        return False


@contextmanager
def _opened(path: Path, key: str | None) -> Iterator[tuple[IO[bytes], int]]:
    """Opens an array; yields its file and its size in bytes."""
    with files.open_regular(path) as file:
        if key is None:
            yield file, os.fstat(file.fileno()).st_size
            return
        with _archive(file, path) as archive:
            name = f"{key}.npy" if f"{key}.npy" in archive.namelist() else key
            with archive.open(name) as member:
                yield member, archive.getinfo(name).file_size


@contextmanager
def _archive(file: BinaryIO, path: Path) -> Iterator[zipfile.ZipFile]:
    with zipfile.ZipFile(file) as archive:
        size = os.fstat(file.fileno()).st_size
        reasons = list(budgets.refuse_archive(archive, str(path), size))
        if reasons:
            raise ValueError(reasons[0])
        yield archive


def _header(file: IO[bytes], size: int) -> Header:
    start = file.read(len(_MAGIC) + 2)
    form = None
    if start.startswith(_MAGIC) and len(start) > len(_MAGIC):
        form = _LENGTHS.get(start[-2])
    if form is None:
        raise ValueError("not a .npy file")
    (length,) = struct.unpack(form, file.read(struct.calcsize(form)))
    if length > _LONGEST:
        raise ValueError(
            f"expected a header of at most {_LONGEST} bytes, got {length}"
        )
    header = file.read(length).decode("latin1").strip()
    fields = syntax_trees.literal(header)
    descr = fields["descr"]
    shape = tuple(int(dim) for dim in fields["shape"])
    claimed = math.prod(shape) * _item_size(descr)
    if min(shape, default=0) < 0 or claimed > size:
        message = f"the shape {list(shape)} needs {claimed} bytes, got {size}"
        raise ValueError(message)
    kind = descr[1] if isinstance(descr, str) else "V"
    width = int(descr[2:]) if kind == "S" else 0
    return Header(kind, shape, width)


def _item_size(descr: object) -> int:
    """Returns the least size of a value in bytes; some dtypes do not have it."""
    sized = _SIZED.match(descr) if isinstance(descr, str) else None
    if sized is None:
        return 1
    kind, number = sized.groups()
    return int(number) * (_CHARACTER if kind == "U" else 1)
