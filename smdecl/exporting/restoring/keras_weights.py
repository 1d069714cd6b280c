"""Loads weights by `Model.load_weights`, and finds out which variables it skipped and why."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence

from smdecl.exporting.live_objects.tensors import is_variable
from smdecl.exporting.restoring import (
    exchanged_values,
    keras_reading,
    keras_state,
    matching,
)
from smdecl.exporting.restoring.keras_reading import Reading
from smdecl.exporting.restoring.matching import (
    Cause,
    Match,
    absent,
    name_of,
    not_in_model,
    other_shape,
)
from smdecl.exporting.types import Layer, Model, Shape, Variable
from smdecl.tensor_texts import shape_text

# The wording of Keras 3 and of the legacy tf_keras.
_SKIPPED = re.compile(
    r"could not be loaded|Could not load|Skipping (nested|loading)"
)
_REASON = re.compile(
    r"message for object (?P<layer><.+>):\s+(?P<reason>.+?)(\. Target variable|\n|$)"
)


def load(obj: Model, path: str) -> Iterator[Match]:
    """Loads the weights at `path` into a Keras model and yields a match for each variable.

    Raises:
        ModelError: If the model's own code fails on them.
        ConfigError: If they cannot be read.
    """
    if not obj.built:
        # A method other than __call__ built it. A layer without variables is a problem below.
        obj.built = True
    skipped, reading = _load(obj, path)
    reasons = _reasons(skipped)
    problems: dict[int, Match] = {}
    for layer in obj._flatten_layers():
        text = repr(layer)
        is_skipped = any(text in warning for warning in skipped)
        # Its weights are not among its variables.
        if keras_state.has_idf(layer):
            yield _idf_match(layer, is_skipped, reasons.get(text))
        elif is_skipped:
            variables = own_variables(layer)
            in_file = _in_file(reading.shapes, layer, len(variables))
            found = _problems(variables, in_file, reasons.get(text))
            problems.update(zip(map(id, variables), found, strict=True))
    if not problems:
        for warning in skipped:
            yield Match(None, " ".join(warning.split()), Cause.ABSENT)
    for variable in _variables(obj):
        problem = problems.get(id(variable))
        yield problem or Match(name_of(variable))
    yield from _misplaced(reading)


def _misplaced(reading: Reading) -> Iterator[Match]:
    """Yields a match for each value that no layer has read, or the wrong one."""
    for name, shape in reading.unused():
        yield not_in_model(name, shape)
    for name, saved in reading.exchanged():
        yield exchanged_values.match(name, saved)


def _load(obj: Model, path: str) -> tuple[list[str], Reading]:
    """Loads weights; returns Keras's warnings of what it skipped, and what it read.

    The warnings name each layer by its representation.
    """
    with (
        warnings.catch_warnings(record=True) as caught,
        keras_reading.recorded(obj) as reading,
    ):
        warnings.simplefilter("always")
        matching.read(path, lambda: obj.load_weights(path, skip_mismatch=True))
    messages = [str(warning.message) for warning in caught]
    return [
        message for message in messages if _SKIPPED.search(message)
    ], reading


def _reasons(skipped: Sequence[str]) -> dict[str, str]:
    """Returns the reasons in warnings, by the representation of a layer."""
    reasons = {}
    for warning in skipped:
        for found in _REASON.finditer(warning):
            reasons[found["layer"]] = found["reason"].strip()
    return reasons


def _idf_match(layer: Layer, is_skipped: bool, reason: str | None) -> Match:
    name = f"{layer.name}/idf_weights"
    if not is_skipped:
        return Match(name)
    return Match(
        name, f"does not restore {name}: {reason or 'Keras skips its layer'}"
    )


def _variables(layer: Layer) -> list[Variable]:
    # The legacy tf_keras also lists the objects that save vocabularies.
    return [variable for variable in layer.variables if is_variable(variable)]


def own_variables(layer: Layer) -> list[Variable]:
    """Returns the variables of a layer that are not those of layers inside it."""
    inner: set[int] = set()
    for sublayer in layer._flatten_layers(include_self=False):
        inner.update(map(id, sublayer.variables))
    return [
        variable for variable in _variables(layer) if id(variable) not in inner
    ]


def _in_file(
    shapes: Mapping[int, Mapping[str, Shape]],
    layer: Layer,
    count: int,
) -> list[Shape | None] | None:
    """Returns the shapes that a file has for a layer, by position; None if it has none."""
    found = shapes.get(id(layer))
    if not found:
        return None
    return [found.get(str(index)) for index in range(count)]


def _problems(
    variables: Sequence[Variable],
    in_file: Sequence[Shape | None] | None,
    reason: str | None,
) -> Iterator[Match]:
    """Yields a match for each variable of a skipped layer, with why it has no value.

    Args:
        variables: The variables of the layer.
        in_file: The shape of each in the file; None if the file has nothing for the layer.
        reason: Why Keras skipped the layer, if it says so.
    """
    if in_file is None:
        shapes: Sequence[Shape | None] = [None] * len(variables)
    else:
        shapes = in_file
    fits = [_fits(*pair) for pair in zip(variables, shapes, strict=True)]
    # If a shape does not fit, that is the reason.
    is_unexplained = in_file is None or all(fits)
    why = f": {reason}" if reason and is_unexplained else ""
    for variable, shape, fit in zip(variables, shapes, fits, strict=True):
        name = name_of(variable)
        if shape is None:
            yield absent(name, variable, why)
        elif fit:
            form = f"{name} {shape_text(variable.shape)}"
            reason = why or ": Keras skips its whole layer"
            yield Match(name, f"does not restore {form}{reason}")
        else:
            yield other_shape(name, variable, shape)


def _fits(variable: Variable, shape: Shape | None) -> bool:
    return shape is not None and list(shape) == list(variable.shape)
