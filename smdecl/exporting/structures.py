"""Arguments and results that are records of the model's own: NamedTuples, dataclasses, attrs classes, extension types.

A config declares such an argument by its fields. The class comes from what the method says of it: its annotation, its
default or its own `input_signature`.
"""

from __future__ import annotations

import dataclasses
import inspect
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from smdecl.config.settings import Nest, Spec, Value
from smdecl.errors import KeyPath, Problem, nearest

Key = str | int
Leaf = Callable[[KeyPath, Spec], Any]


@dataclass(frozen=True)
class Kind:
    """What a method says of an argument, or of a part of one.

    Attributes:
        record: The class to make of the fields; None for a list or a mapping.
        inner: Returns the kind of the part under a key; None where nothing is said of it.
        is_only: Whether nothing but the record is expected there.
    """

    record: type | None
    inner: Callable[[Key], Kind | None]
    is_only: bool = True


def is_record(kind: object) -> typing.TypeGuard[type]:
    """Tells whether a class names the parts of its values."""
    if not inspect.isclass(kind):
        return False
    is_named_tuple = issubclass(kind, tuple) and hasattr(kind, "_fields")
    is_plain = dataclasses.is_dataclass(kind) or hasattr(kind, "__attrs_attrs__")
    return is_named_tuple or is_plain or issubclass(kind, tf.experimental.ExtensionType)


def is_opaque(kind: object) -> bool:
    """Tells whether SavedModels have no form for the values of a class, as they have for the other records."""
    return dataclasses.is_dataclass(kind) or hasattr(kind, "__attrs_attrs__")


def kinds(
    function: Callable[..., Any], names: Sequence[str], own: Sequence[Any] | None
) -> dict[str, Kind]:
    """Returns what a function says of its arguments, by their names.

    Args:
        function: The Python function.
        names: Of its arguments, without `self`.
        own: Its own `input_signature`, in the order of `names`.
    """
    hints = _hints(
        inspect.unwrap(function)
    )  # a bound tf.function wraps what has the annotations
    found = {name: _of_hint(hints[name]) for name in names if name in hints}
    for name, default in _defaults(function).items():
        found[name] = found.get(name) or _of_value(default)
    for name, specs in zip(names, own or (), strict=False):
        found[name] = found.get(name) or _of_value(specs)
    return {name: kind for name, kind in found.items() if kind is not None}


def returned(function: Callable[..., Any]) -> Kind | None:
    """Returns what a function says of its result."""
    return _of_hint(_hints(inspect.unwrap(function)).get("return"))


def _hints(owner: Any) -> dict[str, Any]:
    try:
        return typing.get_type_hints(owner)
    except (
        Exception
    ):  # an annotation is any expression, and may name what only a type checker imports
        raw = getattr(owner, "__annotations__", {})
        return {name: hint for name, hint in raw.items() if not isinstance(hint, str)}


def _defaults(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # some builtins and extension classes have none
        return {}
    return {p.name: p.default for p in parameters if p.default is not p.empty}


def _of_hint(hint: Any) -> Kind | None:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if is_record(hint):
        hints = _hints(hint)
        return Kind(hint, lambda name: _of_hint(hints.get(str(name))))
    if origin is typing.Annotated:
        return _of_hint(arguments[0])
    if origin in (typing.Union, types.UnionType):
        return _of_union([one for one in arguments if one is not type(None)])
    if origin is tuple and arguments[-1:] != (Ellipsis,):
        items = dict[Key, Any](enumerate(arguments))
        return Kind(None, lambda index: _of_hint(items.get(index)))
    if inspect.isclass(origin) and issubclass(origin, (Sequence, Mapping)):
        item = arguments[0] if issubclass(origin, Sequence) else arguments[-1]
        return Kind(None, lambda _: _of_hint(item))
    return None


def _of_union(alternatives: Sequence[Any]) -> Kind | None:
    found = [kind for kind in map(_of_hint, alternatives) if kind is not None]
    if not found:
        return None
    return dataclasses.replace(found[0], is_only=len(alternatives) == 1)


def _of_value(value: Any) -> Kind | None:
    """Returns the kind of a default, or of the specs of an `input_signature`."""
    if isinstance(value, tf.TypeSpec) and is_record(value.value_type):
        return Kind(
            value.value_type, lambda name: _of_value(getattr(value, str(name), None))
        )
    if is_record(type(value)):
        return Kind(
            type(value), lambda name: _of_value(getattr(value, str(name), None))
        )
    if isinstance(value, (list, tuple)):
        items = dict[Key, Any](enumerate(value))
        return Kind(None, lambda index: _of_value(items.get(index)))
    if isinstance(value, dict):
        return Kind(None, lambda name: _of_value(value.get(name)))
    return None


def _fields(record: type) -> dict[str, bool]:
    """Returns field to whether it is required."""
    parameters = inspect.signature(record).parameters.values()
    return {p.name: p.default is p.empty for p in parameters if p.name != "self"}


def problems(path: KeyPath, nest: Nest, kind: Kind | None) -> Iterator[Problem]:
    """Yields where a declared nest does not have the fields of the records that a method expects there."""
    if kind is None or isinstance(nest, Value):
        return
    if kind.record is not None and not isinstance(nest, dict):
        if kind.is_only:
            fields = ", ".join(_fields(kind.record))
            found = "a spec" if isinstance(nest, Spec) else "a list"
            yield Problem(
                path,
                f"expected a mapping of the fields of {kind.record.__name__} ({fields}), got {found}",
            )
        return
    if kind.record is not None and isinstance(nest, dict):
        yield from _field_problems(path, kind.record, nest)
    for key, item in _items(nest):
        yield from problems((*path, key), item, kind.inner(key))


def _field_problems(
    path: KeyPath, record: type, nest: Mapping[str, Nest]
) -> Iterator[Problem]:
    fields, name = _fields(record), record.__name__
    for given in nest:
        if given not in fields:
            message = f"unknown field {given!r} of {name}; expected one of {', '.join(fields)}{nearest(given, fields)}"
            yield Problem((*path, given), message)
    for field, is_required in fields.items():
        if is_required and field not in nest:
            yield Problem(
                (*path, field), f"is missing: {name} needs the field {field!r}"
            )


def _items(nest: Nest) -> Iterable[tuple[Key, Nest]]:
    if isinstance(nest, dict):
        return nest.items()
    return enumerate(nest) if isinstance(nest, tuple) else ()


def records(nest: Nest, kind: Kind | None) -> Iterator[type]:
    """Yields the class of every record that `pack` makes of a nest."""
    if kind is not None and kind.record is not None and isinstance(nest, dict):
        yield kind.record
    for key, item in _items(nest):
        yield from records(item, kind.inner(key) if kind is not None else None)


def pack(nest: Nest, kind: Kind | None, on_spec: Leaf, path: KeyPath = ()) -> Any:
    """Returns the argument that a nest declares, with `on_spec(path, spec)` in the place of each spec.

    Bound values are unwrapped.
    """
    if isinstance(nest, Spec):
        return on_spec(path, nest)
    if isinstance(nest, Value):
        return nest.value
    packed: dict[Key, Any] = {}
    for key, item in _items(nest):
        packed[key] = pack(
            item, kind.inner(key) if kind is not None else None, on_spec, (*path, key)
        )
    if isinstance(nest, tuple):
        return list(packed.values())
    if kind is None or kind.record is None:
        return packed
    return _made(kind.record, {str(name): value for name, value in packed.items()})


def in_order(nest: Nest, kind: Kind | None) -> Nest:
    """Returns a nest with mappings sorted, and records in the order of their fields: as TensorFlow flattens them."""
    if isinstance(nest, tuple):
        return tuple(
            in_order(item, kind.inner(index) if kind is not None else None)
            for index, item in _items(nest)
        )
    if not isinstance(nest, dict):
        return nest
    names = sorted(nest)
    if kind is not None and kind.record is not None:
        names = [name for name in _fields(kind.record) if name in nest]
    return {
        name: in_order(nest[name], kind.inner(name) if kind is not None else None)
        for name in names
    }


def _made(record: Any, fields: dict[str, Any]) -> Any:
    leaves = tf.nest.flatten(list(fields.values()))
    if issubclass(record, tf.experimental.ExtensionType) and any(
        isinstance(leaf, tf.TypeSpec) for leaf in leaves
    ):
        return record.Spec(**fields)
    return record(**fields)


def named_parts(value: Any) -> dict[str, Any] | None:
    """Returns the fields of a record by their names; None for any other value."""
    kind = type(value)
    if isinstance(value, tf.TypeSpec) and is_record(value.value_type):
        kind = value.value_type
    if not is_record(kind):
        return None
    if hasattr(kind, "_fields"):
        names = list(kind._fields)
    elif dataclasses.is_dataclass(kind):
        names = [field.name for field in dataclasses.fields(kind)]
    elif hasattr(kind, "__attrs_attrs__"):
        names = [field.name for field in kind.__attrs_attrs__]
    else:
        names = [*_fields(kind)]
    return {name: getattr(value, name) for name in names}
