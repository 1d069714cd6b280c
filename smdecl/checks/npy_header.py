"""Reads what .npy and .npz files say of the arrays in them, without NumPy: nothing is loaded, and nothing unpickled."""

from __future__ import annotations

import ast
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

from smdecl import budgets, files

SUFFIXES = (".npz", ".npy")
_MAGIC = b"\x93NUMPY"
_LENGTHS = {1: "<H", 2: "<I", 3: "<I"}  # of the header, by version of the format
_LONGEST = 10_000  # bytes of a header, as NumPy takes them
_SIZED = re.compile(
    r"[<>|=]?([a-zA-Z])(\d+)"
)  # a dtype whose values have a size, such as <f4 or |S12
_CHARACTER = 4  # bytes, in NumPy's strings of kind U
_BLOCK = 1 << 20  # bytes


@dataclass(frozen=True)
class Header:
    """What an array in a file is.

    Attributes:
        kind: NumPy's letter for the kind of dtype, such as f for floats.
        shape: Of the array.
        width: The bytes of each value, for fixed-width byte strings; 0 for all other kinds.
    """

    kind: str
    shape: tuple[int, ...]
    width: int = 0


def keys(path: Path) -> list[str] | None:
    """Returns the keys of the arrays of an archive; None where a file is one array, which has none.

    Raises:
        OSError, zipfile.BadZipFile: Where it cannot be read.
        ValueError: Where it would unpack to far more than its size.
    """
    with files.open_regular(path) as file:
        if file.read(len(_MAGIC)) == _MAGIC:
            return None
        with _archive(file, path) as archive:
            return [name.removesuffix(".npy") for name in archive.namelist()]


def header(path: Path, key: str | None) -> Header:
    """Returns the header of an array in a file, by its key where the file is an archive.

    Raises:
        ValueError: Where it is none; broken archives make zipfile raise errors of many other types.
    """
    with _opened(path, key) as (file, size):
        return _header(file, size)


def may_be_cut(path: Path, key: str | None) -> bool:
    """Returns whether an array holds bytes that may have had more zeros at their ends.

    NumPy pads fixed-width strings with zeros, so a value that is shorter than the width reads the
    same whether it ended in zeros or not. Text never does.
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
    """Yields the values of an array, without having all of them in memory."""
    while block := file.read(max(1, _BLOCK // width) * width):
        for start in range(0, len(block), width):
            yield block[start : start + width]


def _is_text(value: bytes) -> bool:
    try:
        return _CONTROL.search(value.decode()) is None
    except UnicodeDecodeError:
        return False


_CONTROL = re.compile(r"[\x00-\x08\x0b\x0e-\x1f]")


@contextmanager
def _opened(path: Path, key: str | None) -> Iterator[tuple[IO[bytes], int]]:
    """Opens an array in a file; gives how many bytes it has, too."""
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
        if reasons := list(budgets.refuse_archive(archive, str(path), size)):
            raise ValueError(reasons[0])
        yield archive


def _header(file: IO[bytes], size: int) -> Header:
    start = file.read(len(_MAGIC) + 2)
    form = (
        _LENGTHS.get(start[-2])
        if start.startswith(_MAGIC) and len(start) > len(_MAGIC)
        else None
    )
    if form is None:
        raise ValueError("is no .npy file")
    (length,) = struct.unpack(form, file.read(struct.calcsize(form)))
    if length > _LONGEST:
        raise ValueError(f"has a header of {length} bytes; takes at most {_LONGEST}")
    said = ast.literal_eval(file.read(length).decode("latin1").strip())
    descr = said["descr"]
    shape = tuple(int(dim) for dim in said["shape"])
    claimed = math.prod(shape) * _item_size(descr)
    if min(shape, default=0) < 0 or claimed > size:
        told = (
            f"claims {claimed} bytes by its shape {list(shape)}, and has {size} bytes"
        )
        raise ValueError(told)
    kind = descr[1] if isinstance(descr, str) else "V"
    width = int(descr[2:]) if kind == "S" else 0
    return Header(kind, shape, width)


def _item_size(descr: object) -> int:
    """Returns the bytes of each value, at least: some dtypes do not say it."""
    sized = _SIZED.match(descr) if isinstance(descr, str) else None
    if sized is None:
        return 1
    kind, number = sized.groups()
    return int(number) * (_CHARACTER if kind == "U" else 1)
