"""Copies the state of Keras layers beside their variables from one model to another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from smdecl.exporting import user_code
from smdecl.exporting.live_objects import keras_models
from smdecl.exporting.restoring import keras_hooks, keras_state
from smdecl.exporting.restoring.keras_state import Token
from smdecl.exporting.restoring.matching import Match
from smdecl.exporting.types import Layer, Model
from smdecl.savedmodel.comparing.array_distances import Array

_SHOWN = 3  # values in a message


def copy(source: Layer, layer: Layer, path: str) -> Iterator[Match]:
    """Copies the state of a layer that is in neither variables nor assets to a similar layer.

    Yields:
        A match for each state that was copied, or could not be.
    """
    if _has_table(layer):
        yield from copy_table(source, layer)
    elif keras_hooks.has_own_variable_hooks(layer):
        keras_hooks.copy_own_variables(source, layer, path)
    else:
        keras_hooks.finalize_layer(layer, path)
    for part in ("input_mean", "input_variance"):
        yield from compare(layer, part, getattr(source, part, None))


def _has_table(layer: Layer) -> bool:
    is_lookup = keras_state.lookup_of(layer) is not None
    return is_lookup or keras_models.is_a(layer, "Discretization")


def copy_table(source: Layer, layer: Layer) -> Iterator[Match]:
    """Copies the vocabulary or the bins of a layer; other layers have no table."""
    if keras_state.lookup_of(layer) is not None:
        vocabulary = keras_state.vocabulary_of(source)
        yield from copy_vocabulary(
            layer, vocabulary, keras_state.idf_of(source)
        )
    elif keras_models.is_a(layer, "Discretization"):
        yield from _copy_bins(layer, keras_state.bins_of(source))


def copy_vocabulary(
    layer: Layer,
    vocabulary: Sequence[Token] | None,
    idf_weights: Array | None,
) -> Iterator[Match]:
    """Sets the vocabulary of a lookup layer if it has none yet.

    A vocabulary from its constructor is the config's choice and must be the same.

    Args:
        layer: A layer of the model.
        vocabulary: The tokens in the file, without special ones; None if it has none.
        idf_weights: The weights of all tokens, including special ones; None if it has none.
    """
    if vocabulary is None:
        return
    name = f"{layer.name}/vocabulary"
    own = keras_state.vocabulary_of(layer)
    if own is not None and own != list(vocabulary):
        message = (
            f"{_differs(name, own, vocabulary)}; expected the same, or a model that is built"
            " without one"
        )
        yield Match(name, message)
        return
    problem = None
    if own is None or idf_weights is not None:
        problem = _set_vocabulary(layer, vocabulary, idf_weights)
    yield Match(name, problem)


def _set_vocabulary(
    layer: Layer,
    vocabulary: Sequence[Token],
    idf_weights: Array | None,
) -> str | None:
    """Sets the vocabulary of a lookup layer; returns why that failed."""
    lookup: Layer = keras_state.lookup_of(layer)
    arguments: list[Sequence[Token] | Array] = [
        [*keras_state.special_tokens(layer), *vocabulary]
    ]
    if idf_weights is not None:
        arguments.append(idf_weights)
    try:
        lookup.set_vocabulary(*arguments)
    except Exception as error:
        # It has more than max_tokens, or a different dtype.
        name = f"{layer.name}/vocabulary"
        return f"cannot restore {name}: {user_code.summary(error)}"
    return None


def _copy_bins(
    layer: Layer, boundaries: Sequence[float] | None
) -> Iterator[Match]:
    """Sets the boundaries of a Discretization if it has none yet."""
    if boundaries is None:
        return
    if keras_state.bins_of(layer) is None:
        layer.bin_boundaries = list(boundaries)
        yield Match(f"{layer.name}/bin_boundaries")
    else:
        yield from compare(layer, "bin_boundaries", boundaries)


def compare(
    layer: Layer, part: str, value: npt.ArrayLike | None
) -> Iterator[Match]:
    """Yields a match if the numbers in a constructor differ from those in the file.

    They are the config's choice and must be the same.
    """
    own = getattr(layer, part, None)
    if own is None or value is None:
        return
    if not np.array_equal(np.asarray(own), np.asarray(value)):
        name = f"{layer.name}/{part}"
        difference = _differs(
            name, np.ravel(own).tolist(), np.ravel(value).tolist()
        )
        yield Match(name, f"{difference}; expected the same")


def _differs(name: str, own: Sequence[object], found: Sequence[object]) -> str:
    return f"{name} is {_shown(own)} in the model and {_shown(found)} in the weights"


def _shown(values: Sequence[object]) -> str:
    plain = np.asarray(values[:_SHOWN]).tolist()
    texts = [repr(value) for value in plain]
    if len(values) > _SHOWN:
        texts.append("...")
    return f"[{', '.join(texts)}]"


def pairs(model: Model, source: Model) -> Iterator[tuple[Layer, Layer | None]]:
    """Yields the layers of a model, including itself, each with its equivalent in `source`.

    None means that there is none.
    """
    pending: list[tuple[Layer, Layer | None]] = [(model, source)]
    seen: set[int] = set()
    while pending:
        own, other = pending.pop(0)
        if id(own) in seen:
            continue
        seen.add(id(own))
        yield own, other
        pending += paired(_children(own), _children(other))


def _children(layer: Layer | None) -> list[Layer]:
    # A TextVectorization copies the state of the lookup layer inside it.
    if layer is None or keras_state.lookup_of(layer) is not None:
        return []
    return list(layer._flatten_layers(recursive=False, include_self=False))


class Named(Protocol):
    """A layer, or the config of one in a file."""

    @property
    def name(self) -> str:
        """The name of the layer."""


NamedT = TypeVar("NamedT", bound=Named)


def paired(
    layers: Sequence[Layer],
    others: Sequence[NamedT],
) -> list[tuple[Layer, NamedT | None]]:
    """Returns layers, each with the one that has its name.

    If all names differ only because they number the same classes, the order decides.

    Args:
        layers: The layers of the model.
        others: The layers in a file. If they are configs, `kind` is the name of their class.
    """
    by_name = {other.name: other for other in others}
    same_names = {layer.name for layer in layers} == {*by_name}
    kinds = [getattr(other, "kind", type(other).__name__) for other in others]
    if not same_names and kinds == [type(layer).__name__ for layer in layers]:
        return list(zip(layers, others, strict=True))
    return [(layer, by_name.get(layer.name)) for layer in layers]
