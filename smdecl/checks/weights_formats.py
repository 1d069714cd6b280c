"""The formats of weights: one row each, without TensorFlow.

`scripts/generate.py` writes what the rows say into the schema, the built-in configs and the docs.
How a format is restored is in `RESTORERS` of `restoring.py`, which needs TensorFlow.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from smdecl import files
from smdecl.names import CHECKPOINT_PREFIX, MESSAGE_FILE

# What a file of HDF5 begins with.
HDF5 = b"\x89HDF\r\n\x1a\n"


def _itself(path: Path) -> Iterator[Path]:
    yield path


def _of_checkpoint(prefix: Path) -> Iterator[Path]:
    yield prefix.with_name(f"{prefix.name}.index")
    # Not by a pattern: a name may hold what a pattern is made of.
    there = prefix.parent.iterdir() if prefix.parent.is_dir() else ()
    yield from (file for file in there if file.name.startswith(f"{prefix.name}.data-"))


def _of_saved_model(directory: Path) -> Iterator[Path]:
    return _of_checkpoint(directory / CHECKPOINT_PREFIX)


def refuse_keras(path: Path) -> str | None:
    """Says why a file is not a `.keras` file, which Keras does not.

    It looks at the first bytes, and at the last ones of a zip archive.

    Raises:
        OSError: If it cannot be read.
    """
    head, is_archive = _ends(path)
    # The legacy tf_keras takes HDF5 under that name.
    return (
        None
        if is_archive or head == HDF5
        else _refusal(path, head, "no zip archive, as a .keras file is, or is cut off")
    )


def _refuse_keras_weights(path: Path) -> str | None:
    head, _ = _ends(path)
    return (
        None
        if head == HDF5
        else _refusal(path, head, "no HDF5 file, as a .weights.h5 file is")
    )


def _refusal(path: Path, head: bytes, reason: str) -> str:
    return f"{str(path)!r} is {reason if head else 'empty'}"


def _ends(path: Path) -> tuple[bytes, bool]:
    """Returns the first bytes of a file, and whether it ends as a zip archive does."""
    with files.open_regular(path) as file:
        return file.read(len(HDF5)), zipfile.is_zipfile(file)


@dataclass(frozen=True)
class WeightsFormat:
    """A format of weights.

    Attributes:
        name: What `weights.format` calls it.
        about: What it is, a sentence: the comment of its option file.
        path: What `weights.path` is, in Markdown.
        is_keras: Whether it is a file of Keras, which only a Keras model is restored from, and which
            may hold HDF5.
        has_root: Whether it may hold the object among others, under the name `weights.root`.
        suffix: What the path ends in.
        file: What the path is followed by in the name of a file that has to exist.
        files: Yields the files that are read, by the path.
        refuse: Says what is wrong with the file of the path, by its content; may raise OSError.
    """

    name: str
    about: str
    path: str
    is_keras: bool = False
    has_root: bool = False
    suffix: str = ""
    file: str = ""
    files: Callable[[Path], Iterator[Path]] = _itself
    refuse: Callable[[Path], str | None] = lambda _: None


FORMATS = {
    row.name: row
    for row in (
        WeightsFormat(
            "checkpoint",
            about="A TensorFlow checkpoint, by its prefix.",
            path="the prefix of a `tf.train.Checkpoint`, such as `ckpt/model-5`",
            has_root=True,
            file=".index",
            files=_of_checkpoint,
        ),
        WeightsFormat(
            "saved_model",
            about="The variables of another SavedModel, by its directory.",
            path="the directory of a SavedModel",
            has_root=True,
            file=f"/{MESSAGE_FILE}",
            files=_of_saved_model,
        ),
        WeightsFormat(
            "keras_weights",
            about="Weights that a Keras model saved with save_weights, a .weights.h5 file.",
            path="a `.weights.h5` file of `Model.save_weights`",
            is_keras=True,
            suffix=".weights.h5",
            refuse=_refuse_keras_weights,
        ),
        WeightsFormat(
            "keras",
            about="The weights of a whole Keras model, a .keras file, loaded with safe mode on.",
            path="a `.keras` file, loaded in safe mode (HDF5 for tf_keras)",
            is_keras=True,
            suffix=".keras",
            refuse=refuse_keras,
        ),
    )
}
