"""Reads what .npy and .npz files say of the arrays in them, without NumPy: nothing is loaded, and nothing unpickled."""

from __future__ import annotations

import ast
import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from smdecl import files

_MAGIC = b"\x93NUMPY"
_LENGTHS = {1: "<H", 2: "<I", 3: "<I"}  # of the header, by version of the format
_LONGEST = 10_000  # bytes of a header, as NumPy takes them


@dataclass(frozen=True)
class Header:
    """What an array in a file is; `kind` is NumPy's letter for the kind of dtype, such as f for floats."""

    kind: str
    shape: tuple[int, ...]


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
    with files.open_regular(path) as file:
        if key is None:
            return _header(file)
        with zipfile.ZipFile(file) as archive:
            name = f"{key}.npy" if f"{key}.npy" in archive.namelist() else key
            with archive.open(name) as member:
                return _header(member)


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
    return Header(descr[1] if isinstance(descr, str) else "V", tuple(int(size) for size in shape))
