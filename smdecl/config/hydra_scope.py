"""Gives Hydra and OmegaConf separate state during a call of smdecl.

Both keep process-wide state in a dict: Hydra's singletons and OmegaConf's resolvers. A program that
imports smdecl may be a Hydra app itself. While smdecl composes, its thread sees other dicts
instead; all other threads see the program's own. Nothing of the call remains afterwards.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any, TypeVar

from hydra._internal.sources_registry import SourcesRegistry
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import PLUGIN_TYPES, Plugins
from hydra.core.singleton import Singleton
from hydra.plugins.config_source import ConfigSource
from hydra.plugins.plugin import Plugin
from omegaconf import OmegaConf
from omegaconf.basecontainer import BaseContainer

from smdecl.config import bounded_interpolations, config_sources, resolve
from smdecl.config.interrupting import interrupts_first

Key = TypeVar("Key")
Value = TypeVar("Value")

_PACKAGES = ("hydra._internal.core_plugins.", "hydra_plugins.")
# Only one call at a time may replace the state of Hydra.
_lock = threading.RLock()
_entered = False
_scanned: Plugins | None = None


@contextmanager
def scope() -> Iterator[None]:
    """Gives this thread separate state of Hydra and OmegaConf; a nested scope shares it."""
    global _entered  # noqa: PLW0603 - guarded by the lock
    with _lock:
        if _entered:
            yield
            return
        _entered = True
        try:
            with interrupts_first(), _own_state():
                yield
        finally:
            _entered = False


class _View(MutableMapping[Key, Value]):
    """Accesses one dict in the thread that made the view, and a different one in all others."""

    def __init__(
        self, host: MutableMapping[Key, Value], own: dict[Key, Value]
    ) -> None:
        self.host = host
        self._own = own
        self._thread: int | None = threading.get_ident()

    def end(self) -> None:
        """Accesses the host's dict in every thread, because some may still hold the view."""
        self._thread = None

    def _seen(self) -> MutableMapping[Key, Value]:
        return (
            self._own if threading.get_ident() == self._thread else self.host
        )

    def __getitem__(self, key: Key) -> Value:
        return self._seen()[key]

    def __setitem__(self, key: Key, value: Value) -> None:
        self._seen()[key] = value

    def __delitem__(self, key: Key) -> None:
        del self._seen()[key]

    def __iter__(self) -> Iterator[Key]:
        return iter(self._seen())

    def __len__(self) -> int:
        return len(self._seen())

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[Key, Value]:
        """Returns a plain dict: Hydra's launchers send one to other processes."""
        return copy.deepcopy(dict(self._seen()), memo)


@contextmanager
def _own_state() -> Iterator[None]:
    plugins = _plugins()
    registry = SourcesRegistry.__new__(SourcesRegistry)
    registry.types = _sources(plugins)
    # Modules fill the config store when they are imported, which happens once; smdecl adds nothing.
    own: dict[type, Any] = {
        ConfigStore: ConfigStore.instance(),
        Plugins: plugins,
        SourcesRegistry: registry,
    }
    with _singletons(own), _resolvers(), bounded_interpolations.bounded():
        OmegaConf.register_new_resolver("oc.env", resolve.oc_env, replace=True)
        yield


@contextmanager
def _singletons(own: dict[type, Any]) -> Iterator[None]:
    host: Any = Singleton._instances
    view: Any = _View(host, own)
    Singleton._instances = view
    try:
        yield
    finally:
        view.end()
        # The program may have replaced the dict meanwhile.
        if Singleton._instances is view:
            Singleton._instances = host


@contextmanager
def _resolvers() -> Iterator[None]:
    host: Any = BaseContainer._resolvers
    view: Any = _View(host, dict(host))
    BaseContainer._resolvers = view
    try:
        yield
    finally:
        view.end()
        if BaseContainer._resolvers is view:
            BaseContainer._resolvers = host


def _sources(plugins: Plugins) -> dict[str, type[ConfigSource]]:
    """Returns the config sources by scheme; smdecl's own replace Hydra's."""
    found: dict[str, Any] = {}
    for source in plugins.class_name_to_class.values():
        if issubclass(source, ConfigSource):
            found[source.scheme()] = source
    for own in (
        config_sources.FileConfigSource,
        config_sources.ImportlibResourcesConfigSource,
    ):
        found[own.scheme()] = own
    return found


def _plugins() -> Plugins:
    """Returns the installed plugins, without those that the program has registered."""
    known: Any = Singleton._instances.get(Plugins) or _scan()
    plugins: Plugins = Plugins.__new__(Plugins)
    plugins.stats = known.stats
    plugins.plugin_type_to_subclass_list = {kind: [] for kind in PLUGIN_TYPES}
    plugins.class_name_to_class = {}
    installed = [
        found
        for found in known.discover(Plugin)
        if found.__module__.startswith(_PACKAGES)
    ]
    for found in [*installed, config_sources.UserConfigs]:
        _register(plugins, found)
    return plugins


def _register(plugins: Plugins, plugin: type[Plugin]) -> None:
    for kind in PLUGIN_TYPES:
        if issubclass(plugin, kind):
            plugins.plugin_type_to_subclass_list[kind].append(plugin)
    plugins.class_name_to_class[f"{plugin.__module__}.{plugin.__name__}"] = (
        plugin
    )


def _scan() -> Plugins:
    """Returns the plugins that Hydra finds; importing their modules is the only side effect."""
    global _scanned  # noqa: PLW0603 - guarded by the lock
    if _scanned is None:
        with _singletons({ConfigStore: ConfigStore.instance()}):
            _scanned = Plugins.instance()
    return _scanned
