"""Reads keys of the tables that the inputs of a function are looked up in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, zip_longest
from typing import TypeAlias

import numpy as np
import tensorflow as tf

from smdecl.exporting.types import ConcreteFunction, ResourceHandle, Tensor
from smdecl.savedmodel import lookups
from smdecl.savedmodel.comparing.array_distances import Array
from smdecl.savedmodel.lookups import Lookup, Origin, Part
from smdecl.verification import large_tables
from smdecl.verification.tf_examples import Feature

Key: TypeAlias = bytes | int

_MOST_KEYS = 64  # of each table
# Exporting a larger table takes seconds, and as much memory as the table.
_MOST_EXPORTED = 1_000_000


@dataclass(frozen=True)
class Keys:
    """What generated examples of an input are to contain.

    Attributes:
        keys: Keys of the tables that the input is looked up in, the most telling ones first.
        separator: What joins the keys in a text, if the words of texts are looked up; None if
            only whole elements are.
        has_whole: Whether whole elements are looked up.
        unknown: An integer that the tables do not have. It replaces a generated value that they
            have by chance. None if there is no such integer.
    """

    keys: tuple[Key, ...]
    separator: bytes | None = None
    has_whole: bool = True
    unknown: int | None = None


@dataclass(frozen=True)
class _Found:
    """The lookups of a function.

    Attributes:
        lookups: Those in tables that the function captures.
        tables: The keys of each of these tables.
    """

    lookups: Sequence[Lookup] = ()
    tables: Mapping[int, tuple[Key, ...]] = field(default_factory=dict)

    def keys(self, place: Origin, dtype: tf.DType) -> Keys | None:
        """Returns the keys that values of a dtype are looked up among; None if there are none.

        Args:
            place: The values, before they are split.
            dtype: The dtype of the values.
        """
        own = [
            each
            for each in self.lookups
            if each.keys.argument == place.argument
            and each.keys.part.feature == place.part.feature
            and _fits(each, dtype)
        ]
        used = {self.tables[each.table] for each in own}
        if not any(used):
            return None
        return _joined(
            _in_turn(used), {each.keys.part.separator for each in own}
        )


def of_inputs(function: ConcreteFunction) -> dict[str, Keys]:
    """Returns the keys for each dense input of a traced function that is looked up in a table.

    They depend neither on the order in which a table exports its keys, which is random, nor on the
    order of the tables.

    Args:
        function: The function. The tables that it captures have their content.
    """
    found = _find(function)
    named = {}
    for position, name in enumerate(function._arg_keywords):
        dtype = function.inputs[position].dtype
        named[name] = found.keys(Origin(position), dtype)
    return {name: keys for name, keys in named.items() if keys is not None}


def of_features(
    function: ConcreteFunction, features: Iterable[Feature]
) -> dict[str, Keys]:
    """Returns the keys for each feature that is looked up in a table, as `of_inputs` does.

    Args:
        function: A function of serialized tf.Examples.
        features: The features that it parses.
    """
    found = _find(function)
    named = {}
    for feature in features:
        place = Origin(0, Part(feature=feature.key))
        named[feature.key] = found.keys(place, tf.as_dtype(feature.dtype))
    return {name: keys for name, keys in named.items() if keys is not None}


def _find(function: ConcreteFunction) -> _Found:
    captured: list[Tensor] = list(function.captured_inputs)
    if not any(map(_may_be_table, captured)):
        return _Found()
    graph = function.graph.as_graph_def()
    arguments = [tensor.op.name for tensor in function.inputs]
    count = len(arguments) - len(captured)
    found = [
        each
        for each in lookups.find(graph.node, graph.library, arguments)
        if each.table >= count
    ]
    by_table = {each.table: each for each in found}
    tables = {
        number: _keys_of(each, captured[number - count])
        for number, each in by_table.items()
    }
    return _Found(found, tables)


def _fits(lookup: Lookup, dtype: tf.DType) -> bool:
    """Returns whether an input of a dtype can have the keys of a table as they are."""
    key_type = tf.as_dtype(lookup.key_type)
    if dtype == tf.string:
        return bool(key_type == tf.string)
    return bool(dtype.is_integer and key_type.is_integer)


def _may_be_table(captured: Tensor) -> bool:
    """Returns whether a captured tensor is the handle of a resource other than a variable."""
    if captured.dtype != tf.resource or tf.is_symbolic_tensor(captured):
        return False
    data = getattr(captured, "_handle_data", None)
    return data is None or not data.is_set


def _joined(keys: tuple[Key, ...], separators: set[bytes | None]) -> Keys:
    """Returns keys with the separators of the lookups of an input."""
    given = [each for each in separators if each is not None]
    return Keys(keys, min(given, default=None), has_whole=None in separators)


def _in_turn(tables: Iterable[tuple[Key, ...]]) -> tuple[Key, ...]:
    """Returns the keys of all tables, the first ones of each table before the second ones."""
    found: dict[Key, None] = {}
    ordered = sorted(tables)
    for key in chain.from_iterable(zip_longest(*ordered)):
        if key is not None:
            found[key] = None
    return tuple(found)


def _keys_of(lookup: Lookup, handle: ResourceHandle) -> tuple[Key, ...]:
    """Returns the first key of a table in the order of values, then the last, then the others.

    Returns none for a table that cannot be read: one of vectors, or without content.
    """
    if not _may_be_table(handle):
        return ()
    key_type = tf.as_dtype(lookup.key_type)
    value_type = tf.as_dtype(lookup.value_type)
    try:
        size = int(tf.raw_ops.LookupTableSizeV2(table_handle=handle))
        content = None
        if size > _MOST_EXPORTED:
            content = large_tables.sample(handle, _MOST_KEYS)
        if content is None:
            content = tf.raw_ops.LookupTableExportV2(
                table_handle=handle, Tkeys=key_type, Tvalues=value_type
            )
    except tf.errors.OpError:
        return ()
    keys, values = content
    if len(keys) == 0 or tf.size(keys) != len(keys):
        return ()
    keys = tf.reshape(keys, [-1])
    # A dense table marks its empty places by a key.
    has_marks = len(keys) > size
    places = _ordered(keys, values, has_marks=has_marks)
    chosen = tf.gather(keys, places).numpy().tolist()
    if has_marks:
        chosen = [
            key
            for key in chosen
            if _is_key(handle, tf.constant([key], key_type), values)
        ]
    return (*chosen[:1], *chosen[:0:-1][:1], *chosen[1:-1])


def _ordered(keys: Tensor, values: Tensor, *, has_marks: bool) -> Array:
    """Returns the places of the first keys and of the last one, in the order of their values.

    Keys of equal values, or of values without an order, are in the order of their hashes.

    Args:
        keys: The keys, in any order.
        values: Their values.
        has_marks: Whether the table fills its empty places with a value that is not a key.
    """
    if keys.dtype == tf.string:
        hashes = tf.strings.to_hash_bucket_fast(keys, 2**63 - 1).numpy()
    else:
        hashes = keys.numpy()
    is_number = values.dtype.is_integer or values.dtype.is_floating
    ranks = values.numpy() if is_number and values.ndim == 1 else hashes
    places = np.arange(len(hashes))
    if has_marks:
        _, first, counts = np.unique(
            hashes, return_index=True, return_counts=True
        )
        places = first[counts == 1]
    places = _ends(places, ranks)
    places = places[np.lexsort((hashes[places], ranks[places]))]
    return np.append(places[: _MOST_KEYS - 1], places[_MOST_KEYS - 1 :][-1:])


def _ends(places: Array, ranks: Array) -> Array:
    """Returns the places with the least and the greatest ranks, which takes less than sorting."""
    if len(places) <= _MOST_KEYS:
        return places
    own = ranks[places]
    last = len(own) - 1
    ends = np.partition(own, [_MOST_KEYS, last])
    is_end = (own <= ends[_MOST_KEYS]) | (own >= ends[last])
    kept: Array = places[is_end]
    return kept


def _is_key(handle: ResourceHandle, key: Tensor, values: Tensor) -> bool:
    """Returns whether a table accepts a key, other than the marks of empty and deleted places."""
    try:
        tf.raw_ops.LookupTableFindV2(
            table_handle=handle,
            keys=key,
            default_value=tf.zeros_like(values[0]),
        )
    except tf.errors.InvalidArgumentError:
        return False
    return True
