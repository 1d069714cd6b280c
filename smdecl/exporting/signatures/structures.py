"""Creates arguments from declared nests: lists, mappings and the records that a method expects.

A config declares a record by its fields.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

import tensorflow as tf

from smdecl.config.settings import Nest, Spec, Value
from smdecl.errors import KeyPath, Problem, nearest
from smdecl.exporting.signatures import record_kinds
from smdecl.exporting.signatures.record_kinds import Key, Kind
from smdecl.exporting.types import PythonValue, RecordClass, Structure

OnSpec = Callable[[KeyPath, Spec], Structure]
"""Returns the value to put in the place of a spec, given its path in the nest."""


def problems(
    path: KeyPath, nest: Nest, kind: Kind | None
) -> Iterator[Problem]:
    """Yields where a declared nest does not have the fields of the expected records."""
    if kind is None or isinstance(nest, Value):
        return
    if kind.record is not None:
        if not isinstance(nest, dict):
            if kind.is_only:
                yield _not_a_mapping(path, nest, kind.record)
            return
        yield from _field_problems(path, nest, kind.record)
    for key, item in _items(nest):
        yield from problems((*path, key), item, kind.inner(key))


def _not_a_mapping(path: KeyPath, nest: Nest, record: type) -> Problem:
    names = ", ".join(record_kinds.fields(record))
    expected = f"a mapping of the fields of {record.__name__} ({names})"
    found = "a spec" if isinstance(nest, Spec) else "a list"
    return Problem(path, f"expected {expected}, got {found}")


def _field_problems(
    path: KeyPath, nest: Mapping[str, Nest], record: type
) -> Iterator[Problem]:
    name = record.__name__
    fields = record_kinds.fields(record)
    known = ", ".join(fields)
    for given in nest:
        if given not in fields:
            message = (
                f"unknown field {given!r} of {name}; expected one of {known}"
            )
            yield Problem((*path, given), f"{message}{nearest(given, fields)}")
    for field, is_required in fields.items():
        if is_required and field not in nest:
            message = f"missing required field {field!r} of {name}"
            yield Problem((*path, field), message)


def _items(nest: Nest) -> Iterable[tuple[Key, Nest]]:
    if isinstance(nest, dict):
        return nest.items()
    if isinstance(nest, tuple):
        return enumerate(nest)
    return ()


def _inner(kind: Kind | None, key: Key) -> Kind | None:
    return None if kind is None else kind.inner(key)


def records(nest: Nest, kind: Kind | None) -> Iterator[type]:
    """Yields the class of every record that `pack` creates from a nest."""
    if kind is not None and kind.record is not None and isinstance(nest, dict):
        yield kind.record
    for key, item in _items(nest):
        yield from records(item, _inner(kind, key))


def pack(
    nest: Nest, kind: Kind | None, on_spec: OnSpec, path: KeyPath = ()
) -> Structure:
    """Returns the argument that a nest declares.

    Args:
        nest: The declared nest. Bound values are unwrapped.
        kind: What the method expects.
        on_spec: Returns the value of a spec.
        path: Where the nest is in the argument.
    """
    if isinstance(nest, Spec):
        return on_spec(path, nest)
    if isinstance(nest, Value):
        return nest.value
    packed: dict[Key, Structure] = {}
    for key, item in _items(nest):
        packed[key] = pack(item, _inner(kind, key), on_spec, (*path, key))
    if isinstance(nest, tuple):
        return list(packed.values())
    if kind is None or kind.record is None:
        return packed
    return _create(
        kind.record, {str(name): value for name, value in packed.items()}
    )


def _create(
    record: RecordClass, fields: Mapping[str, PythonValue]
) -> Structure:
    """Creates a record, or the spec of an ExtensionType if its fields are specs."""
    if issubclass(record, tf.experimental.ExtensionType):
        leaves = tf.nest.flatten(list(fields.values()))
        if any(isinstance(leaf, tf.TypeSpec) for leaf in leaves):
            return record.Spec(**fields)
    return record(**fields)


def in_order(nest: Nest, kind: Kind | None) -> Nest:
    """Returns a nest in the order in which TensorFlow flattens it.

    Mappings are sorted by key; the fields of a record keep the order of its class.
    """
    if isinstance(nest, tuple):
        items = enumerate(nest)
        return tuple(
            in_order(item, _inner(kind, index)) for index, item in items
        )
    if not isinstance(nest, dict):
        return nest
    if kind is not None and kind.record is not None:
        names = [
            name for name in record_kinds.fields(kind.record) if name in nest
        ]
    else:
        names = sorted(nest)
    return {name: in_order(nest[name], _inner(kind, name)) for name in names}
