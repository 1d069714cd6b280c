"""Where Hydra looks for config files: the user's directories first, then the built-in one."""

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
from smdecl.config.config_sources import user_directories
from smdecl.config.hydra_scope import scope
from smdecl.errors import UsageError


def use(directories: Sequence[str | Path]) -> None:
    """Makes every following composition of this thread search `directories` first.

    Raises:
        UsageError: Where one is no directory.
    """
    resolved = tuple(
        Path(os.path.realpath(directory)) for directory in directories
    )  # a loop of links is no bug
    for directory in resolved:
        if not os.path.isdir(directory):  # noqa: PTH112 - a name may be longer than a directory can have
            raise UsageError(f"--config-dir: no directory {str(directory)!r}")
    user_directories.set(resolved)


@contextmanager
def session() -> Iterator[None]:
    """Initialises Hydra on these directories, in a scope of smdecl's own."""
    with scope():
        hydra, job = GlobalHydra.instance().hydra, HydraConfig.instance().cfg
        GlobalHydra.instance().clear()
        try:
            with initialize_config_dir(
                str(resources.conf_dir()), job_name="smdecl", version_base="1.3"
            ):
                yield
        finally:
            GlobalHydra.instance().hydra, HydraConfig.instance().cfg = hydra, job


def find(config_path: str | None) -> Path | None:
    """Returns the file of a config such as `model/adder`, the first on the search path; within a session."""
    return next(
        (
            file
            for file in (path / f"{config_path}.yaml" for path in directories())
            if file.is_file()
        ),
        None,
    )


def directories() -> list[Path]:
    """Returns the directories of the search path in their order; within a session."""
    sources = GlobalHydra.instance().config_loader().get_sources()
    return [Path(source.path) for source in sources if source.scheme() == "file"]


def shown(file: Path) -> str:
    """Returns a path as a person would write it from the current directory; what comes with smdecl is called so."""
    conf = resources.conf_dir()
    if (
        file.is_relative_to(conf) and conf.parent != Path.cwd()
    ):  # there is nothing to edit in an installed package
        return f"built-in conf/{file.relative_to(conf)}"
    return (
        str(file.relative_to(Path.cwd()))
        if file.is_relative_to(Path.cwd())
        else str(file)
    )


def groups() -> list[str]:
    """Returns the groups of options that the search path has; within a session."""
    return sorted({*GlobalHydra.instance().config_loader().list_groups("")} - {"hydra"})


def group_options(group: str) -> list[str]:
    """Returns the options of a group; within a session."""
    return list(
        GlobalHydra.instance()
        .config_loader()
        .get_group_options(group, ObjectType.CONFIG)
    )
