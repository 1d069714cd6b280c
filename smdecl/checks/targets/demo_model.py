"""Warns if a project exports the built-in model of the default config, because it selects none."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from smdecl import resources
from smdecl.checks.types import Problems
from smdecl.config import config_sources
from smdecl.config.settings import Composition
from smdecl.errors import Problem

_SELECTS = ("release", "model")
_USUAL = "conf"  # the directory that `smdecl init` makes
_MOST_SHOWN = 10


def warnings(composition: Composition) -> Problems:
    """Yields a warning if the configs of the user have models, and none of them is exported."""
    runtime = composition.hydra["runtime"]
    named = []
    for source in runtime["config_sources"]:
        if source["provider"] == config_sources.PROVIDER:
            named.append(Path(source["path"]))
    directories = named or _usual()
    options = _options(directories)
    if not options or _is_selected(composition):
        return
    config = f"{composition.hydra['job']['config_name']}.yaml"
    model = runtime["choices"]["model"]
    for directory in named:
        has_model = (directory / "model" / f"{model}.yaml").is_file()
        if has_model or (directory / config).is_file():
            return
    if composition.locate(("model",)) is None:  # a program passed it
        return
    flag = "" if named else f"--config-dir {_USUAL} and "
    yield Problem(
        ("model",),
        f"no release or model is selected, so the built-in {model!r} is exported;"
        f" expected {flag}one of {_shown(options)}",
    )


def _usual() -> list[Path]:
    """Returns the directory that has the configs of a project, if `--config-dir` names none."""
    directory = Path.cwd() / _USUAL
    is_ours = Path(os.path.realpath(directory)) == resources.conf_dir()
    has_releases = (directory / "release").is_dir()
    return [directory] if has_releases and not is_ours else []


def _options(directories: Sequence[Path]) -> list[str]:
    found = []
    for group in _SELECTS:
        files: set[str] = set()
        for directory in directories:
            for file in directory.glob(f"{group}/*.yaml"):
                files.add(file.stem)
        found += [f"{group}={name}" for name in sorted(files)]
    return found


def _shown(options: Sequence[str]) -> str:
    shown = ", ".join(options[:_MOST_SHOWN])
    left = len(options) - _MOST_SHOWN
    return f"{shown} and {left} more" if left > 0 else shown


def _is_selected(composition: Composition) -> bool:
    """Returns whether a release, or an override, decides about the model."""
    if composition.hydra["runtime"]["choices"].get("release") is not None:
        return True
    overrides = composition.hydra["overrides"]["task"]
    return any(
        override.lstrip("+~").startswith(_SELECTS) for override in overrides
    )
