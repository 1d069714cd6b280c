"""What the processes of an export return."""

from __future__ import annotations

from dataclasses import dataclass, field

from smdecl.config.settings import Signature
from smdecl.errors import Problem
from smdecl.exporting.building.records import ObjectRecord
from smdecl.savedmodel.records import (
    CustomOpsRecord,
    SavedModelRecord,
    SignatureRecord,
    VariableRecord,
)
from smdecl.verification.records import VerificationRecord

BUILT = "built"  # what a process reports when the object is built, with its peak memory in bytes
SAVED = "saved"  # what a process asks when the model is saved: where it is from now on


@dataclass(frozen=True)
class Plan:
    """What an export would save.

    Attributes:
        obj: The object.
        variables: The variables that an export saves (schema: variables).
        signatures: The signatures as they were traced.
        declared: The signatures as they are declared, with the names of their dims.
        functions: Each name that `tf.saved_model.load` would give, with the key of its signature.
        warnings: What may be wrong with the signatures.
    """

    obj: ObjectRecord
    variables: tuple[VariableRecord, ...]
    signatures: dict[str, SignatureRecord]
    declared: dict[str, Signature]
    functions: dict[str, str] = field(default_factory=dict)
    warnings: tuple[Problem, ...] = ()


@dataclass(frozen=True)
class Usage:
    """The resources that an export used.

    Attributes:
        seconds: The seconds that each stage took.
        peak_memory: The largest memory of the process, in bytes.
    """

    seconds: dict[str, float]
    peak_memory: int


@dataclass(frozen=True)
class Replayed:
    """What a process that runs loaders returns.

    Attributes:
        report: What the loaders found.
        peak_memory: The largest memory of the process, in bytes.
    """

    report: VerificationRecord
    peak_memory: int


@dataclass(frozen=True)
class Made:
    """What an export saved.

    Attributes:
        plan: The object and its signatures.
        saved: The content of the SavedModel.
        environment: Each package that it depends on, with its version.
        modules: Each imported module outside of packages, with its sha256.
        usage: The resources that it took.
        custom_ops: The libraries that registered ops.
        part: The name of the object in a checkpoint that was restored; None for its root.
    """

    plan: Plan
    saved: SavedModelRecord
    environment: dict[str, str]
    modules: dict[str, str]
    usage: Usage
    custom_ops: tuple[CustomOpsRecord, ...] = ()
    part: str | None = None
