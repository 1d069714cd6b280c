"""Makes a release again from its manifest and compares the bytes."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from smdecl import files, progress, schema, scratch
from smdecl.checks import check
from smdecl.checks.weights.weights_formats import (
    OTHER_ARGUMENTS,
    RESTORING_LESS,
)
from smdecl.config import resolve, trust
from smdecl.config.hydra_scope import scope
from smdecl.config.project import Project
from smdecl.config.settings import Composition, Publish
from smdecl.errors import (
    ConfigError,
    Problem,
    SmdeclError,
    TrustError,
    VerificationError,
    dotted,
)
from smdecl.names import WARMUP_FILE
from smdecl.pipeline import causes, export, making, packages
from smdecl.pipeline.clock import Clock
from smdecl.release import comparison, diff_manifest, manifest
from smdecl.release.manifest_types import Manifest
from smdecl.release.manifest_versions import config_of
from smdecl.savedmodel.records import Change


def reproduce(
    directory: Path, project: Project, composition: Composition | None = None
) -> tuple[str, tuple[Change, ...]]:
    """Makes a release again and compares the bytes.

    Args:
        directory: The directory of the release.
        project: The project that the release was made in, or a different checkout of it.
        composition: The config to make it from; by default the config in the manifest.

    Returns:
        The digest of both, and the changes of config, environment and source that change no byte.

    Raises:
        VerificationError: If the release was changed, or the new one differs: with the changes of
            config, environment, source and files.
        TrustError: If the config names code that may not run here.
        SmdeclError: Of a different class if the release cannot be made again.
    """
    clock = Clock(composition.seconds if composition else 0.0)
    released = manifest.read(directory)
    sizes = (entry["size"] for entry in released["files"].values())
    with clock.stage("hash"), progress.counting(sizes):
        problems = list(comparison.compare(directory, released))
    if problems:
        raise VerificationError(problems)
    try:
        if composition is None:
            _require_known(directory, released)
            given = _released(released)
        else:
            given = _unpublished(composition)
        return _make_again(directory, released, project, given, clock)
    except SmdeclError as error:
        changed = _changed(directory, released, project)
        found = dict.fromkeys([*changed, *error.problems])
        if not isinstance(error, ConfigError):
            raise error.masked(list(found), {}) from error
        # First, because it is the cause of the others.
        problems = [*_elsewhere(directory, released, project), *found]
        # The config of the manifest passed the checks once, so its surroundings have changed.
        if composition is None and not isinstance(error, TrustError):
            shown = [_without_hint(problem) for problem in problems]
            raise VerificationError(shown) from error
        raise type(error)(problems) from error


def _changed(
    directory: Path, released: Manifest, project: Project
) -> Iterator[Problem]:
    """Yields a problem for each file that a release was made from and that has changed since."""
    today: dict[str, str] = {}
    for name in released["inputs"]:
        path = str(project.root / name)
        # A manifest must not reveal the digest of a file outside the project.
        if trust.refuse_file(path, project) or files.refuse_holes(path):
            continue
        with suppress(OSError):
            today[name] = files.sha256(Path(path))
    recorded = {name: released["inputs"][name] for name in today}
    for change in diff_manifest.inputs(recorded, today):
        yield Problem((), f"{directory}: {change}")


def _without_hint(problem: Problem) -> Problem:
    """Returns a problem without a hint at the config, because the manifest has the config."""
    message = problem.message.removesuffix(RESTORING_LESS)
    message = message.removesuffix(OTHER_ARGUMENTS)
    return replace(problem, message=message)


def _elsewhere(
    directory: Path, released: Manifest, project: Project
) -> Iterator[Problem]:
    """Yields a problem if this project has none of the files that a release was made from."""
    inputs = list(released["inputs"])
    if not inputs or any((project.root / name).exists() for name in inputs):
        return
    more = f" and {len(inputs) - 1} more" if len(inputs) > 1 else ""
    message = (
        f"was made from {inputs[0]}{more}, but the project {project.root} has no such file; run it"
        " in the project that the release was made in, or in a different checkout of it"
    )
    yield Problem((), f"{directory}: {message}")


def _make_again(
    directory: Path,
    released: Manifest,
    project: Project,
    composition: Composition,
    clock: Clock,
) -> tuple[str, tuple[Change, ...]]:
    with export.located(composition), scratch.directory() as stage:
        with clock.stage("check"):
            config = check.check(composition, project)
        again = making.make_release(
            config, composition, project, stage, clock
        ).directory
        from smdecl.release import diffing

        changes = diffing.diff(directory, again).changes
        # Both lists of files match the disk: one was compared with it, one was just made from it.
        if manifest.read(again)["files"] == released["files"]:
            clock.finish()
            return released["digest"], changes
        problems = [
            Problem((), f"{directory}: {line}")
            for line in causes.lines(changes)
        ]
        raise VerificationError(problems)


def compare_environment(directory: Path) -> None:
    """Compares the environment that a release was made in with this one.

    Raises:
        VerificationError: With every package that differs.
    """
    released = manifest.read(directory)["environment"]
    # Packages that only today's code would import are unknown, because it does not run here.
    changes = list(
        diff_manifest.environment(released, packages.versions(released))
    )
    problems = []
    packages_then = []
    for change in changes:
        problems.append(Problem((), f"{directory}: {change}"))
        name, version = change.where, released.get(change.where)
        if version is not None and name != "python":
            packages_then.append(shlex.quote(f"{name}=={version}"))
    if packages_then:
        command = f"pip install {' '.join(packages_then)}"
        message = f"{directory}: the packages that it was made with: {command}"
        problems.append(Problem((), message))
    if problems:
        raise VerificationError(problems)


def _require_known(directory: Path, released: Manifest) -> None:
    """Checks that this smdecl knows every key of a config that a different version wrote.

    Raises:
        VerificationError: With every unknown key, such as a newer audit rule.
    """
    other = released["environment"].get("smdecl")
    own = packages.versions(["smdecl"]).get("smdecl")
    if other in (None, own):
        return
    problems = []
    for violation in schema.violations("config", config_of(released)):
        if violation.keyword != "additionalProperties":
            continue
        for key in violation.instance:
            if key not in violation.schema.get("properties", {}):
                name = dotted((*violation.path, key))
                message = (
                    f"{directory}: was made by smdecl {other}, whose {name} is unknown to smdecl"
                    f" {own}; expected smdecl {other}"
                )
                problems.append(Problem((), message))
    if problems:
        raise VerificationError(problems)


def _released(released: Manifest) -> Composition:
    """Returns the config of a release as it was composed, to be published nowhere."""
    has_warmup = WARMUP_FILE in released["files"]
    publish = Publish(version=None, replace=False, warmup=has_warmup)
    values = {
        **config_of(released),
        "export_dir": "reproduced",
        "publish": asdict(publish),
    }
    try:
        config = OmegaConf.create(values)
        with scope():
            resolved = resolve.resolve(config)
    except OmegaConfBaseException as error:
        message = (
            f"smdecl cannot have written the config in the manifest: {error}"
        )
        raise VerificationError(message) from error
    if resolved.problems:
        raise ConfigError(resolved.problems)
    environment = resolved.environment
    return Composition(
        resolved.values,
        resolved.recorded,
        lambda _: None,
        tuple(environment.reads),
        environment.values,
    )


def _unpublished(composition: Composition) -> Composition:
    """Returns a config without what happens at publishing: no signature, no files outside."""
    publish = composition.values.get("publish")
    if not isinstance(publish, dict):
        return composition
    none: dict[str, Any] = dict.fromkeys(
        ("sign", "models_config", "run_record")
    )
    values = {**composition.values, "publish": {**publish, **none}}
    return replace(composition, values=values)
