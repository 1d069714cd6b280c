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

from smdecl import project

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
    """Reads configs in the directories that the caller names, and no others.

    Hydra's own takes `..` in options and defaults lists, and directories that a config adds.

    Raises:
        SearchPathError: If a config adds the directory.
    """

    def __init__(self, provider: str, path: str) -> None:
        if provider.startswith("hydra.searchpath"):
            message = f"'hydra.searchpath' adds the directory {path!r}; expected none: name it by --config-dir"
            raise SearchPathError(message)
        super().__init__(provider=provider, path=path)

    def load_config(self, config_path: str) -> ConfigResult:
        """Loads a config, as Hydra's own does.

        Raises:
            HydraException: If the path leads out of the directory, or a symbolic link out of the
                caller's directories and the project.
        """
        if os.path.normpath(config_path).startswith("..") or Path(config_path).is_absolute():
            raise HydraException(f"{config_path!r} lies outside of the config directories")
        file = Path(os.path.realpath(Path(self.path, self._normalize_file_name(config_path))))
        places = (*user_directories.get(), project.project_root(Path.cwd()))
        # An installer may link the built-in ones to its cache.
        if self.provider == PROVIDER and not any(file.is_relative_to(place) for place in places):
            raise HydraException(f"{config_path!r} is a symbolic link to {str(file)!r}, outside of the project")
        return super().load_config(config_path)


class SearchPathError(HydraException):
    """Hydra was to search a package for configs, and so to import it, or a directory that a config adds."""


class ImportlibResourcesConfigSource(importlib_resources_config_source.ImportlibResourcesConfigSource):
    """Searches Hydra's own packages, which are imported already; to search another one is to import it.

    Raises:
        SearchPathError: If the package is not Hydra's.
    """

    def __init__(self, provider: str, path: str) -> None:
        super().__init__(provider=provider, path=path)
        if self.path != "hydra.conf" and not self.path.startswith("hydra_plugins."):
            message = f"'hydra.searchpath' names the package {self.path!r}, which Hydra would import; expected none"
            raise SearchPathError(message)
