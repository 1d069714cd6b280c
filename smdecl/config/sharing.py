"""Shares work among compositions, such as those of the variants of a sweep.

For each composition, Hydra reads the config files, resolves the defaults lists and merges the
files. The variants of a sweep mostly differ in single values, which change none of that. Within
`sharing`, each file is parsed once, and each combination of chosen configs is merged once. Hydra
applies all other overrides to a copy, so each config is the same as without sharing.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from hydra._internal import config_loader_impl, defaults_list
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import (
    CachingConfigRepository,
    ConfigRepository,
    IConfigRepository,
)
from hydra._internal.defaults_list import DefaultsList, Overrides
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.default_element import InputDefault, ResultDefault
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig

from smdecl.config import nodes

Value = TypeVar("Value")

MOST_CHOSEN = 64
"""How many merged configs are kept; a config may be large."""


@dataclass
class _Chosen:
    """A combination of chosen configs.

    Attributes:
        defaults: The configs in the order that they are merged.
        config: The merged configs, without overrides of values; None until they are merged.
    """

    defaults: DefaultsList
    config: DictConfig | None = None


@dataclass(frozen=True)
class Shared:
    """What compositions share.

    Attributes:
        files: The content of each file as it was read first.
        chosen: The configs of each combination of choices.
        searched: The primary configs that add nothing to the search path.
        overrides: Each override by its text, unless it calls a function such as `shuffle`.
    """

    files: dict[Hashable, Any] = field(default_factory=dict)
    chosen: dict[Hashable, _Chosen] = field(default_factory=dict)
    searched: set[Hashable] = field(default_factory=set)
    overrides: dict[str, Override] = field(default_factory=dict)

    def parsed(self, texts: list[str]) -> list[Override]:
        """Parses overrides, each text once."""
        known = self.overrides
        new = [text for text in texts if text not in known]
        parsed = {}
        for override in OverridesParser.create().parse_overrides(new):
            parsed[str(override.input_line)] = override
        for text, override in parsed.items():
            if "(" not in text:
                known[text] = override
        return [parsed.get(text) or known[text] for text in texts]


_shared: ContextVar[Shared | None] = ContextVar("_shared", default=None)


@contextmanager
def sharing(work: Shared) -> Iterator[None]:
    """Shares work among all compositions of this thread, with other blocks of the same `work`."""
    token = _shared.set(work)
    try:
        yield
    finally:
        _shared.reset(token)


def once(key: Hashable, read: Callable[[], Value]) -> Value:
    """Returns what a file contains, which must not be changed; reads it once within `sharing`.

    Args:
        key: Identifies the file.
        read: Reads the file.
    """
    found = _shared.get()
    if found is None:
        return read()
    if key not in found.files:
        found.files[key] = read()
    value: Value = found.files[key]
    return value


def use() -> None:
    """Makes the initialized Hydra share its work, if this thread is within `sharing`."""
    found = _shared.get()
    hydra = GlobalHydra.instance().hydra
    if found is not None and hydra is not None:
        search_path = hydra.config_loader.get_search_path()
        hydra.config_loader = _Loader(search_path, found)


class _Repository(CachingConfigRepository):
    """The configs of one composition, marked as those of a `_Loader`."""

    def __init__(self, search_path: ConfigSearchPath, own: Shared) -> None:
        # Not Hydra's, which copies the whole config store.
        self.delegate = ConfigRepository(search_path)
        self.cache = {}
        self.shared = own

    def identity(self) -> Hashable:
        """Returns where the configs are searched."""
        return tuple(
            (source.provider, source.path) for source in self.get_sources()
        )


class _Loader(ConfigLoaderImpl):
    """Composes as Hydra does, but merges each combination of configs once."""

    def __init__(self, search_path: ConfigSearchPath, own: Shared) -> None:
        super().__init__(search_path)
        self._own = own

    def _parse_overrides_and_create_caching_repo(
        self, config_name: str | None, overrides: list[str]
    ) -> tuple[list[Override], CachingConfigRepository]:
        parsed = self._own.parsed(overrides)
        repository = _Repository(self.config_search_path, self._own)
        key = (config_name, repository.identity())
        has_own_path = any(
            override.get_key_element() == "hydra.searchpath"
            for override in parsed
        )
        if has_own_path or key not in self._own.searched:
            # Loads the primary config, and fails if its search path is not empty.
            self._process_config_searchpath(config_name, parsed, repository)
        if not has_own_path:
            self._own.searched.add(key)
        return parsed, repository

    def _load_configuration_impl(
        self, *args: Any, **options: Any
    ) -> DictConfig:
        with _shared_defaults_lists():
            return super()._load_configuration_impl(*args, **options)

    def compute_defaults_list(
        self, *args: Any, **options: Any
    ) -> DefaultsList:
        with _shared_defaults_lists():
            return super().compute_defaults_list(*args, **options)

    def _compose_config_from_defaults_list(
        self, defaults: list[ResultDefault], repo: IConfigRepository
    ) -> DictConfig:
        for chosen in self._own.chosen.values():
            if chosen.defaults.defaults is defaults:
                if chosen.config is None:
                    chosen.config = super()._compose_config_from_defaults_list(
                        defaults, repo
                    )
                return nodes.copied(chosen.config)
        return super()._compose_config_from_defaults_list(defaults, repo)


_hydras_defaults_list = defaults_list.create_defaults_list
_hydras_choices = defaults_list._create_interpolation_map
_NO_CHOICES = DictConfig({})


@contextmanager
def _shared_defaults_lists() -> Iterator[None]:
    """Makes a loader create each defaults list once, and without choices that nothing refers to."""
    # Hydra calls functions of its modules, not methods.
    loading: Any = config_loader_impl
    listing: Any = defaults_list
    loading.create_defaults_list = _create_defaults_list
    listing._create_interpolation_map = _choices_referred_to
    try:
        yield
    finally:
        loading.create_defaults_list = _hydras_defaults_list
        listing._create_interpolation_map = _hydras_choices


def _choices_referred_to(
    overrides: Overrides, defaults: list[InputDefault], self_added: bool
) -> DictConfig:
    """Does what Hydra's function does, but only if a default may refer to a choice."""
    texts = f"{defaults} {overrides.known_choices}"
    if "$" in texts:
        return _hydras_choices(overrides, defaults, self_added)
    return _NO_CHOICES


def _create_defaults_list(
    repo: IConfigRepository,
    config_name: str | None,
    overrides_list: list[Override],
    prepend_hydra: bool,
    skip_missing: bool,
) -> DefaultsList:
    """Does what Hydra's function does, once for each combination of choices."""

    def create() -> DefaultsList:
        return _hydras_defaults_list(
            repo, config_name, overrides_list, prepend_hydra, skip_missing
        )

    if not isinstance(repo, _Repository):  # a different thread composes
        return create()
    own = Overrides(repo=repo, overrides_list=overrides_list)
    of_values = {id(override) for override in own.config_overrides}
    choices = tuple(
        override.input_line
        for override in overrides_list
        if id(override) not in of_values
    )
    key = (
        config_name,
        choices,
        prepend_hydra,
        skip_missing,
        repo.identity(),
    )
    chosen = repo.shared.chosen
    if key not in chosen:
        chosen[key] = _Chosen(create())
        if len(chosen) > MOST_CHOSEN:
            del chosen[next(iter(chosen))]  # the oldest
    return replace(chosen[key].defaults, config_overrides=own.config_overrides)
