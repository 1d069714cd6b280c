"""The Python API: the command line's main verb as two functions."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from smdecl import composing, isolating, pipeline
from smdecl.config import Composition
from smdecl.errors import UsageError
from smdecl.pipeline import Release
from smdecl.project import find_project

__all__ = ["Composition", "Release", "compose", "export"]


def compose(
    overrides: Sequence[str] = (), *, config_dir: str | Path | None = None, config_name: str = composing.PRIMARY
) -> Composition:
    """Composes an export config, as the command line does.

    Args:
        overrides: Hydra's override grammar, such as `["model=adder", "seed=1"]`.
        config_dir: Your own configs; they win over the built-in ones of the same name.
        config_name: The primary config.

    Raises:
        errors.ConfigError: With every override and interpolation that cannot be taken.
    """
    directories = [] if config_dir is None else [config_dir]
    return composing.compose(overrides, directories=directories, config_name=config_name)


def export(config: Composition, *, trust_packages: Sequence[str] = ()) -> Release:
    """Exports what a config describes: builds, traces, saves, verifies and publishes it, in processes of their own.

    The project whose code the config may name is that of the current directory.

    Args:
        config: From `compose`.
        trust_packages: Further packages that the config may name.

    Returns:
        The release: path, version, digest and signatures as saved.

    Raises:
        errors.UsageError: Where it is called from within a `tf.function` or in graph mode.
        errors.SmdeclError: Of the type that says which stage failed; nothing is left behind then.
    """
    _require_eager()
    isolating.start()
    return pipeline.export(config, find_project(Path.cwd(), trust_packages))


def _require_eager() -> None:
    tf = sys.modules.get("tensorflow")
    if tf is None:
        return
    if tf.inside_function():
        raise UsageError("smdecl.export was called from within the body of a tf.function; call it outside")
    if not tf.executing_eagerly():
        raise UsageError("smdecl.export was called in graph mode; call it where TensorFlow executes eagerly")
