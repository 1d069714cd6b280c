"""The formats of weights, one row each, without TensorFlow.

`scripts/generate.py` generates parts of the schema, the built-in configs and the docs from the
rows. The functions that restore a format are in `RESTORERS` of
`smdecl/exporting/restoring/restore.py`, which needs TensorFlow.
"""

from __future__ import annotations

import re
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from smdecl import files
from smdecl.names import CHECKPOINT_PREFIX, MESSAGE_FILE

# The first bytes of an HDF5 file.
HDF5 = b"\x89HDF\r\n\x1a\n"
_SHARD = re.compile(r"\.data-(\d{5})-of-(\d{5})")
# The hints of an error about weights that do not fit the model.
RESTORING_LESS = (
    "; ++weights.expect=partial restores what matches and warns about the rest"
)
OTHER_ARGUMENTS = (
    "; the arguments of the model (model.*) may differ"
    " from those that the weights were saved with"
)


def _itself(path: Path) -> Iterator[Path]:
    yield path


def _of_checkpoint(prefix: Path) -> Iterator[Path]:
    yield prefix.with_name(f"{prefix.name}.index")
    if not prefix.parent.is_dir():
        return
    # Not with glob(): the name of a checkpoint may have characters of a pattern.
    for file in prefix.parent.iterdir():
        if file.name.startswith(f"{prefix.name}.data-"):
            yield file


def _of_saved_model(directory: Path) -> Iterator[Path]:
    return _of_checkpoint(directory / CHECKPOINT_PREFIX)


def _refuse_checkpoint(prefix: Path) -> str | None:
    """Returns why a checkpoint with an index is incomplete; None if all its data files exist."""
    found: dict[int, set[int]] = defaultdict(set)
    for file in _of_checkpoint(prefix):
        shard = _SHARD.fullmatch(file.name.removeprefix(prefix.name))
        if shard is not None:
            number, count = map(int, shard.groups())
            found[count].add(number)
    if any(len(found[count]) == count for count in found):
        return None
    count = max(found, default=1)
    missing = min({*range(count)} - found[count])
    name = f"{prefix}.data-{missing:05d}-of-{count:05d}"
    return f"no such file: {name!r}; expected all data files of the checkpoint beside its index"


def _refuse_saved_model(directory: Path) -> str | None:
    prefix = directory / CHECKPOINT_PREFIX
    # Without variables, a SavedModel has no checkpoint.
    if not prefix.with_name(f"{prefix.name}.index").is_file():
        return None
    return _refuse_checkpoint(prefix)


def refuse_keras(path: Path) -> str | None:
    """Returns why a file is not a `.keras` file; None if it is one. Keras gives no reason.

    Reads the first bytes of the file, and the last ones of a zip archive.

    Raises:
        OSError: If it cannot be read.
    """
    head, is_archive = _ends(path)
    # The legacy tf_keras writes HDF5 to files of that name.
    if is_archive or head == HDF5:
        return None
    return _wrong_content(path, head, "a .keras file, which is a zip archive")


def _refuse_keras_weights(path: Path) -> str | None:
    head, _ = _ends(path)
    if head == HDF5:
        return None
    return _wrong_content(path, head, "a .weights.h5 file, which is HDF5")


def _wrong_content(path: Path, head: bytes, expected: str) -> str:
    if not head:
        return f"{str(path)!r} is empty"
    return f"{str(path)!r} is damaged, or not {expected}"


def _ends(path: Path) -> tuple[bytes, bool]:
    """Returns the first bytes of a file, and True if it is a zip archive by its last bytes."""
    with files.open_regular(path) as file:
        return file.read(len(HDF5)), zipfile.is_zipfile(file)


@dataclass(frozen=True)
class WeightsFormat:
    """A format of weights.

    Attributes:
        name: The name in `weights.format`.
        about: A sentence about the format: the comment in its option file.
        path: What to set `weights.path` to, in Markdown.
        is_keras: Whether Keras writes it. Only Keras models are restored from it, and it may
            contain HDF5.
        has_root: Whether it can contain other objects, so that `weights.root` selects one.
        has_signatures: Whether it is a SavedModel, whose signatures can run.
        suffix: The suffix of every path of this format.
        file: Appended to the path, this is the name of a file that must exist.
        of_attribute: What to do if a file has the values of `{name}`, an attribute of the model.
        files: Yields the files that are read, given the path.
        refuse: Returns why the content of a file is not of this format, None if it is. May raise
            OSError.
    """

    name: str
    about: str
    path: str
    is_keras: bool = False
    has_root: bool = False
    has_signatures: bool = False
    suffix: str = ""
    file: str = ""
    of_attribute: str = ""
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
            of_attribute="expected a checkpoint of tf.train.Checkpoint({name}=...)",
            files=_of_checkpoint,
            refuse=_refuse_checkpoint,
        ),
        WeightsFormat(
            "saved_model",
            about="The variables of a SavedModel, by its directory.",
            path="the directory of a SavedModel",
            has_root=True,
            has_signatures=True,
            file=f"/{MESSAGE_FILE}",
            of_attribute=(
                "expected weights of format checkpoint, of tf.train.Checkpoint({name}=...)"
            ),
            files=_of_saved_model,
            refuse=_refuse_saved_model,
        ),
        WeightsFormat(
            "keras_weights",
            about="Weights that a Keras model saved with save_weights, a .weights.h5 file.",
            path="a `.weights.h5` file of `Model.save_weights`",
            is_keras=True,
            suffix=".weights.h5",
            of_attribute=(
                "expected {kind} to restore it instead, by self.{name}.load_weights(path) once"
                " {name} is built"
            ),
            refuse=_refuse_keras_weights,
        ),
        WeightsFormat(
            "keras",
            about="The weights of a whole Keras model, a .keras file, loaded with safe mode on.",
            path="a `.keras` file, loaded in safe mode (HDF5 for tf_keras)",
            is_keras=True,
            suffix=".keras",
            of_attribute=(
                "expected {kind} to receive {name} as an argument:"
                " {{_target_: smdecl.models.load_keras, path: {path}}}"
            ),
            refuse=refuse_keras,
        ),
    )
}
