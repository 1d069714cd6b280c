"""Where Hydra reads configs from in a call of smdecl: the user's directories first, and no packages but its own."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins import (
    file_config_source,
    importlib_resources_config_source,
)
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.default_element import InputDefault
from hydra.errors import HydraException
from hydra.plugins.config_source import ConfigResult
from hydra.plugins.search_path_plugin import SearchPathPlugin

from smdecl import files
from smdecl.config import bounded_yaml, project

PROVIDER = "smdecl"
_HEADER = 512  # characters that Hydra looks for `# @package` in
_MOST_USES = (
    300  # configs that the defaults lists of one composition lead to, and their entries
)
user_directories: ContextVar[tuple[Path, ...]] = ContextVar(
    "user_directories", default=()
)


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
        self._uses = 0  # Hydra copies the source for each composition

    def load_config(self, config_path: str) -> ConfigResult:
        """Loads a config, as Hydra's own does, within limits.

        Raises:
            HydraException: If the path leads out of the directory, or a symbolic link out of the
                caller's directories and the project.
            OSError: If it is no regular file, or has more bytes than a config.
            UnfitError: If its contents exceed what a config may be.
        """
        if (
            os.path.normpath(config_path).startswith("..")
            or Path(config_path).is_absolute()
        ):
            raise HydraException(
                f"{config_path!r} lies outside of the config directories"
            )
        file = Path(
            os.path.realpath(Path(self.path, self._normalize_file_name(config_path)))
        )
        places = (*user_directories.get(), project.project_root(Path.cwd()))
        # An installer may link the built-in ones to its cache.
        if self.provider == PROVIDER and not any(
            file.is_relative_to(place) for place in places
        ):
            raise HydraException(
                f"{config_path!r} is a symbolic link to {str(file)!r}, outside of the project"
            )
        text = files.read_regular(file, bounded_yaml.MOST_BYTES).decode()
        result = _Result(
            provider=self.provider,
            path=f"{self.scheme()}://{self.path}",
            config=bounded_yaml.load(text, str(file)),
            header=self._get_header_dict(text[:_HEADER]),
        )
        result.use = lambda entries: self._use(file, entries)
        return result

    def _use(self, file: Path, entries: int) -> None:
        self._uses += 1 + entries
        if self._uses > _MOST_USES:
            raise DefaultsError(file)


class _Result(ConfigResult):
    """A config whose defaults list reports each use; Hydra copies the list for each place that the config has."""

    use: Callable[[int], None]

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "defaults_list" and value is not None:
            value = _Defaults(value, self.use)
        super().__setattr__(name, value)


class _Defaults(list[InputDefault]):
    def __init__(
        self, entries: Iterable[InputDefault], use: Callable[[int], None]
    ) -> None:
        super().__init__(entries)
        self._use = use

    def __deepcopy__(self, memo: dict[int, Any]) -> list[InputDefault]:
        self._use(len(self))
        return [copy.deepcopy(entry, memo) for entry in self]


class DefaultsError(HydraException):
    """Defaults lists lead to more configs than a composition may have: two entries of each double them.

    Attributes:
        file: The config that exceeds the limit.
    """

    def __init__(self, file: Path) -> None:
        super().__init__(
            f"defaults lists lead to more than {_MOST_USES} configs; expected fewer"
        )
        self.file = file


class SearchPathError(HydraException):
    """Hydra was to search a package for configs, and so to import it, or a directory that a config adds."""


class ImportlibResourcesConfigSource(
    importlib_resources_config_source.ImportlibResourcesConfigSource
):
    """Searches Hydra's own packages, which are imported already; to search another one is to import it.

    Raises:
        SearchPathError: If the package is not Hydra's.
    """

    def __init__(self, provider: str, path: str) -> None:
        super().__init__(provider=provider, path=path)
        if self.path != "hydra.conf" and not self.path.startswith("hydra_plugins."):
            message = f"'hydra.searchpath' names the package {self.path!r}, which Hydra would import; expected none"
            raise SearchPathError(message)
