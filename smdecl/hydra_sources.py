"""Where Hydra reads configs from in a call of smdecl: the user's directories first, and no packages but its own."""

from __future__ import annotations

import os
from contextvars import ContextVar
from pathlib import Path

from hydra._internal.core_plugins import file_config_source, importlib_resources_config_source
from hydra.core.config_search_path import ConfigSearchPath
from hydra.errors import HydraException
from hydra.plugins.config_source import ConfigResult
from hydra.plugins.search_path_plugin import SearchPathPlugin

PROVIDER = "smdecl"
user_directories: ContextVar[tuple[Path, ...]] = ContextVar("user_directories", default=())


class UserConfigs(SearchPathPlugin):
    """Puts the user's config directories first; Hydra's own --config-dir ranks below the built-in configs."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Prepends the directories; called by Hydra."""
        for directory in reversed(user_directories.get()):
            search_path.prepend(PROVIDER, f"file://{directory}")


# Hydra's registry takes a source in the place of another one only if the names of their classes are equal.
class FileConfigSource(file_config_source.FileConfigSource):
    """Reads no config outside of its directory; Hydra's own takes `..` in options and defaults lists."""

    def load_config(self, config_path: str) -> ConfigResult:
        """Loads a config, as Hydra's own does.

        Raises:
            HydraException: If the path leads out of the directory.
        """
        if os.path.normpath(config_path).startswith("..") or Path(config_path).is_absolute():
            raise HydraException(f"{config_path!r} lies outside of the config directories")
        return super().load_config(config_path)


class PackageError(HydraException):
    """Hydra was to search a package for configs, and so to import it."""


class ImportlibResourcesConfigSource(importlib_resources_config_source.ImportlibResourcesConfigSource):
    """Searches Hydra's own packages, which are imported already; to search another one is to import it.

    Raises:
        PackageError: If the package is not Hydra's.
    """

    def __init__(self, provider: str, path: str) -> None:
        super().__init__(provider=provider, path=path)
        if self.path != "hydra.conf" and not self.path.startswith("hydra_plugins."):
            message = f"'hydra.searchpath' names the package {self.path!r}, which Hydra would import; takes directories"
            raise PackageError(message)
