"""Defines where Hydra reads configs from while smdecl composes.

The user's directories come first. Hydra searches no package but its own.
"""

from __future__ import annotations

import copy
import functools
import os
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from dataclasses import dataclass
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
from omegaconf import OmegaConf

from smdecl import files
from smdecl.config import bounded_yaml, project, sharing
from smdecl.config.bounded_yaml import Document

PROVIDER = "smdecl"
_HEADER = 512  # characters in which Hydra looks for `# @package`
# Configs that the defaults lists of one composition choose, plus the entries of these lists.
_MOST_USES = 300
user_directories: ContextVar[tuple[Path, ...]] = ContextVar(
    "user_directories", default=()
)


class UserConfigs(SearchPathPlugin):
    """Puts the user's config directories first.

    Hydra's own --config-dir ranks below the built-in configs.
    """

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Prepends the directories; called by Hydra."""
        for directory in reversed(user_directories.get()):
            search_path.prepend(PROVIDER, f"file://{directory}")


# Hydra's registry replaces a source only by a class of the same name.
class FileConfigSource(file_config_source.FileConfigSource):
    """Reads configs only in the directories that the caller names.

    Hydra's own source accepts `..` in options and defaults lists, and directories that a config
    adds.

    Raises:
        SearchPathError: If a config adds the directory.
    """

    def __init__(self, provider: str, path: str) -> None:
        if provider.startswith("hydra.searchpath"):
            message = (
                f"'hydra.searchpath' adds the directory {path!r};"
                " expected none: pass it as --config-dir"
            )
            raise SearchPathError(message)
        super().__init__(provider=provider, path=path)
        self._uses = 0  # Hydra copies the source for each composition

    def load_config(self, config_path: str) -> ConfigResult:
        """Loads a config within limits.

        Raises:
            HydraException: If the path leads out of the directory, or a symbolic link leads out of
                both the caller's directories and the project.
            OSError: If it is not a regular file, or is larger than a config may be.
            UnfitError: If its contents exceed the limits of a config.
        """
        file = self._file(config_path)
        content = sharing.once(file, functools.partial(_read, file))
        result = _Result(
            provider=self.provider,
            path=f"{self.scheme()}://{self.path}",
            config=OmegaConf.create(content.document),
            header=self._get_header_dict(content.head),
        )
        result.use = lambda entries: self._use(file, entries)
        return result

    def _file(self, config_path: str) -> Path:
        is_above = os.path.normpath(config_path).startswith("..")
        if is_above or Path(config_path).is_absolute():
            message = f"{config_path!r} is outside the config directories"
            raise HydraException(message)
        path = Path(self.path, self._normalize_file_name(config_path))
        file = Path(os.path.realpath(path))
        # An installer may have linked the built-in configs to its cache.
        if self.provider == PROVIDER and not _may_link_to(file):
            raise HydraException(
                f"{config_path!r} is a symbolic link to {str(file)!r},"
                " which is outside the project"
            )
        return file

    def _use(self, file: Path, entries: int) -> None:
        self._uses += 1 + entries
        if self._uses > _MOST_USES:
            raise DefaultsError(file)


def _may_link_to(file: Path) -> bool:
    places = project.link_places(user_directories.get(), Path.cwd())
    return any(map(file.is_relative_to, places))


@dataclass(frozen=True)
class _Content:
    """A config file.

    Attributes:
        document: The plain values in it.
        head: The characters in which Hydra looks for `# @package`.
    """

    document: Document
    head: str


def _read(file: Path) -> _Content:
    text = files.read_regular(file, bounded_yaml.MOST_BYTES).decode()
    return _Content(bounded_yaml.load(text, str(file)), text[:_HEADER])


class _Result(ConfigResult):
    """A config that reports each use of its defaults list.

    Hydra copies the list each time that the config is chosen.
    """

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
    """Defaults lists choose more configs than a composition may have.

    The number doubles if each list has two entries.

    Attributes:
        file: The config that exceeds the limit.
    """

    def __init__(self, file: Path) -> None:
        super().__init__(
            f"defaults lists choose more than {_MOST_USES} configs; expected fewer"
        )
        self.file = file


class SearchPathError(HydraException):
    """A config adds a directory or package of configs; Hydra would import a package."""


class ImportlibResourcesConfigSource(
    importlib_resources_config_source.ImportlibResourcesConfigSource
):
    """Searches only Hydra's own packages, which are imported already.

    Hydra would import any other package to search it.

    Raises:
        SearchPathError: If the package is not Hydra's.
    """

    def __init__(self, provider: str, path: str) -> None:
        super().__init__(provider=provider, path=path)
        is_hydras = self.path.startswith("hydra_plugins.")
        if self.path != "hydra.conf" and not is_hydras:
            message = (
                f"'hydra.searchpath' names the package {self.path!r},"
                " which Hydra would import; expected none"
            )
            raise SearchPathError(message)

    def load_config(self, config_path: str) -> ConfigResult:
        """Loads a config, which callers may change."""
        key = (self.path, config_path)
        load = functools.partial(super().load_config, config_path)
        found = sharing.once(key, load)
        return copy.deepcopy(found)
