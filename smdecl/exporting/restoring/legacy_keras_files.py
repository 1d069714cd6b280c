"""Restores the state in legacy .keras files that is not in variables, such as vocabularies.

A file holds vocabularies as assets, or as text in its config. Only data is read: nothing in the
config is deserialised.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py

from smdecl.exporting import patches
from smdecl.exporting.restoring import keras_copy, keras_state, matching
from smdecl.exporting.restoring.keras_state import Token
from smdecl.exporting.restoring.matching import Match
from smdecl.exporting.types import Layer, Model


@dataclass(frozen=True)
class _SavedLayer:
    """A layer in the config of a file.

    Attributes:
        kind: The name of its class.
        name: The name of the layer.
        config: The arguments of its constructor.
    """

    kind: str
    name: str
    config: Mapping[str, Any]


def load_state(obj: Model, path: str) -> Iterator[Match]:
    """Restores the state of layers beside their variables and yields a match for each."""
    if zipfile.is_zipfile(path):
        matches = matching.read(path, _load_assets, obj, path)
        yield from {match.name: match for match in matches}.values()
    saved = matching.read(path, lambda: list(_layers_in(_config_of(path))))
    layers = [
        layer
        for layer in keras_state.layers_of(obj)
        if keras_state.is_stateful(layer)
    ]
    kinds = {type(layer).__name__ for layer in layers}
    others = [layer for layer in saved if layer.kind in kinds]
    for layer, found in keras_copy.paired(layers, others):
        config = {} if found is None else found.config
        vocabulary = config.get("vocabulary")
        has_lookup = keras_state.lookup_of(layer) is not None
        if has_lookup and isinstance(vocabulary, list):
            tokens = keras_state.tokens_of(layer, vocabulary)
            yield from keras_copy.copy_vocabulary(layer, tokens, None)
        for part in ("mean", "variance", "bin_boundaries"):
            yield from keras_copy.compare(
                layer, f"input_{part}", config.get(part)
            )


def _load_assets(obj: Model, path: str) -> list[Match]:
    """Restores vocabularies from the assets in an archive.

    tf_keras itself walks the model, as it does when it loads one, and calls `load_assets` of each
    layer with its directory.
    """
    matches: list[Match] = []

    def load_assets(layer: Layer, directory: str | None) -> None:
        tokens = _read_vocabulary(layer, directory)
        if tokens is not None:
            matches.extend(_copy_tokens(layer, tokens))

    lookups = [
        layer
        for layer in keras_state.layers_of(obj)
        if keras_state.lookup_of(layer) is layer
    ]
    kinds = [type(layer) for layer in lookups]
    with ExitStack() as stack:
        for kind in dict.fromkeys(kinds):
            stack.enter_context(
                patches.attribute_set(kind, "load_assets", load_assets)
            )
        _walk_assets(obj, path)
    return matches


def _read_vocabulary(
    layer: Layer, directory: str | None
) -> list[Token] | None:
    """Returns the tokens in the directory of a lookup layer; None if it has none."""
    if directory is None:
        return None
    file = Path(directory, "vocabulary.txt")
    if not file.is_file():
        return None
    lines = file.read_text(encoding="utf-8").split("\n")
    if layer.vocabulary_dtype == "string":
        return list(lines)
    return [int(line) for line in lines]


def _copy_tokens(layer: Layer, tokens: list[Token]) -> Iterator[Match]:
    # load_weights has restored the idf weights of all tokens, special ones included.
    idf_weights = getattr(layer, "idf_weights_const", None)
    if idf_weights is not None:
        idf_weights = idf_weights.numpy()[: len(tokens)]
    vocabulary = keras_state.tokens_of(layer, tokens)
    return keras_copy.copy_vocabulary(layer, vocabulary, idf_weights)


def _walk_assets(obj: Model, path: str) -> None:
    """Lets tf_keras call `load_assets` of each layer with its directory in an archive."""
    from tf_keras.src.saving import saving_lib

    assets = saving_lib._ASSETS_DIRNAME
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        if not any(name.startswith(f"{assets}/") for name in names):
            return
        store = saving_lib.DiskIOStore(assets, archive=archive, mode="r")
        try:
            saving_lib._load_state(
                obj,
                weights_store=None,
                assets_store=store,
                inner_path="",
                visited_trackables=set(),
            )
        finally:
            store.close()


def _config_of(path: str) -> object:
    """Returns the config in a file as plain data."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            return json.loads(archive.read("config.json"))
    with h5py.File(path) as file:
        return json.loads(file.attrs.get("model_config", "null"))


def _layers_in(value: object) -> Iterator[_SavedLayer]:
    """Yields everything in the config of a model that has a config and a name."""
    if isinstance(value, dict):
        config = value.get("config")
        if isinstance(config, dict) and "name" in config:
            yield _SavedLayer(
                value.get("class_name", ""), config["name"], config
            )
        for item in value.values():
            yield from _layers_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from _layers_in(item)
