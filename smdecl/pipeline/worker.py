"""What runs in the processes of an export: build to save in one, verify in another.

TensorFlow is imported here and not before; `pipeline` calls these functions through `isolating`.
"""

from __future__ import annotations

import contextlib
import platform
import resource
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from smdecl import files
from smdecl.checks import outside_values
from smdecl.config.project import Project
from smdecl.config.settings import ExportConfig, Signature, Verify
from smdecl.errors import Problem, disk_errors
from smdecl.exporting import custom_ops
from smdecl.exporting.records import ObjectRecord
from smdecl.savedmodel.records import (
    CustomOpsRecord,
    SavedModelRecord,
    SignatureRecord,
)
from smdecl.verification.records import VerificationRecord

if TYPE_CHECKING:
    from smdecl.exporting.build import Built

_PACKAGES = (
    "smdecl",
    "tensorflow",
    "keras",
    "numpy",
    "protobuf",
    "h5py",
    "ml_dtypes",
    "hydra-core",
    "omegaconf",
)


@dataclass(frozen=True)
class Plan:
    """What would be saved.

    Attributes:
        obj: The object.
        signatures: As they were traced.
        declared: The same as they are declared, with the names of their dims.
        functions: Name of what `tf.saved_model.load` would give to the key of its signature.
        warnings: What may be wrong with the signatures.
    """

    obj: ObjectRecord
    signatures: dict[str, SignatureRecord]
    declared: dict[str, Signature]
    functions: dict[str, str] = field(default_factory=dict)
    warnings: tuple[Problem, ...] = ()


@dataclass(frozen=True)
class Usage:
    """The seconds that each stage took, and the most memory that their process had, in bytes."""

    seconds: dict[str, float]
    peak_memory: int


@dataclass(frozen=True)
class Made:
    """What was saved."""

    plan: Plan
    saved: SavedModelRecord
    environment: dict[str, str]
    modules: dict[str, str]
    usage: Usage
    custom_ops: tuple[CustomOpsRecord, ...] = ()


def _build(config: ExportConfig, project: Project) -> Built:
    from smdecl.exporting import build

    outside_values.require_own_values(config)
    return build.build(config, project)


def plan(config: ExportConfig, project: Project) -> Plan:
    """Builds and traces, and writes nothing."""
    from smdecl.exporting import expose, keras_patches, trace, untracked

    built = _build(config, project)
    with keras_patches.inference():
        traced = trace.trace(built, config.signatures, config.devices, config.options)
        functions = expose.resolve(built, traced, config.functions)
    untracked.require_initialized(built.obj)
    records = {key: signature.record for key, signature in traced.items()}
    return _planned(built, records, functions, config)


def _planned(
    built: Built,
    records: dict[str, SignatureRecord],
    functions: dict[str, str],
    config: ExportConfig,
) -> Plan:
    from smdecl.exporting import methods

    warnings = tuple(methods.casts(built.obj, config.signatures))
    return Plan(built.record, records, config.signatures, functions, warnings)


def make(
    config: ExportConfig,
    project: Project,
    directory: Path,
    providers: Mapping[str, str],
) -> Made:
    """Builds, traces, saves into `directory`, and inspects what stands there.

    Args:
        config: Of the release.
        project: Whose code the config may name.
        directory: To save into; empty.
        providers: From `custom_ops.load`.
    """
    from smdecl.exporting import (
        contract,
        expose,
        keras_patches,
        save,
        source_lines,
        trace,
    )
    from smdecl.savedmodel import auditing, inspection  # fmt: skip
    from smdecl.verification import examples, reference, stored_examples, warmup

    clock = _Clock()
    before = frozenset(sys.modules)
    built = _build(config, project)
    clock.stop("build")
    with keras_patches.inference():
        traced = trace.trace(built, config.signatures, config.devices, config.options)
        functions = expose.resolve(built, traced, config.functions)
        clock.stop("trace")
        save.save(built, traced, functions, config.options, directory)
        clock.stop("save")
    message = inspection.read(directory)
    inspection.require_options(message, config.options, config.verify.loaders)
    records = {key: signature.record for key, signature in traced.items()}
    found = auditing.audit(
        message, config.audit.levels, config.audit.consumer, providers
    )
    found = auditing.audit(
        message, config.audit.levels, config.audit.consumer, providers
    )
    findings = source_lines.locate(found, traced, built.obj)
    saved = inspection.inspect(message, findings)
    contract.require_same(config.signatures, records, saved)
    expose.require(functions, saved)
    clock.stop("inspect")
    with keras_patches.inference():
        cases = examples.make(traced, config.verify, config.seed)
        if config.weights is not None and built.reference is not None:
            reference.compare(
                built.reference, config.weights.path, traced, cases, config.verify
            )
    with disk_errors(directory):
        stored_examples.write(cases, directory)
        if config.publish.warmup:
            method_names = {
                key: signature.signature.method_name
                for key, signature in traced.items()
            }
            warmup.write(cases, config.name, method_names, directory)
    clock.stop("examples")
    peak = (
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    )  # Linux has it in KiB
    planned = _planned(built, records, functions, config)
    usage = Usage(clock.seconds, peak)
    return Made(
        planned, saved, *_code(before, project), usage, custom_ops.records(project)
    )


def _code(
    before: frozenset[str], project: Project
) -> tuple[dict[str, str], dict[str, str]]:
    """Returns the versions of the packages, and the digests of the modules, that were imported since `before`."""
    from smdecl.exporting import imports

    brought = imports.brought(before)
    modules = {
        **imports.outside(brought, project.root),
        **imports.modules(project.root),
    }
    packages = imports.distributions(
        brought | imports.imported(modules.values()), known=_PACKAGES
    )
    return environment(project, packages), {
        name: files.sha256(path) for name, path in modules.items()
    }


class _Clock:
    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def stop(self, stage: str) -> None:
        now = time.perf_counter()
        self.seconds[stage], self._last = now - self._last, now


def verify(
    directory: Path, signatures: Mapping[str, Signature], how: Verify, project: Project
) -> VerificationRecord:
    """Loads the project's custom ops and what is in `directory`, and runs its examples."""
    from smdecl.verification import verify as verifying

    custom_ops.load(project)
    return verifying.verify(directory, signatures, how)


def environment(project: Project, brought: Iterable[str]) -> dict[str, str]:
    """Returns the packages that matter, those included that the project trusts and that its code brought in."""
    # Imported by the model's code, or for tf.keras, by TensorFlow, where TF_USE_LEGACY_KERAS asks for it.
    legacy = ("tf_keras",) if "tf_keras" in sys.modules else ()
    return versions(("python", *_PACKAGES, *legacy, *project.trusted, *brought))


def versions(names: Iterable[str]) -> dict[str, str]:
    """Returns those of some packages that are installed here, with their versions."""
    found = {}
    for name in names:
        with contextlib.suppress(
            metadata.PackageNotFoundError
        ):  # a trusted name can be a plain module
            found[name] = (
                platform.python_version()
                if name == "python"
                else metadata.version(name)
            )
    return found
