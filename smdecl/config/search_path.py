"""Defines where Hydra looks for config files: the user's directories, then the built-in one."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.object_type import ObjectType

from smdecl import resources
from smdecl.config import relative_paths, sharing
from smdecl.config.config_sources import user_directories
from smdecl.config.hydra_scope import scope
from smdecl.errors import UsageError


def use(directories: Sequence[str | Path]) -> None:
    """Makes every following composition of this thread search `directories` first.

    Raises:
        UsageError: If one of them is not a directory.
    """
    # Not by pathlib, which raises at a loop of links and at a name that is too long.
    resolved = tuple(
        Path(os.path.realpath(directory)) for directory in directories
    )
    for given, directory in zip(directories, resolved, strict=True):
        if not os.path.isdir(directory):  # noqa: PTH112
            below = relative_paths.run_elsewhere(str(given))
            message = f"no such directory: {str(directory)!r}{below}"
            raise UsageError(f"--config-dir: {message}")
    user_directories.set(resolved)


@contextmanager
def session() -> Iterator[None]:
    """Initializes Hydra on these directories, in a scope of `hydra_scope`."""
    with scope():
        outer_hydra = GlobalHydra.instance().hydra
        outer_job = HydraConfig.instance().cfg
        GlobalHydra.instance().clear()
        try:
            with initialize_config_dir(
                str(resources.conf_dir()),
                job_name="smdecl",
                version_base="1.3",
            ):
                sharing.use()
                yield
        finally:
            GlobalHydra.instance().hydra = outer_hydra
            HydraConfig.instance().cfg = outer_job


def find(config_path: str | None) -> Path | None:
    """Returns the first file on the search path of a config such as `model/adder`.

    Only within a session.
    """
    for directory in directories():
        file = directory / f"{config_path}.yaml"
        if file.is_file():
            return file
    return None


def directories() -> list[Path]:
    """Returns the directories of the search path in order; only within a session."""
    sources = GlobalHydra.instance().config_loader().get_sources()
    return [
        Path(source.path) for source in sources if source.scheme() == "file"
    ]


def shown(file: Path) -> str:
    """Returns a path relative to the current directory if possible; built-in configs are marked."""
    here = Path.cwd()
    conf = resources.conf_dir()
    # In a checkout of smdecl itself, a person may edit the built-in configs.
    if file.is_relative_to(conf) and conf.parent != here:
        return f"built-in conf/{file.relative_to(conf)}"
    if file.is_relative_to(here):
        return str(file.relative_to(here))
    return str(file)


def groups() -> list[str]:
    """Returns the config groups on the search path, sorted; only within a session."""
    loader = GlobalHydra.instance().config_loader()
    return sorted(set(loader.list_groups("")) - {"hydra"})


def group_options(group: str) -> list[str]:
    """Returns the options of a config group; only within a session."""
    loader = GlobalHydra.instance().config_loader()
    return list(loader.get_group_options(group, ObjectType.CONFIG))
