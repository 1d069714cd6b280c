"""Reads what a process returns: records and errors, whatever code took that process over.

A pickle can name any function, and can set attributes of any class that it names. Here each class
in it becomes a stand-in that lives as long as the reading: no code of the result runs, and no real
class is touched. The records are then built from the data in the stand-ins. Each field must match
its annotation.

A small pickle must not cost much memory or time: it may not choose places in the unpickler's
memo, and the values in it are counted as often as they are shared.
"""

from __future__ import annotations

import functools
import importlib
import io
import pickle
import pickletools
import types
import typing
from collections.abc import (
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from dataclasses import is_dataclass
from pathlib import PosixPath, PurePath, PurePosixPath
from typing import Any, TypeAlias

from smdecl.errors import CauseText, Problem, SmdeclError

# A type, a generic such as dict[str, int], a union, a forward reference or the name of a record.
Annotation: TypeAlias = Any

_PATHS = {
    ("pathlib", "PosixPath"): PosixPath,
    ("pathlib", "PurePosixPath"): PurePosixPath,
}
# These name a place in the memo, which then grows up to it. Protocol 4 does without them.
_MEMO_PLACES = ("PUT", "BINPUT", "LONG_BINPUT")
# Values may be shared, but a result has few more than its pickle has bytes.
MOST_SHARED = 1_000_000
_MOST_FOR_EACH_BYTE = 10
_SCALARS = (bool, int, float, str, bytes, type(None))
_CONTAINERS = (list, tuple, set, frozenset, dict)
# The classes that a value of an annotation may have. A config may have 1 for 1.0.
_CLASSES: dict[Annotation, tuple[type, ...]] = {
    **{kind: (kind,) for kind in (*_SCALARS, *_CONTAINERS)},
    float: (float, int),
    Sequence: (list, tuple),
    Mapping: (dict,),
}


class ResultError(Exception):
    """A process sent something that its function cannot return."""


def returned_by(function: Callable[..., object]) -> Annotation:
    """Returns the annotation of a function's result, or of each one; Any if there is none."""
    found = typing.get_type_hints(function).get("return", Any)
    if typing.get_origin(found) is Iterator:
        (found,) = typing.get_args(found)
    return found


def read(data: bytes, expected: Annotation, modules: Sequence[str]) -> Any:
    """Returns the result, or the SmdeclError, that a process pickled.

    Args:
        data: The pickle.
        expected: The annotation of the result.
        modules: Names of the modules whose records and errors may be in it.

    Raises:
        ResultError: If it is neither an error nor what is expected.
    """
    try:
        return _Reading(modules).read(data, expected)
    except ResultError:
        raise
    except Exception as error:  # a pickle can hold anything
        raise ResultError(str(error) or type(error).__name__) from error


class _StandIn:
    """An object of a class that a pickle names: its arguments and attributes."""

    def __new__(cls, *_arguments: object) -> _StandIn:
        return super().__new__(cls)

    def __init__(self, *arguments: object) -> None:
        self.__dict__[_ARGUMENTS] = arguments


_ARGUMENTS = "(arguments)"  # no attribute has this name


class _Unpickler(pickle.Unpickler):
    """Makes stand-ins of the classes that `find` returns, and refuses all others.

    Args:
        data: The pickle.
        find: Returns the class of a module and a name; None if a result may not have it.

    Attributes:
        real: The class of each stand-in. It is kept here, where a pickle cannot set it.
    """

    def __init__(
        self, data: bytes, find: Callable[[str, str], type | None]
    ) -> None:
        super().__init__(io.BytesIO(data))
        self._find = find
        self.real: dict[type, type] = {}

    def find_class(self, module: str, name: str) -> type:
        real = self._find(module, name)
        if real is None:
            raise ResultError(
                f"it names {module}.{name}, which no stage returns"
            )
        stand_in = type(name, (_StandIn,), {})
        self.real[stand_in] = real
        return stand_in


class _Reading:
    """The reading of one result."""

    def __init__(self, modules: Sequence[str]) -> None:
        self._modules = modules
        self._real: dict[type, type] = {}
        self._most_values = 0

    def read(self, data: bytes, expected: Annotation) -> Any:
        _require_no_memo_places(data)
        self._most_values = MOST_SHARED + _MOST_FOR_EACH_BYTE * len(data)
        unpickler = _Unpickler(data, self._find)
        self._real = unpickler.real
        found = unpickler.load()
        if issubclass(self._class(found), SmdeclError):
            return self._error(found)
        return self._build(found, expected, "result")

    def _find(self, module: str, name: str) -> type | None:
        path = _PATHS.get((module, name))
        if path is not None:
            return path
        if module not in self._modules or name.startswith("_"):
            return None
        found = getattr(importlib.import_module(module), name, None)
        if not isinstance(found, type) or found.__module__ != module:
            return None
        is_allowed = is_dataclass(found) or issubclass(found, Exception)
        return found if is_allowed else None

    def _class(self, value: object) -> type:
        """Returns the class of a value, or the class that it is a stand-in for."""
        return self._real.get(type(value), type(value))

    def _error(self, found: object) -> SmdeclError:
        state = _state(found)
        problems, text = state[_ARGUMENTS]
        error: SmdeclError = self._class(found)(
            self._build(problems, tuple[Problem, ...], "problems"),
            self._build(text, str, "traceback"),
        )
        if not error.problems:
            raise ResultError("it is an error without a problem")
        cause = state.get("__cause__")
        if cause is not None:
            arguments = _state(cause)[_ARGUMENTS]
            error.__cause__ = CauseText(
                *self._build(arguments, tuple[str], "cause")
            )
        return error

    def _build(self, value: Any, expected: Annotation, where: str) -> Any:
        """Returns the value that matches an annotation, with the records in it.

        Raises:
            ResultError: If it does not match; the message names `where`.
        """
        self._most_values -= 1
        if self._most_values < 0:
            raise ResultError("it shares values too often")
        expected = self._resolved(expected)
        origin = _origin(expected)
        arguments = typing.get_args(expected)
        if origin in (typing.Union, types.UnionType):
            alternative = self._alternative(value, arguments, expected, where)
            return self._build(value, alternative, where)
        if not self._matches(value, expected):
            raise self._refusal(value, expected, where)
        if isinstance(value, dict):
            return self._build_mapping(value, arguments or (Any, Any), where)
        if isinstance(value, _CONTAINERS):
            return self._build_sequence(value, origin, arguments, where)
        if not isinstance(value, _StandIn):
            return value
        if issubclass(self._class(value), PurePath):
            return self._build_path(value)
        return self._build_record(value, where)

    def _resolved(self, annotation: Annotation) -> Annotation:
        """Returns the type that an annotation names, if it is a name."""
        if annotation is None:
            return type(None)
        if isinstance(annotation, typing.ForwardRef):
            annotation = annotation.__forward_arg__
        if not isinstance(annotation, str):
            return annotation
        for module in self._modules:
            found = getattr(importlib.import_module(module), annotation, None)
            if found is not None:
                return found
        raise ResultError(f"no module of results has {annotation}")

    def _alternative(
        self,
        value: object,
        alternatives: Iterable[Annotation],
        expected: Annotation,
        where: str,
    ) -> Annotation:
        """Returns the alternative of a union that a value matches, apart from its items."""
        for alternative in map(self._resolved, alternatives):
            if self._matches(value, alternative):
                return alternative
        raise self._refusal(value, expected, where)

    def _matches(self, value: object, annotation: Annotation) -> bool:
        """Returns whether a value, apart from its items, matches an annotation."""
        found = self._class(value)
        origin = _origin(annotation)
        if origin in (Any, object):
            return found in _CLASSES or isinstance(value, _StandIn)
        if origin is typing.Literal:
            choices = typing.get_args(annotation)
            return any(found is type(one) and value == one for one in choices)
        if origin in _CLASSES:
            return found in _CLASSES[origin]
        if not _is_built(origin):
            raise ResultError(f"no result can be compared with {annotation}")
        return isinstance(value, _StandIn) and issubclass(found, origin)

    def _refusal(
        self, value: object, expected: Annotation, where: str
    ) -> ResultError:
        name = (
            expected.__name__ if isinstance(expected, type) else str(expected)
        )
        found = self._class(value).__name__
        return ResultError(f"{where}: expected {name}, got {found}")

    def _build_mapping(
        self,
        value: dict[Any, Any],
        arguments: Sequence[Annotation],
        where: str,
    ) -> dict[Any, Any]:
        keys, values = arguments
        built = {}
        for key, item in value.items():
            built_key = self._build(key, keys, f"a key of {where}")
            built[built_key] = self._build(item, values, f"{where}[{key!r}]")
        return built

    def _build_sequence(
        self,
        value: Any,
        origin: Annotation,
        arguments: Sequence[Annotation],
        where: str,
    ) -> Any:
        if origin is tuple and arguments and arguments[-1] is not Ellipsis:
            if len(value) != len(arguments):
                counts = f"expected {len(arguments)} items, got {len(value)}"
                raise ResultError(f"{where}: {counts}")
            kinds = list(arguments)
        else:
            kinds = [arguments[0] if arguments else Any] * len(value)
        items = []
        for index, (item, kind) in enumerate(zip(value, kinds, strict=True)):
            items.append(self._build(item, kind, f"{where}[{index}]"))
        return type(value)(items)

    def _build_record(self, value: object, where: str) -> object:
        real = self._class(value)
        state = _state(value)
        hints = _hints(real)
        if not is_dataclass(real) or state.keys() != hints.keys():
            fields = f"{', '.join(hints)}, got {', '.join(state)}"
            raise ResultError(f"{where}: expected a record with {fields}")
        record = object.__new__(real)
        for name, hint in hints.items():
            built = self._build(state[name], hint, f"{where}.{name}")
            object.__setattr__(record, name, built)
        return record

    def _build_path(self, value: object) -> PurePath:
        parts = self._build(_state(value)[_ARGUMENTS], tuple[str, ...], "path")
        path: PurePath = self._class(value)(*parts)
        return path


def _require_no_memo_places(data: bytes) -> None:
    for opcode, _, _ in pickletools.genops(data):
        if opcode.name in _MEMO_PLACES:
            raise ResultError(
                f"it has a {opcode.name}, which no stage returns"
            )


def _state(value: object) -> dict[str, Any]:
    """Returns a copy of the attributes of a stand-in."""
    return dict(object.__getattribute__(value, "__dict__"))


def _origin(annotation: Annotation) -> Annotation:
    return typing.get_origin(annotation) or annotation


def _is_built(origin: Annotation) -> bool:
    """Returns whether values of a type are built from stand-ins."""
    if not isinstance(origin, type):
        return False
    return is_dataclass(origin) or issubclass(origin, PurePath)


@functools.cache
def _hints(record: type) -> dict[str, Annotation]:
    """Returns the fields of a record with their annotations."""
    return typing.get_type_hints(record)
