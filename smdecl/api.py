"""The Python API: a function for each verb, which returns what the command line prints."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from smdecl import call_arguments
from smdecl.call_arguments import StrPath
from smdecl.config.project import Project, find_project
from smdecl.config.settings import Composition
from smdecl.errors import UsageError
from smdecl.pipeline.outcomes import Checked, Reproduction, Verified
from smdecl.resources import PRIMARY

if TYPE_CHECKING:  # each verb imports only the modules that it needs
    from smdecl.pipeline.export import Release
    from smdecl.pipeline.records import Plan
    from smdecl.pipeline.sweeping.variants import Variant
    from smdecl.savedmodel.description_records import DescriptionRecord
    from smdecl.savedmodel.records import DiffRecord

Config: TypeAlias = "Composition | Mapping[str, object]"


def compose(
    overrides: Sequence[str] = (),
    *,
    config_dir: StrPath | Sequence[StrPath] | None = None,
    config_name: str = PRIMARY,
) -> Composition:
    """Composes an export config, as the command line does.

    Args:
        overrides: Hydra's override grammar, such as `["model=adder", "seed=1"]`.
        config_dir: One or more directories of your own configs. They win over built-in configs of
            the same name, and earlier directories over later ones.
        config_name: The primary config.

    Raises:
        errors.UsageError: If `overrides` is a lone string, or a directory does not exist.
        errors.ConfigError: With every override and interpolation that is invalid.
    """
    from smdecl.config import compose as composing

    return composing.compose(
        call_arguments.strings("overrides", overrides),
        directories=call_arguments.directories(config_dir),
        config_name=config_name,
    )


def check(config: Config, *, trust_packages: Sequence[str] = ()) -> Checked:
    """Checks what a config describes, without TensorFlow.

    Args:
        config: From `compose`, or a mapping to merge into the defaults of `conf/export.yaml`.
        trust_packages: More packages whose code the config may name.

    Returns:
        The checked config, and what may be wrong with it.

    Raises:
        errors.ConfigError: With every problem.
        errors.PublishError: If the config is valid, but its version exists or cannot be written.
    """
    from smdecl.pipeline import checking

    project = _project(trust_packages)
    return checking.check(_composition(config), project)


def plan(config: Config, *, trust_packages: Sequence[str] = ()) -> Plan:
    """Builds and traces what a config describes; writes nothing.

    Args:
        config: From `compose`, or a mapping to merge into the defaults of `conf/export.yaml`.
        trust_packages: More packages whose code the config may name.

    Returns:
        The object and the signatures that an export would save.

    Raises:
        errors.UsageError: If called within a `tf.function` or in graph mode.
        errors.SmdeclError: Its class tells which stage failed.
    """
    _start("plan")
    from smdecl.pipeline import export as pipeline

    project = _project(trust_packages)
    return pipeline.plan(_composition(config), project)


def export(config: Config, *, trust_packages: Sequence[str] = ()) -> Release:
    """Builds, traces, saves, verifies and publishes what a config describes.

    TensorFlow runs in separate processes. The config may name code of the project in the current
    directory.

    Args:
        config: From `compose`, or a mapping to merge into the defaults of `conf/export.yaml`.
        trust_packages: More packages whose code the config may name.

    Returns:
        The path, version, digest and saved signatures of the release.

    Raises:
        errors.UsageError: If called within a `tf.function` or in graph mode.
        errors.SmdeclError: Its class tells which stage failed; nothing is left behind.
    """
    _start("export")
    from smdecl.pipeline import export as pipeline

    project = _project(trust_packages)
    return pipeline.export(_composition(config), project)


def verify(
    directory: StrPath,
    key: StrPath | None = None,
    allow_ops: Sequence[str] = (),
) -> Verified:
    """Compares every file of a release with its manifest, loads it and runs its examples.

    Args:
        directory: The directory of the release.
        key: The file of the public key to check its signature with.
        allow_ops: Ops that may reach into files, the network or Python even if no signature is
            checked.

    Returns:
        What was compared and run.

    Raises:
        errors.UsageError: If the directory has no release, or the key is not a public key.
        errors.VerificationError: With every difference.
    """
    path = call_arguments.local("directory", directory)
    public = None if key is None else call_arguments.path("key", key)
    ops = call_arguments.strings("allow_ops", allow_ops)
    _start("verify")
    from smdecl.pipeline import verify as verifying
    from smdecl.release import signing

    manifest, report = verifying.verify(path, public, allow_ops=ops)
    return Verified(
        path=path,
        digest=manifest["digest"],
        files=tuple(manifest["files"]),
        loaders=report.loaders,
        examples=report.examples,
        is_signed=signing.is_signed(path),
        key=public,
    )


def inspect(directory: StrPath) -> DescriptionRecord:
    """Describes any SavedModel from its files, without TensorFlow.

    Args:
        directory: The directory of the SavedModel.

    Returns:
        Its signatures, variables, functions and files; `damage` lists what is missing or
        malformed in its checkpoint.

    Raises:
        errors.UsageError: If the directory does not exist, or is a base path.
        errors.ContractError: If it contains no readable SavedModel.
        errors.VerificationError: If it is a release whose manifest was changed.
    """
    from smdecl.release import description

    return description.describe(call_arguments.local("directory", directory))


def diff(before: StrPath, after: StrPath) -> DiffRecord:
    """Compares two SavedModels, without TensorFlow.

    Args:
        before: The directory of the SavedModel that callers know.
        after: The directory of the SavedModel that replaces it.

    Returns:
        The verdict for callers (same, additive or breaking), and every change.

    Raises:
        errors.UsageError: If the directory does not exist, or is a base path.
        errors.ContractError: With everything that is missing or malformed in them.
        errors.VerificationError: If one is a release whose manifest was changed.
    """
    from smdecl.release import diffing

    return diffing.diff(
        call_arguments.local("before", before),
        call_arguments.local("after", after),
    )


def reproduce(
    directory: StrPath,
    config: Config | None = None,
    *,
    trust_packages: Sequence[str] = (),
) -> Reproduction:
    """Makes a release again and compares the bytes.

    Args:
        directory: The directory of the release.
        config: The config to make it from; by default the config in its manifest.
        trust_packages: More packages whose code the config may name.

    Returns:
        The digest of both, and the changes that change no byte.

    Raises:
        errors.VerificationError: If the release was changed, or the new one differs.
        errors.SmdeclError: Its class tells why the release cannot be made again.
    """
    path = call_arguments.local("directory", directory)
    _start("reproduce")
    from smdecl.pipeline import reproduce as reproducing

    project = _project(trust_packages)
    composition = None if config is None else _composition(config)
    digest, changes = reproducing.reproduce(path, project, composition)
    return Reproduction(path, digest, changes)


def sweep(
    overrides: Sequence[str],
    *,
    config_dir: StrPath | Sequence[StrPath] | None = None,
    config_name: str = PRIMARY,
    trust_packages: Sequence[str] = (),
    jobs: int | Literal["auto"] | None = "auto",
    resume: StrPath | None = None,
) -> tuple[Variant, ...]:
    """Exports every variant of a sweep, several at a time; a failure does not stop the others.

    Nothing is printed. The records are also in `sweep.json`, in the directory `hydra.sweep.dir`.

    Args:
        overrides: In Hydra's sweep syntax, such as `["model=adder,scaler", "seed=range(3)"]`.
        config_dir: One or more directories of your own configs; the first wins.
        config_name: The primary config.
        trust_packages: More packages whose code the config may name.
        jobs: The number of variants that run at the same time. `"auto"`, the default, runs as many
            as there are cores and memory for; None means the same.
        resume: The `sweep.json` of an earlier run, whose published variants are skipped.

    Returns:
        The outcome of each variant in order, with the path and digest of its release.

    Raises:
        errors.UsageError: If an argument is invalid, or as in `export`.
        errors.ConfigError: If the overrides make no sweep.
        errors.PublishError: If the records of the sweep cannot be written.
    """
    given = call_arguments.strings("overrides", overrides)
    directories = call_arguments.directories(config_dir)
    limit = None if jobs == "auto" else jobs
    if limit is not None and (not isinstance(limit, int) or limit < 1):
        expected = "expected an integer of at least 1, or 'auto'"
        raise UsageError(f"jobs: {expected}, got {jobs!r}")
    _start("sweep")
    from smdecl.pipeline.sweeping import sweep as sweeping
    from smdecl.pipeline.sweeping import variants

    earlier = None if resume is None else call_arguments.path("resume", resume)
    request = variants.Request(given, directories, config_name, limit, earlier)
    _, results = sweeping.sweep(request, _project(trust_packages))
    return tuple(results)


def _composition(config: Config) -> Composition:
    if isinstance(config, Composition):
        return config
    if isinstance(config, Mapping):
        from smdecl.config import compose as composing

        return composing.compose_mapping(config)
    expected = "expected what smdecl.compose returns, or a mapping"
    got = call_arguments.kind(config)
    raise UsageError(f"config: {expected}, got {got}")


def _project(trust_packages: Sequence[str]) -> Project:
    return find_project(
        Path.cwd(), call_arguments.strings("trust_packages", trust_packages)
    )


def _start(verb: str) -> None:
    """Starts to import TensorFlow in the server process.

    Raises:
        UsageError: If the call is part of a graph, where it would run only when it is traced.
    """
    tf = sys.modules.get("tensorflow")
    if tf is not None and tf.inside_function():
        called = "was called from within the body of a tf.function"
        raise UsageError(f"smdecl.{verb} {called}; call it outside")
    if tf is not None and not tf.executing_eagerly():
        called = "was called in graph mode; call it where TensorFlow executes eagerly"
        raise UsageError(f"smdecl.{verb} {called}")
    from smdecl.pipeline.children import children

    children.start()
