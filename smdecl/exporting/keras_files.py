"""Restores the files of Keras: whole models (.keras) and weights (.weights.h5)."""

from __future__ import annotations

import json
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType
from typing import Any

import h5py

from smdecl.checks.weights_formats import FORMATS
from smdecl.config.settings import Weights
from smdecl.errors import ConfigError, Problem
from smdecl.exporting import keras_errors, keras_models, keras_state, matching
from smdecl.exporting.matching import (
    PATH,
    Match,
    Outcome,
    name_of,
    no_value,
    other_shape,
)
from smdecl.exporting.tensors import is_variable
from smdecl.tensor_texts import shape_text


def restore_weights(obj: Any, weights: Weights) -> Outcome:
    """Restores a .weights.h5 into a Keras model by `Model.load_weights`, and so by the hooks of its layers."""
    _require_keras(obj, weights)
    matches = list(_load_weights(obj, weights.path))
    matches += keras_state.uncarried_assets(obj, weights.path)
    matches += keras_state.kept_vocabularies(keras_state.layers_of(obj))
    return Outcome([*matches, *_finish(obj, weights.path)])


def restore_model(obj: Any, weights: Weights) -> Outcome:
    """Restores the state of the model in a .keras file into a Keras model.

    Keras 3 loads the file in its safe mode, and its state is copied by the hooks of the layers. The legacy tf_keras
    imports whatever module a file names: of its files only data is read.
    """
    _require_keras(obj, weights)
    if keras_models.is_legacy(obj):
        matches = list(_load_weights(obj, weights.path))
        matches += _load_legacy_state(obj, weights.path)
        return Outcome([*matches, *_finish(obj, weights.path)])
    if not zipfile.is_zipfile(weights.path):
        message = f"{weights.path!r} is HDF5, which is read under that name for models of the legacy tf_keras alone"
        raise ConfigError(Problem(PATH, f"{message}; takes a .keras file of Keras 3"))
    source = matching.read(weights.path, lambda: _load_model(obj, weights.path))
    matches = [*_copy_variables(source, obj), *_copy_state(source, obj, weights.path)]
    told = {match.name for match in matches}
    matches += (
        match
        for match in keras_state.lacking(keras_state.layers_of(obj))
        if match.name not in told
    )
    is_like = type(source) is type(obj) and not any(match.problem for match in matches)
    return Outcome(matches, source if is_like else None)


def _load_model(obj: Any, path: str) -> Any:
    """Loads the model in a file by the classes and functions that the object itself is made of.

    Keras finds none of them by its module, because the file is mere data.
    """
    models = keras_models.package_of(obj).models
    try:
        return models.load_model(
            path, custom_objects=_own_objects(obj), compile=False, safe_mode=True
        )
    except Exception as error:
        if unknown := keras_errors.unknown(error):
            what = f"the {unknown.kind} {unknown.name!r}, which no layer of {type(obj).__name__} uses"
            raise ConfigError(
                Problem(
                    PATH, f"{path!r} holds {what}; expected a file of the same model"
                )
            ) from error
        if keras_errors.holds_code(error):
            expected = "expected weights of format keras_weights, which hold no code"
            raise ConfigError(
                Problem(PATH, f"{path!r} holds {keras_errors.CODE}; {expected}")
            ) from error
        raise


def _own_objects(obj: Any) -> dict[str, Any]:
    """Returns the classes of the layers, and the functions and other objects of the project that they have."""
    found: dict[str, Any] = {}
    for layer in obj._flatten_layers():
        found[type(layer).__name__] = type(layer)
        for value in vars(layer).values():
            used = value if isinstance(value, FunctionType) else type(value)
            is_kerass = used.__module__.partition(".")[0] == "keras"
            if not is_kerass and (used is value or hasattr(value, "get_config")):
                found.setdefault(used.__name__, used)
    return found


def _require_keras(obj: Any, weights: Weights) -> None:
    if not keras_models.is_model(obj):
        others = " or ".join(row.name for row in FORMATS.values() if not row.is_keras)
        message = f"{weights.format} is for Keras models, and this is a {type(obj).__name__}; expected {others}"
        raise ConfigError(Problem(("weights", "format"), message))


def _finish(obj: Any, path: str) -> Iterator[Match]:
    if keras_models.is_legacy(obj):
        # Its Discretization derives its bins from a variable by finalize_state, which its load_weights does not call.
        for layer in keras_state.layers_of(obj):
            matching.read(path, layer.finalize_state)
    yield from keras_state.lacking(keras_state.layers_of(obj))


def _load_weights(obj: Any, path: str) -> Iterator[Match]:
    if not obj.built:
        obj.built = True  # by a method that is not its __call__; a layer that has no variables yet is a problem below
    # With skip_mismatch, Keras tells by a warning what it passes over, by the representation of each layer.
    with (
        warnings.catch_warnings(record=True) as caught,
        keras_models.shapes_in_file(obj) as shapes,
    ):
        warnings.simplefilter("always")
        matching.read(path, lambda: obj.load_weights(path, skip_mismatch=True))
    texts = [
        str(warning.message)
        for warning in caught
        if _PASSED_OVER.search(str(warning.message))
    ]
    reasons = {
        match["layer"]: match["reason"].strip()
        for text in texts
        for match in _REASON.finditer(text)
    }
    problems: dict[int, str] = {}
    for layer in obj._flatten_layers():
        is_passed_over = any(repr(layer) in text for text in texts)
        if keras_state.has_idf(layer):  # of the lookup layers, which list no variables
            name = f"{layer.name}/idf_weights"
            reason = reasons.get(repr(layer), "Keras passes over its layer")
            yield Match(
                name, f"does not restore {name}: {reason}" if is_passed_over else None
            )
        elif is_passed_over:
            own = _own_variables(layer)
            told = _passed_over(
                own, shapes.get(id(layer), {}), reasons.get(repr(layer))
            )
            problems.update(zip(map(id, own), told, strict=True))
    if texts and not problems:
        yield from (Match(None, " ".join(text.split())) for text in texts)
    yield from (
        Match(name_of(variable), problems.get(id(variable)))
        for variable in _variables(obj)
    )


def _variables(layer: Any) -> list[Any]:
    # The legacy tf_keras lists handlers of vocabularies among them.
    return [variable for variable in layer.variables if is_variable(variable)]


def _own_variables(layer: Any) -> list[Any]:
    within = {
        id(v)
        for sub in layer._flatten_layers(include_self=False)
        for v in sub.variables
    }
    return [variable for variable in _variables(layer) if id(variable) not in within]


def _passed_over(
    variables: list[Any], shapes: Mapping[str, Any], reason: str | None
) -> Iterator[str]:
    """Says of the variables of a layer why they have no value; `shapes` has those in the file, by position."""
    found = [shapes.get(str(index)) for index in range(len(variables))]
    fits = [
        shape is not None and list(shape) == list(v.shape)
        for shape, v in zip(found, variables, strict=True)
    ]
    why = f": {reason}" if reason and (all(fits) or not shapes) else ""
    for variable, shape, fit in zip(variables, found, fits, strict=True):
        name = name_of(variable)
        if shape is None:
            yield f"{no_value(name, variable)}{why}"
        elif fit:
            form = shape_text(variable.shape)
            yield f"does not restore {name} {form}{why or ': Keras takes a layer whole'}"
        else:
            yield other_shape(name, variable, shape)


# The words of Keras 3, and of the legacy tf_keras.
_PASSED_OVER = re.compile(
    r"could not be loaded|Could not load|Skipping (nested|loading)"
)
_REASON = re.compile(
    r"message for object (?P<layer><.+>):\s+(?P<reason>.+?)(\. Target variable|\n|$)"
)


def _copy_variables(source: Any, obj: Any) -> Iterator[Match]:
    """Copies values by path where both name the same ones, and else by position, if the shapes agree there."""
    values, variables = list(source.variables), list(obj.variables)
    paths = [_path_in(value, source) for value in values]
    same_paths = len(set(paths)) == len(paths) and set(paths) == {
        _path_in(variable, obj) for variable in variables
    }
    same_shapes = [tuple(value.shape) for value in values] == [
        tuple(variable.shape) for variable in variables
    ]
    if same_shapes and not same_paths:
        pairs = list(zip(variables, values, strict=True))
    else:
        # Positions shift where one of the two has a layer more, and a value of the right shape may be the wrong one.
        by_path: dict[str, list[Any]] = {}
        for value in values:
            by_path.setdefault(_path_in(value, source), []).append(value)
        found = [by_path.get(_path_in(variable, obj)) for variable in variables]
        pairs = [
            (variable, known.pop(0) if known else None)
            for variable, known in zip(variables, found, strict=True)
        ]
    for variable, value in pairs:
        name = name_of(variable)
        if value is None:
            yield Match(name, no_value(name, variable))
        elif tuple(value.shape) != tuple(variable.shape):
            yield Match(name, other_shape(name, variable, value.shape))
        else:
            variable.assign(value)
            yield Match(name)
    taken = {id(value) for _, value in pairs}
    for value in values:
        if id(value) not in taken:
            yield Match(
                None, f"{name_of(value)} {shape_text(value.shape)} is not in the model"
            )


def _path_in(variable: Any, model: Any) -> str:
    # What is given no name is numbered, so that two models of one class, and their generators, have two names.
    path = name_of(variable).removeprefix(f"{model.name}/")
    return re.sub(r"\bseed_generator_\d+/", "seed_generator/", path)


def _copy_state(source: Any, obj: Any, path: str) -> Iterator[Match]:
    """Copies what the layers keep beside their variables, from those whose variables have the same shapes."""
    for layer, other in keras_state.pairs(obj, source):
        if other is not None and _shapes(layer) == _shapes(other):
            yield from keras_state.copy(other, layer, path)


def _shapes(layer: Any) -> list[tuple[int, ...]]:
    return [tuple(variable.shape) for variable in _own_variables(layer)]


def _load_legacy_state(obj: Any, path: str) -> Iterator[Match]:
    """Restores what a legacy .keras holds beside variables: vocabularies as assets, or as text in its config."""
    if zipfile.is_zipfile(path):
        found = matching.read(path, lambda: _load_legacy_assets(obj, path))
        yield from {match.name: match for match in found}.values()
    saved = matching.read(
        path, lambda: [_Saved(**found) for found in _layers_in(_config_of(path))]
    )
    layers = [
        layer for layer in keras_state.layers_of(obj) if keras_state.is_stateful(layer)
    ]
    kinds = {type(layer).__name__ for layer in layers}
    for layer, found in keras_state.paired(
        layers, [one for one in saved if one.kind in kinds]
    ):
        config = {} if found is None else found.config
        if keras_state.lookup_of(layer) is not None and isinstance(
            config.get("vocabulary"), list
        ):
            vocabulary = keras_state.tokens_of(layer, config["vocabulary"])
            yield from keras_state.copy_vocabulary(layer, vocabulary, None)
        for part in ("mean", "variance", "bin_boundaries"):
            yield from keras_state.compare(layer, f"input_{part}", config.get(part))


@dataclass(frozen=True)
class _Saved:
    """A layer in the config of a file."""

    kind: str
    name: str
    config: dict[str, Any]


def _load_legacy_assets(obj: Any, path: str) -> list[Match]:
    """Calls `load_assets` of each layer with its directory in the archive, as tf_keras does when it loads a model."""
    from tf_keras.src.saving import saving_lib

    found: list[Match] = []

    def load_vocabulary(layer: Any, directory: str | None) -> None:
        file = Path(directory or "", "vocabulary.txt")
        if directory is None or not file.is_file():
            return
        lines = file.read_text(encoding="utf-8").split("\n")
        numbers = layer.vocabulary_dtype != "string"
        tokens = [int(line) for line in lines] if numbers else lines
        idf_weights = getattr(layer, "idf_weights_const", None)
        vocabulary = keras_state.tokens_of(layer, tokens)
        weights = None if idf_weights is None else idf_weights.numpy()[: len(tokens)]
        found.extend(keras_state.copy_vocabulary(layer, vocabulary, weights))

    lookups = [
        layer
        for layer in keras_state.layers_of(obj)
        if keras_state.lookup_of(layer) is layer
    ]
    kinds = [type(layer) for layer in lookups]
    with (
        zipfile.ZipFile(path) as archive,
        keras_models.replaced(kinds, "load_assets", load_vocabulary),
    ):
        if not any(
            name.startswith(f"{saving_lib._ASSETS_DIRNAME}/")
            for name in archive.namelist()
        ):
            return []
        store = saving_lib.DiskIOStore(
            saving_lib._ASSETS_DIRNAME, archive=archive, mode="r"
        )
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
    return found


def _config_of(path: str) -> Any:
    """Returns the config in a legacy file as plain data; nothing of it is deserialised."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            return json.loads(archive.read("config.json"))
    with h5py.File(path) as file:
        return json.loads(file.attrs.get("model_config", "null"))


def _layers_in(value: Any) -> Iterator[dict[str, Any]]:
    """Yields class, name and config of whatever has them in the config of a model."""
    if isinstance(value, dict):
        config = value.get("config")
        if isinstance(config, dict) and "name" in config:
            yield {
                "kind": value.get("class_name"),
                "name": config["name"],
                "config": config,
            }
        for item in value.values():
            yield from _layers_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from _layers_in(item)
