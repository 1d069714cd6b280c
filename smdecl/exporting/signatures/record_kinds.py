"""Finds the record classes that a method expects in its arguments.

They are NamedTuples, dataclasses, attrs classes and ExtensionTypes. They come from the method's
annotations, its defaults and its `input_signature`.
"""

from __future__ import annotations

import dataclasses
import inspect
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import tensorflow as tf

from smdecl.exporting.types import PythonValue, Structure

Key = str | int
"""A field of a record, a key of a mapping or an index of a list."""


@dataclass(frozen=True)
class Kind:
    """What a method expects as an argument, or as a part of one.

    Attributes:
        record: The class to create from the fields; None for a list or a mapping.
        inner: Returns the kind of the part under a key; None if the method does not declare one.
        is_only: Whether only the record is accepted. False for one alternative of a union.
    """

    record: type | None
    inner: Callable[[Key], Kind | None]
    is_only: bool = True


def is_record(kind: object) -> typing.TypeGuard[type]:
    """Returns True for a class whose values have named fields."""
    if not inspect.isclass(kind):
        return False
    if issubclass(kind, tf.experimental.ExtensionType) or is_opaque(kind):
        return True
    return issubclass(kind, tuple) and hasattr(kind, "_fields")


def is_opaque(kind: object) -> bool:
    """Returns True for dataclasses and attrs classes, which SavedModels cannot represent."""
    return dataclasses.is_dataclass(kind) or hasattr(kind, "__attrs_attrs__")


def refuse_unnamed(kind: type) -> str | None:
    """Returns why TensorFlow cannot save an ExtensionType by name; None if it can."""
    if not issubclass(kind, tf.experimental.ExtensionType):
        return None
    if "__name__" in vars(kind):
        return None
    own = f"{kind.__module__}.{kind.__name__}"
    return (
        f"the ExtensionType {own}, which TensorFlow cannot save without a name;"
        f' add __name__ = "{own}" to the class'
    )


def fields(record: type) -> dict[str, bool]:
    """Returns the fields that the constructor of a record accepts, and whether each is required."""
    parameters = inspect.signature(record).parameters.values()
    return {
        p.name: p.default is p.empty for p in parameters if p.name != "self"
    }


def kinds(
    function: Callable[..., PythonValue],
    names: Sequence[str],
    specs: Sequence[Structure] | None,
) -> dict[str, Kind]:
    """Returns the kinds of a function's arguments by name. Arguments without a kind are omitted.

    Args:
        function: The Python function.
        names: Its arguments, without `self`.
        specs: Its `input_signature`, in the order of `names`.
    """
    found: dict[str, Kind | None] = {}
    # A bound tf.function wraps the annotated one.
    hints = _hints(inspect.unwrap(function))
    for name in names:
        if name in hints:
            found[name] = _of_hint(hints[name])
    for name, default in _defaults(function).items():
        found[name] = found.get(name) or _of_value(default)
    for name, spec in zip(names, specs or (), strict=False):
        found[name] = found.get(name) or _of_value(spec)
    return {name: kind for name, kind in found.items() if kind is not None}


def returned(function: Callable[..., PythonValue]) -> Kind | None:
    """Returns the kind of a function's result, if it is annotated."""
    return _of_hint(_hints(inspect.unwrap(function)).get("return"))


def _hints(owner: PythonValue) -> dict[str, PythonValue]:
    try:
        return typing.get_type_hints(owner)
    except Exception:
        # An annotation may be any expression, also one for type checkers only.
        raw = getattr(owner, "__annotations__", {})
        return {
            name: hint
            for name, hint in raw.items()
            if not isinstance(hint, str)
        }


def _defaults(function: Callable[..., PythonValue]) -> dict[str, PythonValue]:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        # Some builtins and extension classes have no signature.
        return {}
    return {p.name: p.default for p in parameters if p.default is not p.empty}


def _of_hint(hint: PythonValue) -> Kind | None:
    origin: PythonValue = typing.get_origin(hint)
    arguments = typing.get_args(hint)
    if is_record(hint):
        field_hints = _hints(hint)
        return Kind(hint, lambda name: _of_hint(field_hints.get(str(name))))
    if origin is typing.Annotated:
        return _of_hint(arguments[0])
    if origin in (typing.Union, types.UnionType):
        return _of_union([one for one in arguments if one is not type(None)])
    if origin is tuple and arguments[-1:] != (Ellipsis,):
        items: dict[Key, PythonValue] = dict(enumerate(arguments))
        return Kind(None, lambda index: _of_hint(items.get(index)))
    if inspect.isclass(origin) and issubclass(origin, (Sequence, Mapping)):
        item = arguments[0] if issubclass(origin, Sequence) else arguments[-1]
        return Kind(None, lambda _: _of_hint(item))
    return None


def _of_union(alternatives: Sequence[PythonValue]) -> Kind | None:
    for alternative in alternatives:
        kind = _of_hint(alternative)
        if kind is not None:
            return dataclasses.replace(kind, is_only=len(alternatives) == 1)
    return None


def _of_value(value: PythonValue) -> Kind | None:
    """Returns the kind of a default value, or of the specs of an `input_signature`."""
    record = _record_of(value)
    if record is not None:
        return Kind(
            record, lambda name: _of_value(getattr(value, str(name), None))
        )
    if isinstance(value, (list, tuple)):
        items: dict[Key, PythonValue] = dict(enumerate(value))
        return Kind(None, lambda index: _of_value(items.get(index)))
    if isinstance(value, dict):
        return Kind(None, lambda name: _of_value(value.get(name)))
    return None


def _record_of(value: PythonValue) -> type | None:
    """Returns the record class of a value, or of the values that a `tf.TypeSpec` describes."""
    if isinstance(value, tf.TypeSpec) and is_record(value.value_type):
        return value.value_type
    return type(value) if is_record(type(value)) else None


def named_parts(value: PythonValue) -> dict[str, PythonValue] | None:
    """Returns the fields of a record by name; None for any other value."""
    kind = _record_of(value)
    if kind is None:
        return None
    if hasattr(kind, "_fields"):
        names = list(kind._fields)
    elif dataclasses.is_dataclass(kind):
        names = [field.name for field in dataclasses.fields(kind)]
    elif hasattr(kind, "__attrs_attrs__"):
        names = [field.name for field in kind.__attrs_attrs__]
    else:
        names = list(fields(kind))
    return {name: getattr(value, name) for name in names}
