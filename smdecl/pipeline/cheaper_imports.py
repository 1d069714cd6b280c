"""Makes the import of TensorFlow and Keras cheaper, in the process that does nothing else.

- Modules that TensorFlow and Keras import, and that an export hardly ever uses, are imported when
  one of their names is used. This saves 0.15 s of CPU time, and 0.45 s more if scikit-learn is
  installed.
- TensorFlow names the same types as the constraints of 1,500 type variables, and `typing` compiles
  each name again, which takes 0.18 s.
"""

from __future__ import annotations

import contextlib
import importlib.abc
import importlib.machinery
import sys
import threading
import typing
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Any

_LAZY = frozenset(
    {
        # They import scikit-learn.
        "keras._tf_keras.keras.wrappers",
        "keras.wrappers",
        "requests",
        "rich.console",
        "rich.markup",
        "rich.table",
        # It imports SciPy.
        "tensorflow.python.keras.engine.training_v1",
    }
)
# Searches through all modules ask for these, which need not exist.
_PROBED = ("__warningregistry__", "__wrapped__")
# The prefix of type names in TensorFlow's generated modules.
_TYPE_PREFIX = "_atypes."


@contextlib.contextmanager
def cheaper() -> Iterator[None]:
    """Makes imports cheaper while the context is active."""
    with _lazy_modules(), _names_checked_once():
        yield


@contextlib.contextmanager
def _lazy_modules() -> Iterator[None]:
    finder = _Finder()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


@contextlib.contextmanager
def _names_checked_once() -> Iterator[None]:
    """Shares the checked names of TensorFlow's types, which mean the same in all its modules."""
    # The function is private, so another Python may lack it.
    own: Any = getattr(typing, "_type_check", None)
    if own is None:
        yield
        return
    checked: dict[str, object] = {}

    def check(argument: object, *rest: object, **options: object) -> object:
        found = checked.get(argument) if type(argument) is str else None
        if found is not None:
            return found
        result = own(argument, *rest, **options)
        if type(argument) is str and argument.startswith(_TYPE_PREFIX):
            checked[argument] = result
        return result

    setattr(typing, "_type_check", check)  # noqa: B010 - no type checker knows it
    try:
        yield
    finally:
        setattr(typing, "_type_check", own)  # noqa: B010


class _Finder(importlib.abc.MetaPathFinder):
    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname not in _LAZY:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader)
        return spec


class _Loader(importlib.abc.Loader):
    """Makes a module whose code runs when its names are first used or listed."""

    def __init__(self, loader: importlib.abc.Loader) -> None:
        self._loader = loader

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        # The import of a submodule reads it, and needs the code of the package first.
        vars(module).pop("__path__", None)
        module.__class__ = _Unloaded


class _Unloaded(ModuleType):
    # `importlib.util.LazyLoader` would run the code for `__file__` too, which
    # `inspect.getmodule` reads of every module.
    def __getattr__(self, name: str) -> object:
        if name in _PROBED:
            raise AttributeError(name)
        _load(self)
        return ModuleType.__getattribute__(self, name)

    def __dir__(self) -> list[str]:
        _load(self)
        return list(ModuleType.__dir__(self))


# Threads of a model may use the names at the same time. The module's own code, which runs in the
# thread that holds the lock, may use them too.
_lock = threading.RLock()
_begun: set[str] = set()


def _load(module: ModuleType) -> None:
    """Runs the code of a module, unless it has been run or this thread runs it now."""
    with _lock:
        if type(module) is not _Unloaded or module.__name__ in _begun:
            return
        _begun.add(module.__name__)
        try:
            _run(module)
            module.__class__ = ModuleType  # type: ignore[assignment]
        finally:
            _begun.remove(module.__name__)


def _run(module: ModuleType) -> None:
    spec = module.__spec__
    if spec is None or spec.loader is None:
        return
    if spec.submodule_search_locations is not None:
        module.__path__ = spec.submodule_search_locations
    spec.loader.exec_module(module)
