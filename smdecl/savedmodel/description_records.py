"""What `describe` returns: a SavedModel by its files alone, as plain data (schema: description)."""

from __future__ import annotations

from dataclasses import dataclass

from smdecl.savedmodel.records import SavedModelRecord


@dataclass(frozen=True)
class StoredRecord:
    """A tensor in the checkpoint of a SavedModel.

    Attributes:
        name: The name of the variable in plans and comparisons too, such as `hidden/kernel`.
        path: The path from the saved object, such as `layers/0/kernel`.
        dtype: The canonical name.
        shape: The sizes.
        size: The number of bytes.
    """

    name: str
    path: str
    dtype: str
    shape: tuple[int, ...]
    size: int


@dataclass(frozen=True)
class ReleaseRecord:
    """What the manifest of a release says about it."""

    name: str
    digest: str
    smdecl: str
    commit: str | None


@dataclass(frozen=True)
class TensorNamesRecord:
    """The tensors behind a signature, such as `x:0`, by the names that a client uses."""

    inputs: dict[str, str]
    outputs: dict[str, str]


@dataclass(frozen=True)
class GraphRecord:
    """A MetaGraph with the details that only the message has.

    Attributes:
        saved_model: The MetaGraph, read back from its bytes.
        methods: Signature key to the name of its API, such as `tensorflow/serving/predict`.
        tensors: Signature key to the tensors of its inputs and outputs.
        tensorflow: The TensorFlow version that saved it; empty if unknown.
        init_op: The op or tensor that a loader runs first; None if there is none.
        train_op: The op or tensor of a training step; None if there is none.
    """

    saved_model: SavedModelRecord
    methods: dict[str, str]
    tensors: dict[str, TensorNamesRecord]
    tensorflow: str
    init_op: str | None
    train_op: str | None


@dataclass(frozen=True)
class DescriptionRecord(GraphRecord):
    """A SavedModel, described by its files alone (schema: description).

    The fields of GraphRecord describe the MetaGraph that a server loads.

    Attributes:
        other_graphs: Every other MetaGraph.
        stored: The tensors in its checkpoint.
        files: File to its size in bytes.
        release: What its manifest says; None if it is not a release of smdecl.
        damage: What is missing or unreadable, so that no loader gets all of it.
    """

    other_graphs: tuple[GraphRecord, ...]
    stored: tuple[StoredRecord, ...]
    files: dict[str, int]
    release: ReleaseRecord | None
    damage: tuple[str, ...]
