"""Puts keys of tables into the generated inputs that are looked up in them."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TypeAlias

import numpy as np
import tensorflow as tf

from smdecl.savedmodel.comparing.array_distances import Array
from smdecl.verification.generated_examples import Drawn, Limits
from smdecl.verification.table_keys import Key, Keys

Inputs: TypeAlias = dict[str, Array]
_Element: TypeAlias = Callable[[Keys, int, Key], Key]
"""Returns an element from the keys, its place among the elements of all examples, and its value."""

# One of so many elements is unknown to the tables. A text has so many keys.
_BLOCK = 3


def with_keys(
    drawn: Iterable[Drawn],
    keys: Mapping[str, Keys],
    limits: Mapping[str, Limits],
) -> list[Drawn]:
    """Adds inputs with keys to the attempts of each example.

    An attempt comes after one with some of its elements replaced by keys, and one with all of them
    replaced, for an object that rejects unknown keys.

    Args:
        drawn: Generated inputs.
        keys: The keys by the name of the dense array that is looked up.
        limits: The limits of values by the same name.
    """
    places = dict.fromkeys(keys, 0)
    replaced = []
    for case in drawn:
        tried: list[Inputs] = []
        for inputs in case.attempts:
            tried += attempts(inputs, keys, limits, places)
        replaced.append(replace(case, attempts=tuple(tried)))
        places = after(places, case.attempts[0])
    return replaced


def attempts(
    inputs: Inputs,
    keys: Mapping[str, Keys],
    limits: Mapping[str, Limits],
    places: Mapping[str, int],
) -> list[Inputs]:
    """Returns inputs with some elements replaced by keys, with all replaced, and as they are.

    Args:
        inputs: Generated inputs.
        keys: The keys by the name of the dense array that is looked up.
        limits: The limits of values by the same name.
        places: The number of elements in previous examples, by the same name.
    """
    usable = _usable(keys, inputs, limits)
    if not usable:
        return [inputs]
    return [
        _replaced(inputs, usable, places, _known_or_not),
        _replaced(inputs, usable, places, _known),
        inputs,
    ]


def after(places: Mapping[str, int], inputs: Inputs) -> dict[str, int]:
    """Returns the number of elements in previous examples and in these inputs."""
    return {name: place + inputs[name].size for name, place in places.items()}


def _usable(
    keys: Mapping[str, Keys], inputs: Inputs, limits: Mapping[str, Limits]
) -> dict[str, Keys]:
    """Returns the keys that arrays can have; nothing for an array that can have none."""
    usable = {}
    for name, every in keys.items():
        array = inputs[name]
        own = every
        if array.dtype != object:
            own = _within(every, array, limits.get(name))
        if own.keys and array.size:
            usable[name] = own
    return usable


def _within(keys: Keys, array: Array, limits: Limits | None) -> Keys:
    """Returns the integers among keys that the dtype of an array and the limits of values allow."""
    dtype = tf.as_dtype(array.dtype)
    least, greatest = dtype.min, dtype.max
    if limits is not None:
        least, greatest = max(least, limits[0]), min(greatest, limits[1])
    numbers = [
        key
        for key in keys.keys
        if isinstance(key, int) and least <= key <= greatest
    ]
    unknown = max(numbers, default=0) + 1
    if unknown > greatest:
        return replace(keys, keys=tuple(numbers))
    return replace(keys, keys=tuple(numbers), unknown=unknown)


def _replaced(
    inputs: Inputs,
    keys: Mapping[str, Keys],
    places: Mapping[str, int],
    element: _Element,
) -> Inputs:
    """Returns inputs with new elements in the arrays that there are keys for."""
    replaced = dict(inputs)
    for name, own in keys.items():
        old = inputs[name]
        numbered = enumerate(old.ravel().tolist(), places[name])
        new = [element(own, place, value) for place, value in numbered]
        flat = np.empty(old.size, object)
        flat[:] = new
        replaced[name] = flat.astype(old.dtype).reshape(old.shape)
    return replaced


def _known_or_not(keys: Keys, place: int, value: Key) -> Key:
    """Returns a key or an unknown value; a text with both, if texts are split."""
    separator = _separator(keys, place)
    if separator is not None:
        first, *others = _words(keys, place)
        return separator.join([first, _unknown_word(value), *others])
    block, rest = divmod(place, _BLOCK)
    # By a hash, so that no column of a batch has unknown values only.
    unknown = zlib.crc32(b"%d" % block) % _BLOCK if block else 1
    if rest == unknown:
        return _unknown(keys, value)
    number = block * (_BLOCK - 1) + rest - int(rest > unknown)
    return keys.keys[number % len(keys.keys)]


def _known(keys: Keys, place: int, _: Key) -> Key:
    """Returns a key; a text of several, if texts are split."""
    separator = _separator(keys, place)
    if separator is not None:
        return separator.join(_words(keys, place))
    return keys.keys[place % len(keys.keys)]


def _separator(keys: Keys, place: int) -> bytes | None:
    """Returns what joins the keys in an element; None for every second one if some are whole."""
    is_whole = keys.has_whole and place % 2 == 0
    return None if is_whole else keys.separator


def _words(keys: Keys, place: int) -> list[bytes]:
    """Returns the keys in a text."""
    words = [key for key in keys.keys if isinstance(key, bytes)]
    first = place * _BLOCK
    return [
        words[number % len(words)] for number in range(first, first + _BLOCK)
    ]


def _unknown(keys: Keys, value: Key) -> Key:
    """Returns a generated value, or a different one if it is a key."""
    if value not in keys.keys:
        return value
    if isinstance(value, bytes):
        return _unknown_word(value)
    return value if keys.unknown is None else keys.unknown


def _unknown_word(value: Key) -> bytes:
    return value + b"0" if isinstance(value, bytes) else b"0"
