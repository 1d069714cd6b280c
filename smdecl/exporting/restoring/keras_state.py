"""Reads the state of Keras layers, including vocabularies and bins, which are not variables.

A whole-model file holds all state. A file of weights holds what `save_own_variables` writes, and a
checkpoint holds only the variables.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

import numpy as np

from smdecl.exporting.live_objects import keras_models, objects
from smdecl.exporting.live_objects.tensors import is_variable
from smdecl.exporting.restoring.matching import Match
from smdecl.exporting.types import Layer, Trackable, Variable
from smdecl.savedmodel.comparing.array_distances import Array

Token: TypeAlias = str | int
"""A token of a vocabulary."""

_LACKING = {
    "vocabulary": (
        "it is built without one; expected weights of format keras, or a vocabulary in its"
        " constructor"
    ),
    "bin_boundaries": (
        "it is built without any; expected weights of format keras, or bin_boundaries in its"
        " constructor"
    ),
}


def layers_of(
    obj: Trackable,
    tracked: Iterable[Trackable] | None = None,
) -> list[Layer]:
    """Returns every Keras layer of an object, including itself, each once.

    Args:
        obj: The object.
        tracked: The objects that it tracks, if they are known already.
    """
    if keras_models.is_layer(obj):
        return list(obj._flatten_layers())
    everything = objects.tracked(obj) if tracked is None else tracked
    found: dict[int, Layer] = {}
    for item in everything:
        if keras_models.is_layer(item):
            found.update(
                (id(layer), layer) for layer in item._flatten_layers()
            )
    return list(found.values())


def variables_of(obj: Trackable) -> list[Variable]:
    """Returns the variables of every Keras layer of an object, without seed generator states."""
    variables: dict[int, Variable] = {}
    seeds: set[int] = set()
    for layer in layers_of(obj):
        variables.update((id(each), each) for each in layer.variables)
        generators = getattr(layer, "_seed_generators", ())
        seeds.update(id(generator.state) for generator in generators)
    return [
        variable
        for key, variable in variables.items()
        if is_variable(variable) and key not in seeds
    ]


def lookup_of(layer: Layer) -> Layer | None:
    """Returns the layer that holds the table of a lookup layer; None for other layers."""
    if keras_models.is_a(layer, "TextVectorization"):
        return layer._lookup_layer
    return (
        layer
        if keras_models.is_a(layer, "StringLookup", "IntegerLookup")
        else None
    )


def is_stateful(layer: Layer) -> bool:
    """Returns whether the constructor of a Keras layer accepts state, such as a vocabulary."""
    return keras_models.is_a(
        layer,
        "StringLookup",
        "IntegerLookup",
        "TextVectorization",
        "Discretization",
        "Normalization",
    )


def vocabulary_of(layer: Layer) -> list[Token] | None:
    """Returns the tokens of a lookup layer without special ones; None if it has none yet."""
    lookup = lookup_of(layer)
    if lookup is None or int(lookup.lookup_table.size()) == 0:
        return None
    return list(lookup.get_vocabulary(include_special_tokens=False))


def tokens_of(layer: Layer, vocabulary: Sequence[Token]) -> list[Token]:
    """Returns the tokens of a vocabulary without the special ones that it may begin with."""
    special = special_tokens(layer)
    has_special = list(vocabulary[: len(special)]) == special
    return list(vocabulary[len(special) :] if has_special else vocabulary)


def special_tokens(layer: Layer) -> list[Token]:
    """Returns the tokens of a lookup layer that stand for masked and unknown ones."""
    lookup: Layer = lookup_of(layer)
    masks = [lookup.mask_token] * int(lookup._oov_start_index())
    return [*masks, *[lookup.oov_token] * int(lookup.num_oov_indices)]


def has_idf(layer: Layer) -> bool:
    """Returns whether a layer holds idf weights, which are not among its `variables`."""
    lookup: Layer = lookup_of(layer)
    return lookup is layer and bool(lookup.output_mode == "tf_idf")


def idf_of(layer: Layer) -> Array | None:
    """Returns the idf weights of a lookup layer, including those of its special tokens.

    None means that it has none.
    """
    lookup: Layer = lookup_of(layer)
    if lookup.output_mode != "tf_idf" or vocabulary_of(layer) is None:
        return None
    return np.asarray(lookup.idf_weights_const)[: lookup.vocabulary_size()]


def bins_of(layer: Layer) -> list[float] | None:
    """Returns the boundaries of a Discretization; None if it has none yet."""
    if not keras_models.is_a(layer, "Discretization"):
        return None
    boundaries = layer.bin_boundaries
    if boundaries is None or len(boundaries) == 0:
        return None
    return [float(boundary) for boundary in boundaries]


def lacking(layers: Sequence[Layer]) -> Iterator[Match]:
    """Yields the vocabularies and bins that layers need but do not have."""
    for layer in _lookups(layers):
        if vocabulary_of(layer) is None:
            yield _lacking(layer, "vocabulary")
    for layer in layers:
        has_bins = keras_models.is_a(layer, "Discretization")
        if has_bins and bins_of(layer) is None:
            yield _lacking(layer, "bin_boundaries")


def _lacking(layer: Layer, part: str) -> Match:
    name = f"{layer.name}/{part}"
    return Match(name, f"has no value for {name}: {_LACKING[part]}")


def kept_vocabularies(layers: Sequence[Layer]) -> Iterator[Match]:
    """Yields the vocabularies that constructors gave, for a format that holds none."""
    for layer in _lookups(layers):
        if vocabulary_of(layer) is not None:
            yield Match(f"{layer.name}/vocabulary", is_kept=True)


def _lookups(layers: Sequence[Layer]) -> list[Layer]:
    """Returns the lookup layers, without those inside a TextVectorization."""
    found = []
    inner: set[int] = set()
    for layer in layers:
        lookup = lookup_of(layer)
        if lookup is not None:
            found.append(layer)
        if lookup is not None and lookup is not layer:
            inner.add(id(lookup))
    return [layer for layer in found if id(layer) not in inner]
