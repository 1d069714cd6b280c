"""Says what any SavedModel is, by its files alone; TensorFlow is not needed for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from smdecl import base_paths, bundle, inspecting, manifest
from smdecl.errors import ContractError
from smdecl.records import DescriptionRecord, ReleaseRecord, StoredRecord, printable


def describe(directory: Path) -> DescriptionRecord:
    """Returns what the SavedModel in a directory is.

    Raises:
        UsageError: Where it is no directory, or a base path.
        ContractError: Where it holds none that can be read.
        VerificationError: Where it is a release whose manifest was changed.
    """
    base_paths.require_one(directory, "a SavedModel")
    message, saved_model = inspecting.load(directory)
    first, *others = message.meta_graphs
    return DescriptionRecord(
        saved_model=saved_model,
        methods={key: first.signature_def[key].method_name for key in saved_model.signatures},
        tensorflow=first.meta_info_def.tensorflow_version,
        other_graphs=tuple(tuple(sorted(graph.meta_info_def.tags)) for graph in others),
        stored=tuple(
            StoredRecord(tensor.name, tensor.dtype, tensor.shape, tensor.size)
            for tensor in bundle.read(directory / "variables" / "variables")
        ),
        files=dict(_files(directory)),
        release=_release(directory),
    )


def _files(directory: Path) -> Iterator[tuple[str, int]]:
    try:
        for path in sorted(directory.rglob("*")):
            if path.is_file():
                yield printable(path.relative_to(directory).as_posix()), path.stat().st_size
    except OSError as error:
        raise ContractError(f"{error.filename}: cannot be read: {error.strerror}") from error


def _release(directory: Path) -> ReleaseRecord | None:
    if not (directory / manifest.FILE).is_file():
        return None
    made = manifest.read(directory)
    commit = (made["source"] or {}).get("commit")
    return ReleaseRecord(made["name"], made["digest"], made["environment"]["smdecl"], commit)
