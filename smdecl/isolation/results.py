"""Reads what a process returns: records and errors, whatever code took that process over.

A pickle can name any function, and can set attributes of any class that it names. Here
such a class is a stand-in that lives as long as the reading: no code of the result
runs, and no real class is touched. Records are then made of the data in the stand-ins,
where each field is what its annotation says.
"""

from __future__ import annotations

import functools
import importlib
import io
import pickle
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import is_dataclass
from pathlib import PosixPath, PurePath, PurePosixPath
from typing import Any
from weakref import WeakKeyDictionary

from smdecl.errors import CauseText, Problem, SmdeclError

# Where the records and errors are that stages return.
_MODULES = (
    "smdecl.config.settings",
    "smdecl.errors",
    "smdecl.exporting.records",
    "smdecl.pipeline.worker",
    "smdecl.savedmodel.records",
    "smdecl.verification.records",
)
_PATHS = {
    ("pathlib", "PosixPath"): PosixPath,
    ("pathlib", "PurePosixPath"): PurePosixPath,
}
_SCALARS = (bool, int, float, str, bytes, type(None))
_CONTAINERS = (list, tuple, set, frozenset, dict)
# Annotation to the classes that a value of it may have; a config may have 1 for 1.0.
_CLASSES: dict[Any, tuple[type, ...]] = {
    **{kind: (kind,) for kind in (*_SCALARS, *_CONTAINERS)},
    float: (float, int),
    Sequence: (list, tuple),
    Mapping: (dict,),
}


class ResultError(Exception):
    """A process has sent something else than its function returns."""


def returned_by(function: Callable[..., object]) -> Any:
    """Returns the annotation of what a function returns; Any if it has none."""
    return typing.get_type_hints(function).get("return", Any)


def read(data: bytes, expected: Any) -> Any:
    """Returns the result, or the SmdeclError, that a process has pickled.

    Args:
        data: The pickle.
        expected: The annotation of the result.

    Raises:
        ResultError: If it is neither an error nor what is expected.
    """
    try:
        found = _Reader(io.BytesIO(data)).load()
        if issubclass(_class(found), SmdeclError):
            return _error(found)
        return _build(found, expected, "result")
    except ResultError:
        raise
    except Exception as error:  # any pickle may be in it
        raise ResultError(str(error) or type(error).__name__) from error


class _StandIn:
    """An object of a class that a pickle names: what it is called with, and what is set on it."""

    def __new__(cls, *_arguments: object) -> _StandIn:
        return super().__new__(cls)

    def __init__(self, *arguments: object) -> None:
        self.__dict__[_ARGUMENTS] = arguments


_ARGUMENTS = "(arguments)"  # no attribute has this name
# Class of a stand-in to the real one; not an attribute of it, for a pickle can set those.
_real: WeakKeyDictionary[type, type] = WeakKeyDictionary()


class _Reader(pickle.Unpickler):
    """Makes stand-ins of the classes that a result may name, and refuses all others."""

    def find_class(self, module: str, name: str) -> Any:
        real = _PATHS.get((module, name)) or _find(module, name)
        if real is None:
            raise ResultError(f"it names {module}.{name}, which no stage returns")
        stand_in = type(name, (_StandIn,), {})
        _real[stand_in] = real
        return stand_in


def _find(module: str, name: str) -> type | None:
    """Returns a record or an error by its name; None if there is none."""
    if module not in _MODULES or name.startswith("_"):
        return None
    found = getattr(importlib.import_module(module), name, None)
    if not isinstance(found, type) or found.__module__ != module:
        return None
    return found if is_dataclass(found) or issubclass(found, Exception) else None


def _class(value: object) -> type:
    """Returns the class of a value, or that which it stands in for."""
    return _real.get(type(value), type(value))


def _state(value: object) -> dict[str, Any]:
    """Returns a copy of what was set on a stand-in."""
    return dict(object.__getattribute__(value, "__dict__"))


def _error(found: object) -> SmdeclError:
    state = _state(found)
    problems, text = state[_ARGUMENTS]
    error: SmdeclError = _class(found)(
        _build(problems, tuple[Problem, ...], "problems"),
        _build(text, str, "traceback"),
    )
    if not error.problems:
        raise ResultError("it is an error without a problem")
    cause = state.get("__cause__")
    if cause is not None:
        error.__cause__ = CauseText(
            *_build(_state(cause)[_ARGUMENTS], tuple[str], "cause")
        )
    return error


def _build(value: Any, expected: Any, where: str) -> Any:
    """Returns a value that is what an annotation says, with the records in it.

    Raises:
        ResultError: If it is something else; says where.
    """
    expected = _resolved(expected)
    origin, arguments = (
        typing.get_origin(expected) or expected,
        typing.get_args(expected),
    )
    if origin in (typing.Union, types.UnionType):
        return _build(value, _alternative(value, arguments, expected, where), where)
    if not _is(value, expected):
        raise _refusal(value, expected, where)
    if isinstance(value, dict):
        return _build_mapping(value, arguments or (Any, Any), where)
    if isinstance(value, _CONTAINERS):
        return _build_sequence(value, origin, arguments, where)
    return _build_instance(value, where) if isinstance(value, _StandIn) else value


def _resolved(annotation: Any) -> Any:
    """Returns what an annotation that is given by its name is."""
    if annotation is None:
        return type(None)
    name = (
        annotation.__forward_arg__
        if isinstance(annotation, typing.ForwardRef)
        else annotation
    )
    if not isinstance(name, str):
        return annotation
    return next(
        found
        for module in _MODULES
        if (found := getattr(importlib.import_module(module), name, None)) is not None
    )


def _alternative(
    value: Any, alternatives: Iterable[Any], expected: Any, where: str
) -> Any:
    """Returns the alternative that a value is of; what is in it is not looked at."""
    for alternative in map(_resolved, alternatives):
        if _is(value, alternative):
            return alternative
    raise _refusal(value, expected, where)


def _is(value: Any, annotation: Any) -> bool:
    """Tells whether a value, apart from what is in it, is of a type."""
    found, origin = _class(value), typing.get_origin(annotation) or annotation
    if origin is Any:
        return found in _CLASSES or isinstance(value, _StandIn)
    if origin is typing.Literal:
        return any(
            found is type(choice) and value == choice
            for choice in typing.get_args(annotation)
        )
    if origin in _CLASSES:
        return found in _CLASSES[origin]
    if isinstance(origin, type) and (
        is_dataclass(origin) or issubclass(origin, PurePath)
    ):
        return isinstance(value, _StandIn) and issubclass(found, origin)
    raise ResultError(f"no result can be compared with {annotation}")


def _refusal(value: object, expected: Any, where: str) -> ResultError:
    name = expected.__name__ if isinstance(expected, type) else str(expected)
    return ResultError(f"{where}: expected {name}, got {_class(value).__name__}")


def _build_mapping(
    value: dict[Any, Any], arguments: Sequence[Any], where: str
) -> dict[Any, Any]:
    keys, values = arguments
    built = {}
    for key, item in value.items():
        built[_build(key, keys, f"a key of {where}")] = _build(
            item, values, f"{where}[{key!r}]"
        )
    return built


def _build_sequence(
    value: Any, origin: Any, arguments: Sequence[Any], where: str
) -> Any:
    if origin is tuple and arguments and arguments[-1] is not Ellipsis:
        if len(value) != len(arguments):
            raise ResultError(
                f"{where}: expected {len(arguments)} items, got {len(value)}"
            )
        kinds = list(arguments)
    else:
        kinds = [arguments[0] if arguments else Any] * len(value)
    items = enumerate(zip(value, kinds, strict=True))
    return type(value)(
        [_build(item, kind, f"{where}[{index}]") for index, (item, kind) in items]
    )


def _build_instance(value: object, where: str) -> Any:
    return (
        _path(value)
        if issubclass(_class(value), PurePath)
        else _build_record(value, where)
    )


def _build_record(value: object, where: str) -> Any:
    real, state = _class(value), _state(value)
    hints = _hints(real)
    if not is_dataclass(real) or state.keys() != hints.keys():
        raise ResultError(
            f"{where}: expected a record with {', '.join(hints)}, got {', '.join(state)}"
        )
    record = object.__new__(real)
    for name, hint in hints.items():
        object.__setattr__(record, name, _build(state[name], hint, f"{where}.{name}"))
    return record


@functools.cache
def _hints(record: type) -> dict[str, Any]:
    """Returns the fields of a record with their annotations."""
    return typing.get_type_hints(record)


def _path(value: object) -> PurePath:
    parts = _build(_state(value)[_ARGUMENTS], tuple[str, ...], "path")
    path: PurePath = _class(value)(*parts)
    return path
