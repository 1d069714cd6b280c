"""What Keras layers keep beside their variables: vocabularies, bins, and what their own hooks save.

Variables alone do not restore it. A whole-model file holds all of it, a file of weights what `save_own_variables`
writes, a checkpoint the variables.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from smdecl.exporting import keras_models, matching, objects, user_code
from smdecl.exporting.matching import Match
from smdecl.exporting.tensors import is_variable

_FRAMEWORKS = ("tensorflow", "keras", "tf_keras")
_SHOWN = 3  # tokens of a vocabulary in a message
_LACKING = {
    "vocabulary": "it is built without one; expected weights of format keras, or a vocabulary in its constructor",
    "bin_boundaries": "it is built without any; expected weights of format keras, or bin_boundaries in its constructor",
}


def layers_of(obj: Any, tracked: Iterable[Any] | None = None) -> list[Any]:
    """Returns every Keras layer of an object, itself included, each once.

    Args:
        obj: The object.
        tracked: What it tracks, where that is known already.
    """
    if keras_models.is_layer(obj):
        return list(obj._flatten_layers())
    everything = objects.tracked(obj) if tracked is None else tracked
    found: dict[int, Any] = {}
    for item in everything:
        if keras_models.is_layer(item):
            found.update((id(layer), layer) for layer in item._flatten_layers())
    return list(found.values())


def variables_of(obj: Any) -> list[Any]:
    """Returns the variables of every Keras layer of an object, but for the states that layers draw by."""
    layers = layers_of(obj)
    drawn = {
        id(generator.state)
        for layer in layers
        for generator in getattr(layer, "_seed_generators", ())
    }
    variables = {
        id(variable): variable for layer in layers for variable in layer.variables
    }
    return [
        item
        for key, item in variables.items()
        if is_variable(item) and key not in drawn
    ]


def lookup_of(layer: Any) -> Any:
    """Returns the layer that holds the table of a lookup layer; None for any other layer."""
    if keras_models.is_a(layer, "TextVectorization"):
        return layer._lookup_layer
    return layer if keras_models.is_a(layer, "StringLookup", "IntegerLookup") else None


def is_stateful(layer: Any) -> bool:
    """Tells whether a constructor of Keras's own may give a layer state: a vocabulary, bins, a mean and variance."""
    return keras_models.is_a(
        layer,
        "StringLookup",
        "IntegerLookup",
        "TextVectorization",
        "Discretization",
        "Normalization",
    )


def vocabulary_of(layer: Any) -> list[Any] | None:
    """Returns the tokens of a lookup layer without its special ones; None where it has no vocabulary yet."""
    lookup = lookup_of(layer)
    if lookup is None or int(lookup.lookup_table.size()) == 0:
        return None
    return list(lookup.get_vocabulary(include_special_tokens=False))


def tokens_of(layer: Any, vocabulary: Sequence[Any]) -> list[Any]:
    """Returns the tokens of a vocabulary without the special ones that it may begin with."""
    special = _special(lookup_of(layer))
    has_special = list(vocabulary[: len(special)]) == special
    return list(vocabulary[len(special) :] if has_special else vocabulary)


def _special(lookup: Any) -> list[Any]:
    masks = [lookup.mask_token] * int(lookup._oov_start_index())
    return [*masks, *[lookup.oov_token] * int(lookup.num_oov_indices)]


def bins_of(layer: Any) -> list[float] | None:
    """Returns the boundaries of a Discretization; None where it has none yet."""
    found = layer.bin_boundaries if keras_models.is_a(layer, "Discretization") else None
    return (
        None
        if found is None or not len(found)
        else [float(boundary) for boundary in found]
    )


def lacking(layers: Sequence[Any]) -> Iterator[Match]:
    """Yields the vocabularies and bins that layers need and do not have, whatever was to give them."""
    for layer in _lookups(layers):
        if vocabulary_of(layer) is None:
            yield _lacking(layer, "vocabulary")
    for layer in layers:
        if keras_models.is_a(layer, "Discretization") and bins_of(layer) is None:
            yield _lacking(layer, "bin_boundaries")


def kept_vocabularies(layers: Sequence[Any]) -> Iterator[Match]:
    """Yields the vocabularies that constructors gave to layers, for a format whose weights hold none."""
    for layer in _lookups(layers):
        if vocabulary_of(layer) is not None:
            yield Match(f"{layer.name}/vocabulary", is_kept=True)


def _lookups(layers: Sequence[Any]) -> list[Any]:
    """Returns the lookup layers, without those that a TextVectorization holds."""
    lookups = [layer for layer in layers if lookup_of(layer) is not None]
    inner = {id(lookup_of(layer)) for layer in lookups if lookup_of(layer) is not layer}
    return [layer for layer in lookups if id(layer) not in inner]


def _lacking(layer: Any, part: str) -> Match:
    name = f"{layer.name}/{part}"
    return Match(name, f"has no value for {name}: {_LACKING[part]}", is_needed=True)


def rederive(obj: Any) -> bool:
    """Derives anew, eagerly, what layers derived in a graph as it built them; tells whether there was any.

    Keras 3 builds a subclass by a call in a scratch graph. A Normalization keeps tensors of that graph, by which no
    later call can compute.
    """
    stale = [
        layer for layer in layers_of(obj) if _is_symbolic(getattr(layer, "mean", None))
    ]
    for layer in stale:
        layer.finalize_state()
    return bool(stale)


def _is_symbolic(value: Any) -> bool:
    return isinstance(value, tf.Tensor) and tf.is_symbolic_tensor(value)


def finalize(obj: Any, path: str) -> Iterator[Match]:
    """Lets the layers compute what they derive from their variables, which a checkpoint has restored.

    Yields a match for each state that the hooks of a layer save, and that is none of its variables.
    """
    for layer in layers_of(obj):
        if _is_custom(layer, "load_own_variables") or _is_custom(
            layer, "save_own_variables"
        ):
            yield from _reload(layer, path)
        elif _finalizes(layer):
            matching.read(path, layer.finalize_state)


def _finalizes(layer: Any) -> bool:
    if keras_models.is_legacy_layer(layer):
        return bool(layer.built)
    if lookup_of(layer) is not None:
        # Tokens counted by an adapt() in progress would become a vocabulary.
        return (
            vocabulary_of(layer) is not None
            and lookup_of(layer).output_mode == "tf_idf"
        )
    # A Discretization of Keras 3 derives its bins from what is no variable.
    return hasattr(layer, "finalize_state") and not keras_models.is_a(
        layer, "Discretization"
    )


def _reload(layer: Any, path: str) -> Iterator[Match]:
    store = matching.read(path, _saved, layer)
    rest = [
        np.asarray(variable) for variable in layer.variables if is_variable(variable)
    ]
    for key, value in store.items():
        place = next(
            (index for index, variable in enumerate(rest) if _equal(variable, value)),
            None,
        )
        if place is None:
            name = f"{layer.name}/{key}"
            yield Match(
                name,
                f"has no value for {name}, which is no variable; {_NOT_IN_CHECKPOINTS}",
            )
            return
        del rest[place]
    matching.read(path, layer.load_own_variables, store)


_NOT_IN_CHECKPOINTS = "a checkpoint holds variables alone; expected weights of format keras or keras_weights"


def _equal(variable: Any, value: Any) -> bool:
    return bool(variable.shape == value.shape and np.array_equal(variable, value))


def _saved(layer: Any) -> _Store:
    store = _Store()
    layer.save_own_variables(store)
    return store


class _Store(dict[str, Any]):
    """What `save_own_variables` writes, and `load_own_variables` reads, as arrays."""

    def __setitem__(self, key: str, value: Any) -> None:
        super().__setitem__(key, np.asarray(value))


def uncarried_assets(obj: Any, path: str) -> Iterator[Match]:
    """Yields a match for each layer that saves assets, which neither a checkpoint nor a file of weights holds."""
    for layer in layers_of(obj):
        if _is_custom(layer, "save_assets") and matching.read(
            path, _asset_names, layer
        ):
            name = f"{layer.name}/assets"
            message = f"has no value for {name}: its layer saves files; expected weights of format keras"
            yield Match(name, message)


def _asset_names(layer: Any) -> list[str]:
    with tempfile.TemporaryDirectory() as directory:
        layer.save_assets(directory)
        return [file.name for file in Path(directory).iterdir()]


def copy(source: Any, layer: Any, path: str) -> Iterator[Match]:
    """Copies from a layer to one like it what their variables do not hold; yields what was copied and what was not."""
    if lookup_of(layer) is not None:
        yield from copy_vocabulary(layer, vocabulary_of(source), idf_of(source))
    elif keras_models.is_a(layer, "Discretization"):
        yield from copy_bins(layer, bins_of(source))
    elif _is_custom(layer, "load_own_variables") or _is_custom(
        layer, "save_own_variables"
    ):
        store = matching.read(path, _saved, source)
        matching.read(path, layer.load_own_variables, store)
    elif _finalizes(layer):
        matching.read(path, layer.finalize_state)
    if _is_custom(layer, "save_assets") or _is_custom(layer, "load_assets"):
        matching.read(path, _copy_assets, source, layer)
    for part in ("input_mean", "input_variance"):
        yield from compare(layer, part, getattr(source, part, None))


def _copy_assets(source: Any, layer: Any) -> None:
    with tempfile.TemporaryDirectory() as directory:
        source.save_assets(directory)
        layer.load_assets(directory)


def idf_of(layer: Any) -> Any:
    """Returns the idf weights of a lookup layer, those of its special tokens included; None where it has none."""
    lookup = lookup_of(layer)
    if lookup.output_mode != "tf_idf" or vocabulary_of(layer) is None:
        return None
    return np.asarray(lookup.idf_weights_const)[: lookup.vocabulary_size()]


def has_idf(layer: Any) -> bool:
    """Tells whether a layer is the lookup layer of some idf weights, which are none of its `variables`."""
    return lookup_of(layer) is layer and bool(layer.output_mode == "tf_idf")


def copy_vocabulary(
    layer: Any, vocabulary: Sequence[Any] | None, idf_weights: Any
) -> Iterator[Match]:
    """Gives a lookup layer the tokens of a file, where it has none yet.

    Args:
        layer: Of this model. A vocabulary that its constructor gave it is the config's own choice, and must agree.
        vocabulary: Without special tokens; None where the file has none.
        idf_weights: Of all its tokens, special ones included; None where it has none.
    """
    if vocabulary is None:
        return
    name, own = f"{layer.name}/vocabulary", vocabulary_of(layer)
    if own is not None and own != list(vocabulary):
        told = f"{_shown(own)} in the model and {_shown(vocabulary)} in the weights"
        yield Match(
            name,
            f"{name} is {told}; expected the same, or a model that is built without one",
            True,
        )
        return
    if own is None or idf_weights is not None:
        lookup = lookup_of(layer)
        whole = [*_special(lookup), *vocabulary]
        try:
            lookup.set_vocabulary(
                *([whole] if idf_weights is None else [whole, idf_weights])
            )
        except Exception as error:  # a vocabulary that max_tokens has no room for, or of a different dtype
            yield Match(name, f"cannot restore {name}: {user_code.summary(error)}")
            return
    yield Match(name)


def _shown(vocabulary: Sequence[Any]) -> str:
    tokens = ", ".join(
        repr(token) for token in np.asarray(vocabulary[:_SHOWN]).tolist()
    )
    return f"[{tokens}{', ...' if len(vocabulary) > _SHOWN else ''}]"


def copy_bins(layer: Any, boundaries: Sequence[float] | None) -> Iterator[Match]:
    """Gives a Discretization the boundaries of a file, where it has none yet."""
    if boundaries is None:
        return
    if bins_of(layer) is None:
        layer.bin_boundaries = list(boundaries)
        yield Match(f"{layer.name}/bin_boundaries")
    else:
        yield from compare(layer, "bin_boundaries", boundaries)


def compare(layer: Any, part: str, value: Any) -> Iterator[Match]:
    """Yields a match where the constructors of two layers were given different numbers: it is the config's choice."""
    own = getattr(layer, part, None)
    if own is None or value is None:
        return
    if not np.array_equal(np.asarray(own), np.asarray(value)):
        name = f"{layer.name}/{part}"
        told = f"{_shown(np.ravel(own).tolist())} in the model and {_shown(np.ravel(value).tolist())} in the weights"
        yield Match(name, f"{name} is {told}; expected the same", True)


def _is_custom(layer: Any, hook: str) -> bool:
    """Tells whether a hook of a layer is code of a model's own, or of another library."""
    own = getattr(type(layer), hook, None)
    return own is not None and own.__module__.partition(".")[0] not in _FRAMEWORKS


def pairs(model: Any, source: Any) -> Iterator[tuple[Any, Any]]:
    """Yields the layers of a model, itself included, each with the one of `source` in its place; None for none."""
    pending: list[tuple[Any, Any]] = [(model, source)]
    seen: set[int] = set()
    while pending:
        own, other = pending.pop(0)
        if id(own) in seen:
            continue
        seen.add(id(own))
        yield own, other
        pending += paired(_children(own), _children(other))


def _children(layer: Any) -> list[Any]:
    if (
        layer is None or lookup_of(layer) is not None
    ):  # a TextVectorization holds a lookup layer
        return []
    return list(layer._flatten_layers(recursive=False, include_self=False))


def paired(layers: Sequence[Any], others: Sequence[Any]) -> list[tuple[Any, Any]]:
    """Returns layers, each with the one of its name, or of its place where other names number the same classes.

    Args:
        layers: Of this model.
        others: Of a file: layers, or what has their `name` and, as `kind`, the name of their class.
    """
    by_name = {other.name: other for other in others}
    same_names = {layer.name for layer in layers} == {*by_name}
    kinds = [getattr(other, "kind", type(other).__name__) for other in others]
    if not same_names and kinds == [type(layer).__name__ for layer in layers]:
        return list(zip(layers, others, strict=True))
    return [(layer, by_name.get(layer.name)) for layer in layers]
