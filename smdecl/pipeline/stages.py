"""The stages from build to inspect, as they run in one process; imports TensorFlow."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from smdecl.checks.weights import self_contained_weights
from smdecl.config.project import Project
from smdecl.config.settings import ExportConfig
from smdecl.errors import disk_errors
from smdecl.exporting import importable, keras_patches
from smdecl.exporting.building import build, custom_ops, imports
from smdecl.exporting.building.build import Built
from smdecl.exporting.saving import (
    cheaper_saving,
    expose,
    save,
    saved_options,
    saved_variables,
    untracked,
)
from smdecl.exporting.signatures import contract, methods
from smdecl.exporting.tracing import keras_memory, source_lines, trace
from smdecl.exporting.tracing.traced import Traced
from smdecl.isolation import reports
from smdecl.isolation.preloaded import Snapshot
from smdecl.pipeline import clock, packages
from smdecl.pipeline.records import BUILT, SAVED, Made, Plan, Usage
from smdecl.savedmodel import inspection
from smdecl.savedmodel.audits import auditing
from smdecl.savedmodel.records import SavedModelRecord, VariableRecord
from smdecl.verification import examples, reference, stored_examples, warmup


def plan(
    config: ExportConfig, project: Project
) -> tuple[Plan, dict[str, float]]:
    """Builds and traces; writes nothing. Returns the seconds of each stage too."""
    stages = _Stages("build")
    built = _build(config, project)
    stages.begin("trace")
    with keras_patches.inference():
        built, traced = _trace(config, built)
        functions = expose.resolve(built, traced, config.functions)
    untracked.require_initialized(built.obj)
    variables = saved_variables.records(built, traced, functions)
    planned = _planned(config, built, traced, functions, variables)
    return planned, stages.end()


def make(
    config: ExportConfig,
    project: Project,
    directory: Path,
    providers: Mapping[str, str],
) -> Made:
    """Builds, traces, saves into `directory` and inspects the SavedModel there.

    Args:
        config: The config of the release.
        project: The project whose code the config may name.
        directory: An empty directory to save into.
        providers: The library of each custom op, from `custom_ops.load`.
    """
    stages = _Stages("build")
    loaded_before = Snapshot.take()
    built = _build(config, project)
    peak = clock.peak_memory()
    reports.report(BUILT, peak, peak)
    stages.begin("trace")
    with keras_patches.inference():
        built, traced = _trace(config, built)
        functions = expose.resolve(built, traced, config.functions)
        stages.begin("save")
        save.save(built, traced, functions, config.options, directory)
    # The caller moves what is saved, and may load it from there already.
    directory = Path(reports.ask(SAVED) or directory)
    stages.begin("inspect")
    saved = _inspect(config, built, traced, directory, providers)
    expose.require(functions, saved)
    stages.begin("examples")
    _write_examples(config, built, traced, directory)
    stages.begin("sources")
    planned = _planned(config, built, traced, functions, saved.variables)
    modules, imported = _imported_since(loaded_before, project)
    environment = packages.environment(project, imported)
    records = custom_ops.records(project)
    usage = Usage(stages.end(), clock.peak_memory())
    return Made(
        planned,
        saved,
        environment,
        modules,
        usage,
        records,
        built.restored.part,
    )


def _build(config: ExportConfig, project: Project) -> Built:
    self_contained_weights.require_own_values(config)
    return build.build(config, project)


def _trace(
    config: ExportConfig, built: Built
) -> tuple[Built, dict[str, Traced]]:
    """Traces an object; returns it with the weights of variables that this has created."""
    with cheaper_saving.cheaper_ops(config.options):
        traced = trace.trace(
            built, config.signatures, config.devices, config.options
        )
    return build.restore_late(built, config.weights), traced


def _planned(
    config: ExportConfig,
    built: Built,
    traced: Mapping[str, Traced],
    functions: dict[str, str],
    variables: tuple[VariableRecord, ...],
) -> Plan:
    records = {key: signature.record for key, signature in traced.items()}
    warnings = tuple(methods.casts(built.obj, config.signatures))
    return Plan(
        built.record,
        variables,
        records,
        config.signatures,
        functions,
        warnings,
    )


def _inspect(
    config: ExportConfig,
    built: Built,
    traced: Mapping[str, Traced],
    directory: Path,
    providers: Mapping[str, str],
) -> SavedModelRecord:
    """Reads the SavedModel as a file, audits it and compares its signatures with the config."""
    message = inspection.read(directory)
    saved_options.require(message, config.options, config.verify.loaders)
    audit = config.audit
    found = auditing.audit(message, audit.levels, audit.consumer, providers)
    findings = source_lines.locate(found, traced, built.obj)
    saved = inspection.inspect(message, findings)
    records = {key: signature.record for key, signature in traced.items()}
    contract.require_same(config.signatures, records, saved)
    return saved


def _write_examples(
    config: ExportConfig,
    built: Built,
    traced: Mapping[str, Traced],
    directory: Path,
) -> None:
    """Runs the examples on the object, and stores their inputs and outputs in the release."""
    with keras_patches.inference(), keras_memory.freeing():
        cases = examples.make(traced, config.verify, config.seed)
        whole = built.restored.reference
        if config.weights is not None and whole is not None:
            path = config.weights.path
            reference.compare(whole, path, traced, cases, config.verify)
    with disk_errors(directory):
        stored_examples.write(cases, directory)
        if config.publish.warmup:
            names = {}
            for key, signature in traced.items():
                names[key] = signature.signature.method_name
            warmup.write(cases, config.name, names, directory)


def _imported_since(
    loaded_before: Snapshot, project: Project
) -> tuple[dict[str, str], set[str]]:
    """Returns the sha256 of each module that the model's code imported, and their packages."""
    names = imports.brought(loaded_before)
    paths = {
        **imports.outside(names, project.root),
        **imports.modules(project.root),
    }
    names |= imports.imported(paths.values())
    distributions = imports.distributions(names, known=packages.ALWAYS)
    modules = {name: importable.sha256(path) for name, path in paths.items()}
    return modules, distributions


class _Stages:
    """Measures one stage after another, and reports each to the caller as it begins."""

    def __init__(self, first: str) -> None:
        self._seconds: dict[str, float] = {}
        self._started = time.perf_counter()
        self._name = first
        reports.report(first)

    def begin(self, name: str) -> None:
        """Ends the current stage and begins the next one."""
        self.end()
        self._name = name
        reports.report(name)

    def end(self) -> dict[str, float]:
        """Ends the current stage; returns the seconds of every stage so far."""
        now = time.perf_counter()
        self._seconds[self._name] = now - self._started
        self._started = now
        return self._seconds
