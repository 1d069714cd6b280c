"""Calls the hooks by which Keras layers save, load and derive state beside their variables."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf

from smdecl.config.frameworks import FRAMEWORKS
from smdecl.exporting.live_objects import keras_models
from smdecl.exporting.live_objects.tensors import is_variable
from smdecl.exporting.restoring import keras_state, matching
from smdecl.exporting.restoring.matching import Match
from smdecl.exporting.types import Layer, PythonValue, Trackable
from smdecl.savedmodel.comparing.array_distances import Array

_NOT_IN_CHECKPOINTS = (
    "a checkpoint holds only variables;"
    " expected weights of format keras or keras_weights"
)


def rederive(obj: Trackable) -> bool:
    """Derives the state of layers again, eagerly, if building them derived it in a graph.

    Keras 3 builds a subclass by a call in a temporary graph. A Normalization then holds tensors of
    that graph, which no later call can use.

    Returns:
        Whether there was any such state.
    """
    is_rederived = False
    for layer in keras_state.layers_of(obj):
        if _is_symbolic(getattr(layer, "mean", None)):
            layer.finalize_state()
            is_rederived = True
    return is_rederived


def _is_symbolic(value: PythonValue) -> bool:
    return isinstance(value, tf.Tensor) and tf.is_symbolic_tensor(value)


def finalize(obj: Trackable, path: str) -> Iterator[Match]:
    """Lets layers derive state from the variables that a checkpoint restored.

    Yields:
        A match for each state that the hooks of a layer save and that is not a variable.
    """
    for layer in keras_state.layers_of(obj):
        if has_own_variable_hooks(layer):
            yield from _reload(layer, path)
        else:
            finalize_layer(layer, path)


def finalize_layer(layer: Layer, path: str) -> None:
    """Lets a layer derive state from its variables, if it does so.

    Raises:
        ConfigError: If that fails on the values from `path`.
    """
    if _finalizes(layer):
        matching.read(path, layer.finalize_state)


def _finalizes(layer: Layer) -> bool:
    if keras_models.is_legacy_layer(layer):
        return bool(layer.built)
    lookup = keras_state.lookup_of(layer)
    if lookup is not None:
        # Without a vocabulary, the tokens counted by an unfinished adapt() would become one.
        has_vocabulary = keras_state.vocabulary_of(layer) is not None
        return has_vocabulary and bool(lookup.output_mode == "tf_idf")
    # A Discretization of Keras 3 derives its bins from state that is not a variable.
    is_discretization = keras_models.is_a(layer, "Discretization")
    return hasattr(layer, "finalize_state") and not is_discretization


def has_own_variable_hooks(layer: Layer) -> bool:
    """Returns whether the class of a layer overrides how Keras saves or loads its variables."""
    hooks = ("load_own_variables", "save_own_variables")
    return any(_is_custom(layer, hook) for hook in hooks)


def has_own_asset_hooks(layer: Layer) -> bool:
    """Returns whether the class of a layer overrides how Keras saves or loads its assets."""
    hooks = ("save_assets", "load_assets")
    return any(_is_custom(layer, hook) for hook in hooks)


def _is_custom(layer: Layer, hook: str) -> bool:
    """Returns whether a hook of a layer is not code of the framework."""
    own = getattr(type(layer), hook, None)
    return (
        own is not None and own.__module__.partition(".")[0] not in FRAMEWORKS
    )


def _reload(layer: Layer, path: str) -> Iterator[Match]:
    """Saves and loads the variables of a layer by its hooks, so that it derives its state."""
    store = matching.read(path, _saved, layer)
    rest = [np.asarray(each) for each in layer.variables if is_variable(each)]
    for key, value in store.items():
        index = _index_of(value, rest)
        if index is None:
            name = f"{layer.name}/{key}"
            message = f"has no value for {name}, which is not a variable; {_NOT_IN_CHECKPOINTS}"
            yield Match(name, message)
            return
        del rest[index]
    matching.read(path, layer.load_own_variables, store)


def _index_of(value: Array, arrays: list[Array]) -> int | None:
    for index, array in enumerate(arrays):
        if array.shape == value.shape and np.array_equal(array, value):
            return index
    return None


class _Store(dict[str, Array]):
    """The arrays that `save_own_variables` writes and `load_own_variables` reads."""

    def __setitem__(self, key: str, value: Array) -> None:
        super().__setitem__(key, np.asarray(value))


def _saved(layer: Layer) -> _Store:
    store = _Store()
    layer.save_own_variables(store)
    return store


def copy_own_variables(source: Layer, layer: Layer, path: str) -> None:
    """Copies the state of a layer to a similar one by their variable hooks.

    Raises:
        ModelError: If the hooks fail.
    """
    store = matching.read(path, _saved, source)
    matching.read(path, layer.load_own_variables, store)


def copy_assets(source: Layer, layer: Layer, path: str) -> None:
    """Copies the assets of a layer to a similar one by their hooks, if it overrides these.

    Raises:
        ModelError: If the hooks fail.
    """
    if has_own_asset_hooks(layer):
        matching.read(path, _copy_assets, source, layer)


def _copy_assets(source: Layer, layer: Layer) -> None:
    with tempfile.TemporaryDirectory() as directory:
        source.save_assets(directory)
        layer.load_assets(directory)


def missing_assets(obj: Trackable, path: str) -> Iterator[Match]:
    """Yields a match for each layer that saves assets, for a format that holds none."""
    for layer in keras_state.layers_of(obj):
        if not _is_custom(layer, "save_assets"):
            continue
        if matching.read(path, _saves_assets, layer):
            name = f"{layer.name}/assets"
            reason = "its layer saves files; expected weights of format keras"
            yield Match(name, f"has no value for {name}: {reason}")


def _saves_assets(layer: Layer) -> bool:
    with tempfile.TemporaryDirectory() as directory:
        layer.save_assets(directory)
        return any(Path(directory).iterdir())
