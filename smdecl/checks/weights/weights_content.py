"""Recognizes what weights a path leads to, so that an error can name the format to use."""

from __future__ import annotations

import re
import struct
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from smdecl import files
from smdecl.checks.weights.weights_formats import FORMATS, HDF5, WeightsFormat
from smdecl.names import MESSAGE_FILE, VARIABLES

_SHARD = re.compile(r"\.(index|data-\d{5}-of-\d{5})$")
# The file in which tf.train.CheckpointManager names the latest checkpoint of a directory.
_LATEST = "checkpoint"
_LATEST_PREFIX = re.compile(r'^model_checkpoint_path: "([^"]+)"', re.MULTILINE)
_MOST_LATEST = 1 << 20  # bytes of that file
# Keras writes this attribute of a whole model at the beginning of the file.
_HDF5_HEAD = 1 << 16  # bytes
_HDF5_MODEL = b"model_config"
# A safetensors file begins with the length of its header, which is a JSON object.
_LENGTH = struct.Struct("<Q")
_LONGEST_HEADER = 100_000_000  # bytes, by its specification
_RESAVE = "load it with keras.models.load_model, and save it as a .keras file"


@dataclass(frozen=True)
class Found:
    """What a path leads to.

    Attributes:
        what: Its kind in words.
        format: Its format; None if smdecl does not read it.
        path: What `weights.path` must be for the format.
        advice: What to do if smdecl does not read it.
    """

    what: str
    format: str | None = None
    path: str = ""
    advice: str = ""


def refuse(path: str, row: WeightsFormat) -> str | None:
    """Returns what a path leads to and how to set it, if that is known and not as declared.

    Args:
        path: The declared path.
        row: The declared format.
    """
    found = None
    # Another rule reports unreadable files.
    with suppress(OSError, ValueError):
        found = _recognize(Path(path))
    if found is None:
        return None
    message = f"{path!r} is {found.what}"
    if found.format is None:
        expected = row.path.replace("`", "")
        return f"{message}; {found.advice or f'expected {expected}'}"
    changes = list(_changes(path, row, found, FORMATS[found.format].suffix))
    return f"{message}; {' and '.join(changes)}" if changes else None


def _changes(
    path: str, row: WeightsFormat, found: Found, suffix: str
) -> Iterator[str]:
    if found.format != row.name:
        yield f"use format {found.format}"
    if found.path != path:
        yield f"set weights.path={found.path}"
    elif not path.endswith(suffix):
        yield f"give it a name that ends in {suffix}"


def _recognize(path: Path) -> Found | None:
    for recognize in _RECOGNIZERS:
        found = recognize(path)
        if found is not None:
            return found
    return None


def _saved_model(path: Path) -> Found | None:
    directories = [path]
    if path.name in (MESSAGE_FILE, VARIABLES):
        directories.append(path.parent)
    for directory in directories:
        if (directory / MESSAGE_FILE).is_file():
            what = (
                "a SavedModel" if directory == path else "part of a SavedModel"
            )
            return Found(what, "saved_model", str(directory))
    return None


def _checkpoint(path: Path) -> Found | None:
    if _index(path).is_file():
        return Found("a checkpoint", "checkpoint", str(path))
    prefix = path.with_name(_SHARD.sub("", path.name))
    if path.is_file() and prefix != path and _index(prefix).is_file():
        return Found("part of a checkpoint", "checkpoint", str(prefix))
    if path.is_dir():
        prefixes = list(_prefixes(path))
        if len(prefixes) == 1:
            what = "a directory with a checkpoint"
            return Found(what, "checkpoint", str(prefixes[0]))
    return None


def _index(prefix: Path) -> Path:
    return prefix.with_name(f"{prefix.name}.index")


def _prefixes(directory: Path) -> Iterator[Path]:
    """Yields the latest checkpoint of a directory if it is recorded, otherwise all of them."""
    latest = directory / _LATEST
    if latest.is_file():
        text = files.read_regular(latest, _MOST_LATEST).decode()
        for name in _LATEST_PREFIX.findall(text):
            if _index(directory / name).is_file():
                yield directory / name
                return
    for index in sorted(directory.glob("*.index")):
        yield index.with_suffix("")


def _zip(path: Path) -> Found | None:
    if not path.is_file() or not zipfile.is_zipfile(path):
        return None
    with files.open_regular(path) as file, zipfile.ZipFile(file) as archive:
        names = archive.namelist()
    if {"config.json", "model.weights.h5"} <= {*names}:
        return Found("a .keras file", "keras", str(path))
    if names and all(name.endswith(".npy") for name in names):
        return Found("an archive of NumPy arrays")
    if any(name.endswith("/data.pkl") for name in names):
        return Found("a file of PyTorch")
    return None


def _hdf5(path: Path) -> Found | None:
    if not path.is_file():
        return None
    with files.open_regular(path) as file:
        head = file.read(_HDF5_HEAD)
    if not head.startswith(HDF5):
        return None
    if _HDF5_MODEL in head:
        return Found("a whole model in legacy HDF5", advice=_RESAVE)
    return Found("a file of weights in HDF5", "keras_weights", str(path))


def _safetensors(path: Path) -> Found | None:
    if not path.is_file():
        return None
    with files.open_regular(path) as file:
        head, start = file.read(_LENGTH.size), file.read(1)
    if start != b"{":
        return None
    (length,) = _LENGTH.unpack(head)
    is_whole = length <= min(_LONGEST_HEADER, path.stat().st_size)
    return Found("a safetensors file") if is_whole else None


_RECOGNIZERS: tuple[Callable[[Path], Found | None], ...] = (
    _saved_model,
    _checkpoint,
    _zip,
    _hdf5,
    _safetensors,
)
