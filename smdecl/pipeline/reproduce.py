"""Makes a release again from its manifest, and tells whether the bytes are the same, or what is not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from smdecl import scratch
from smdecl.checks import check
from smdecl.config import resolve
from smdecl.config.hydra_scope import scope
from smdecl.config.project import Project
from smdecl.config.settings import Composition, Publish
from smdecl.errors import ConfigError, Problem, TrustError, VerificationError
from smdecl.names import WARMUP_FILE
from smdecl.pipeline import export, making, worker
from smdecl.release import comparison, diff_manifest, manifest
from smdecl.release.manifest_types import Manifest
from smdecl.release.manifest_versions import config_of
from smdecl.savedmodel.records import Change


def reproduce(
    directory: Path, project: Project, composition: Composition | None = None
) -> tuple[str, tuple[Change, ...]]:
    """Exports again what the manifest of a release says; returns the digest that both have.

    Beside it stands what is another and makes no other bytes: of the config, the environment, the source.

    Args:
        directory: Of the release.
        project: That it was made in, or another checkout of it.
        composition: A config to make it of, where that is not to be the manifest's.

    Raises:
        VerificationError: Where the release was changed, or the one made anew is another: with what differs of the
            config, the environment, the source, the files, and in them.
        TrustError: Where it names code that may not run here.
        SmdeclError: Of another type where it cannot be made again.
    """
    released = manifest.read(directory)
    if problems := list(comparison.compare(directory, released)):
        raise VerificationError(problems)
    try:
        given = (
            _composition(released) if composition is None else _unpublished(composition)
        )
        return _make_again(directory, released, project, given)
    except ConfigError as error:
        # Where nobody has given a config, what it was made of is no longer what it was; a refusal is one all the same.
        kind = (
            VerificationError
            if composition is None and not isinstance(error, TrustError)
            else type(error)
        )
        raise kind(
            [*error.problems, *_elsewhere(directory, released, project)]
        ) from error


def _elsewhere(
    directory: Path, released: Manifest, project: Project
) -> Iterator[Problem]:
    """Tells of a release that nothing in this project was part of: it was made in another one."""
    first, *more = released["inputs"] or [None]
    if first is not None and not any(
        (project.root / name).exists() for name in released["inputs"]
    ):
        what = f"was made of {first}{f' and {len(more)} more' if more else ''}, of which the project {project.root} has"
        takes = "run it in the project that the release was made in, or in another checkout of it"
        yield Problem((), f"{directory}: {what} nothing; {takes}")


def _make_again(
    directory: Path,
    released: Manifest,
    project: Project,
    composition: Composition,
) -> tuple[str, tuple[Change, ...]]:
    with (
        export.located(composition),
        scratch.directory() as stage,
    ):
        config = check.check(composition, project)
        again = making.make_release(config, composition, project, stage).directory
        from smdecl.release import diffing

        changes = diffing.diff(directory, again).changes
        # Files with files: both lists were compared with, or made of, what is on the disk.
        if manifest.read(again)["files"] == released["files"]:
            return released["digest"], changes
        raise VerificationError(
            [Problem((), f"{directory}: {change}") for change in changes]
        )


def compare_environment(directory: Path) -> None:
    """Compares the environment that a release was made in with this one.

    Raises:
        VerificationError: With every package that is another.
    """
    released = manifest.read(directory)["environment"]
    # What else the model's code would bring in, nobody knows who does not run it.
    changes = diff_manifest.environment(released, worker.versions(released))
    if problems := [Problem((), f"{directory}: {change}") for change in changes]:
        raise VerificationError(problems)


def _composition(released: Manifest) -> Composition:
    """Returns the config of a release, as it was composed; where it lands is not part of it."""
    publish = Publish(
        version=None, replace=False, warmup=WARMUP_FILE in released["files"]
    )
    try:
        config = OmegaConf.create(
            {
                **config_of(released),
                "export_dir": "reproduced",
                "publish": asdict(publish),
            }
        )
        with scope():
            resolved = resolve.resolve(config)
    except OmegaConfBaseException as error:
        raise VerificationError(
            f"the config in the manifest is none that smdecl writes: {error}"
        ) from error
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
    """Returns a config without what is done when a release is published: no key is asked for, no record written."""
    publish = composition.values.get("publish")
    if not isinstance(publish, dict):
        return composition
    none: dict[str, Any] = dict.fromkeys(("sign", "models_config", "run_record"))
    return replace(
        composition, values={**composition.values, "publish": {**publish, **none}}
    )
