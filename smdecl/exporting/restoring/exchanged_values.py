"""Finds values that weights have for one layer or variable, and that a different one receives.

Keras and TensorFlow find the layers of a graph, and the elements of a list, by their position. If
the order in the code has changed, values of equal shape are exchanged without an error. The names
in the code show it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from smdecl.exporting.live_objects import keras_names
from smdecl.exporting.live_objects.tensors import (
    is_variable,
    tensorflow_name,
)
from smdecl.exporting.restoring import keras_state
from smdecl.exporting.restoring.checkpoint_graph import Value
from smdecl.exporting.restoring.matching import Cause, Match
from smdecl.exporting.types import Trackable

_NUMBER = re.compile(r"_\d+$")
_POSITION = re.compile(r"(^|[/-])\d+/")
_OPTIMIZER = "optimizer/"
_ORDER = "; expected layers and variables in the order in which the weights were saved"


def match(name: str, saved: str) -> Match:
    """Returns the match of `name`, which receives the value of `saved`."""
    message = f"has the value of {saved} at the position of {name}"
    return Match(None, f"{message}{_ORDER}", Cause.EXCHANGED)


def in_checkpoint(obj: Trackable, values: Sequence[Value]) -> Iterator[Match]:
    """Yields a match for each variable that a checkpoint has the value of a different one for."""
    automatic = {
        layer.name
        for layer in keras_state.layers_of(obj)
        if keras_names.is_automatic(layer)
    }
    found = [each for each in values if each.fits and is_variable(each.item)]
    counts = Counter(tensorflow_name(value.item) for value in found)
    for value in found:
        own = tensorflow_name(value.item)
        saved = value.saved_name
        if counts[own] != 1 or counts[saved] != 1 or not _is_placed(value):
            continue
        if _plain(own, automatic) != _plain(saved, automatic):
            yield match(own, saved)


def _is_placed(value: Value) -> bool:
    """Returns whether a position leads to a value, and not names alone."""
    (key,) = value.keys
    return bool(_POSITION.search(key)) and _OPTIMIZER not in key


def _plain(name: str, automatic: set[str]) -> str:
    """Returns a name without the numbers that Keras gives to layers."""
    parts = []
    for part in name.split("/"):
        if part in automatic:
            parts.append(_NUMBER.sub("", part))
        else:
            parts.append(part)
    return "/".join(parts)
