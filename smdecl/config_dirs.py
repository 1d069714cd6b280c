"""Where Hydra looks for config files: the user's directories first, then the built-in one."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra import initialize_config_dir
from hydra._internal.sources_registry import SourcesRegistry
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.plugins.search_path_plugin import SearchPathPlugin

from smdecl import resources
from smdecl.errors import UsageError

PROVIDER = "smdecl"
_hydra = threading.RLock()  # keeps its state in singletons


class UserConfigs(SearchPathPlugin):
    """Puts the user's config directories first, for Hydra's own --config-dir ranks below the built-in configs."""

    directories: tuple[Path, ...] = ()

    def manipulate_search_path(self, search_path: Any) -> None:
        """Prepends the directories; called by Hydra."""
        for directory in reversed(self.directories):
            search_path.prepend(PROVIDER, f"file://{directory}")


def _confine(load: Callable[..., Any]) -> Callable[..., Any]:
    """Keeps Hydra from reading configs outside of its directories: it takes `..` in options and defaults lists."""

    def load_config(source: Any, config_path: str) -> Any:
        if os.path.normpath(config_path).startswith("..") or Path(config_path).is_absolute():
            raise HydraException(f"{config_path!r} lies outside of the config directories")
        return load(source, config_path)

    return load_config


class PackageError(HydraException):
    """Hydra was to search a package for configs, and so to import it."""


def _require_hydras(make: Callable[..., Any]) -> Callable[..., Any]:
    """Keeps Hydra from searching packages: to search one is to import it. Its own are imported by then."""

    def init(source: Any, provider: str, path: str) -> None:
        make(source, provider, path)
        if source.path != "hydra.conf" and not source.path.startswith("hydra_plugins."):
            message = (
                f"'hydra.searchpath' names the package {source.path!r}, which Hydra would import; takes directories"
            )
            raise PackageError(message)

    return init


def use(directories: Sequence[str | Path]) -> None:
    """Makes every following composition search `directories` first.

    Raises:
        UsageError: Where one is no directory.
    """
    resolved = tuple(Path(os.path.realpath(directory)) for directory in directories)  # a loop of links is no bug
    for directory in resolved:
        if not os.path.isdir(directory):  # noqa: PTH112 - a name may be longer than a directory can have
            raise UsageError(f"--config-dir: no directory {str(directory)!r}")
    UserConfigs.directories = resolved
    if UserConfigs not in Plugins.instance().discover(SearchPathPlugin):
        Plugins.instance().register(UserConfigs)
        source: Any = SourcesRegistry.instance().resolve("file")
        source.load_config = _confine(source.load_config)
        package: Any = SourcesRegistry.instance().resolve("pkg")
        package.__init__ = _require_hydras(package.__init__)


@contextmanager
def session() -> Iterator[None]:
    """Initialises Hydra on these directories."""
    with _hydra:
        # A caller that is itself a Hydra app finds its own state again afterwards.
        hydra, job = GlobalHydra.instance().hydra, HydraConfig.instance().cfg
        GlobalHydra.instance().clear()
        try:
            with initialize_config_dir(str(resources.conf_dir()), job_name="smdecl", version_base="1.3"):
                yield
        finally:
            GlobalHydra.instance().hydra, HydraConfig.instance().cfg = hydra, job


def find(config_path: str | None) -> Path | None:
    """Returns the file of a config such as `model/adder`, the first on the search path; within a session."""
    return next((file for file in (path / f"{config_path}.yaml" for path in directories()) if file.is_file()), None)


def directories() -> list[Path]:
    """Returns the directories of the search path in their order; within a session."""
    sources = GlobalHydra.instance().config_loader().get_sources()
    return [Path(source.path) for source in sources if source.scheme() == "file"]


def shown(file: Path) -> str:
    """Returns a path as a person would write it from the current directory; what comes with smdecl is called so."""
    conf = resources.conf_dir()
    if file.is_relative_to(conf) and conf.parent != Path.cwd():  # there is nothing to edit in an installed package
        return f"built-in conf/{file.relative_to(conf)}"
    return str(file.relative_to(Path.cwd())) if file.is_relative_to(Path.cwd()) else str(file)
