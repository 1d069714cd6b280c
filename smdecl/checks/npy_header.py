"""Reads what .npy and .npz files say of the arrays in them, without NumPy: nothing is loaded, and nothing unpickled."""

from __future__ import annotations

import ast
import re
import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from smdecl import files

SUFFIXES = (".npz", ".npy")
_MAGIC = b"\x93NUMPY"
_LENGTHS = {1: "<H", 2: "<I", 3: "<I"}  # of the header, by version of the format
_LONGEST = 10_000  # bytes of a header, as NumPy takes them


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
    """
    with files.open_regular(path) as file:
        if file.read(len(_MAGIC)) == _MAGIC:
            return None
        with zipfile.ZipFile(file) as archive:
            return [name.removesuffix(".npy") for name in archive.namelist()]


def header(path: Path, key: str | None) -> Header:
    """Returns the header of an array in a file, by its key where the file is an archive.

    Raises:
        ValueError: Where it is none; broken archives make zipfile raise errors of many other types.
    """
    with _opened(path, key) as file:
        return _header(file)


def may_be_cut(path: Path, key: str | None) -> bool:
    """Returns whether an array holds bytes that may have had more zeros at their ends.

    NumPy pads fixed-width strings with zeros, so a value that is shorter than the width reads the
    same whether it ended in zeros or not. Text never does.
    """
    with _opened(path, key) as file:
        found = _header(file)
        if found.kind != "S" or found.width == 0:
            return False
        content = file.read()
    cells = (content[start : start + found.width] for start in range(0, len(content), found.width))
    values = [cell.rstrip(b"\0") for cell in cells]
    is_text = all(map(_is_text, values))
    return not is_text and any(len(value) < found.width for value in values)


def _is_text(value: bytes) -> bool:
    try:
        return _CONTROL.search(value.decode()) is None
    except UnicodeDecodeError:
        return False


_CONTROL = re.compile(r"[\x00-\x08\x0b\x0e-\x1f]")


@contextmanager
def _opened(path: Path, key: str | None) -> Iterator[IO[bytes]]:
    with files.open_regular(path) as file:
        if key is None:
            yield file
            return
        with zipfile.ZipFile(file) as archive:
            name = f"{key}.npy" if f"{key}.npy" in archive.namelist() else key
            with archive.open(name) as member:
                yield member


def _header(file: IO[bytes]) -> Header:
    start = file.read(len(_MAGIC) + 2)
    form = _LENGTHS.get(start[-2]) if start.startswith(_MAGIC) and len(start) > len(_MAGIC) else None
    if form is None:
        raise ValueError("is no .npy file")
    (length,) = struct.unpack(form, file.read(struct.calcsize(form)))
    if length > _LONGEST:
        raise ValueError(f"has a header of {length} bytes; takes at most {_LONGEST}")
    said = ast.literal_eval(file.read(length).decode("latin1").strip())
    descr, shape = said["descr"], said["shape"]
    kind = descr[1] if isinstance(descr, str) else "V"
    width = int(descr[2:]) if kind == "S" else 0
    return Header(kind, tuple(int(size) for size in shape), width)
