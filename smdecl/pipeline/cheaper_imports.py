"""Makes the import of TensorFlow and Keras cheaper, in the process that does nothing else.

- TensorFlow and Keras import modules that an export hardly ever uses. They get stand-ins, which
  import the modules with their first use. This saves 0.1 s of CPU time, and 0.45 s more if
  scikit-learn is installed. The imports of others, such as those of a model, find no stand-in.
- TensorFlow names the same types as the constraints of 1,500 type variables, and `typing` compiles
  each name again, which takes 0.18 s.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.abc
import importlib.machinery
import sys
import typing
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Any

_SELDOM_USED = frozenset(
    {
        # They import scikit-learn.
        "keras._tf_keras.keras.wrappers",
        "keras.wrappers",
        "rich.console",
        "rich.markup",
        "rich.table",
        # It imports SciPy.
        "tensorflow.python.keras.engine.training_v1",
    }
)
# Those that had to be imported all the same.
_needed: set[str] = set()
_SET_BY_IMPORT = (
    *("__cached__", "__file__", "__loader__"),
    *("__package__", "__path__", "__spec__"),
)
# The prefix of type names in TensorFlow's generated modules.
_TYPE_PREFIX = "_atypes."


@contextlib.contextmanager
def cheaper() -> Iterator[None]:
    """Makes imports cheaper while the context is active."""
    with _stand_ins(), _names_checked_once():
        yield


@contextlib.contextmanager
def _stand_ins() -> Iterator[None]:
    """Gives stand-ins to whoever imports the modules meanwhile, and keeps them from all others."""
    finder = _Finder()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name in _SELDOM_USED:
            if isinstance(sys.modules.get(name), _StandIn):
                del sys.modules[name]


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
        if fullname not in _SELDOM_USED or fullname in _needed:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None:
            spec.loader = _Loader()
        return spec


class _Loader(importlib.abc.Loader):
    """Makes stand-ins."""

    def create_module(
        self, spec: importlib.machinery.ModuleSpec
    ) -> ModuleType:
        return _StandIn(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        pass  # it has no code


class _StandIn(ModuleType):
    """Stands in for a module, and imports it when a name of it is used or listed."""

    def __getattr__(self, name: str) -> object:
        if name in _SET_BY_IMPORT:
            raise AttributeError(name)
        return getattr(self._imported(), name)

    def __dir__(self) -> list[str]:
        return dir(self._imported())

    def _imported(self) -> ModuleType:
        name = self.__name__
        if sys.modules.get(name) is self:
            # Unexpectedly, TensorFlow or Keras uses it already while they are imported.
            del sys.modules[name]
            _needed.add(name)
        return importlib.import_module(name)
