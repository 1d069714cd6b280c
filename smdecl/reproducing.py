"""Makes a release again from its manifest, and tells whether the bytes are the same, or what is not."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from smdecl import checking, isolating, making, manifest, pipeline, resolving
from smdecl.config import Composition
from smdecl.errors import ConfigError, Problem, VerificationError
from smdecl.trust import Project

_WARMUP = "assets.extra/tf_serving_warmup_requests"


def reproduce(directory: Path, project: Project) -> str:
    """Exports again what the manifest of a release says, and returns the digest that both have.

    Raises:
        VerificationError: Where the release was changed, or the one made anew is another: with what differs of the
            environment, the source, the files, and in them.
        SmdeclError: Of another type where it cannot be made again.
    """
    released = manifest.read(directory)
    if problems := list(manifest.compare(directory, released)):
        raise VerificationError(problems)
    composition = _composition(released)
    config = checking.check(composition, project)
    with tempfile.TemporaryDirectory(prefix="smdecl-", ignore_cleanup_errors=True) as stage:
        pipeline.make_release(config, composition, project, Path(stage))
        made = Path(stage, "moved")
        again = manifest.read(made)
        if again["digest"] == released["digest"]:
            return str(again["digest"])
        inside = isolating.run(
            making.differences, directory, made, failure=VerificationError, doing="comparing the two releases"
        )
    found = [*_around(released, again), *_files(released["files"], again["files"]), *inside]
    raise VerificationError([Problem((), f"{directory}: {text}") for text in found])


def _composition(released: Mapping[str, Any]) -> Composition:
    """Returns the config of a release, as it was composed; where it lands is not part of it."""
    publish = {
        "version": None, "replace": False, "warmup": _WARMUP in released["files"], "keep": None, "models_config": None,
    }  # fmt: skip
    config = OmegaConf.create({**released["config"], "export_dir": "reproduced", "publish": publish})
    values, recorded, environment, problems = resolving.resolve(config)
    if problems:
        raise ConfigError(problems)
    return Composition(values, recorded, lambda _: None, tuple(environment.reads), environment.values)


def _around(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    old, new = before["environment"], after["environment"]
    for package in sorted({*old, *new}):
        if old.get(package) != new.get(package):
            yield f"made with {package} {old.get(package, 'absent')}; here it is {new.get(package, 'absent')}"
    if before["source"] != after["source"]:
        yield f"made of {_source(before['source'])}; here is {_source(after['source'])}"


def _source(source: Mapping[str, Any] | None) -> str:
    if source is None:
        return "no commit"
    return f"commit {source['commit'][:12]}" + ("" if source["clean"] else " with changes")


def _files(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    for name in sorted({*old, *new}):
        if name not in new:
            yield f"{name} is not made again"
        elif name not in old:
            yield f"{name} is made beside what there was"
        elif old[name] != new[name]:
            yield f"{name} is another"
