"""Restores the files of Keras: whole models (.keras) and weights (.weights.h5)."""

from __future__ import annotations

import re
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import FunctionType

from smdecl.config.settings import Weights
from smdecl.errors import ConfigError, Problem
from smdecl.exporting import keras_errors, keras_patches
from smdecl.exporting.live_objects import keras_models
from smdecl.exporting.restoring import (
    keras_copy,
    keras_hooks,
    keras_state,
    keras_weights,
    legacy_keras_files,
    matching,
)
from smdecl.exporting.restoring.matching import (
    PATH,
    Match,
    Outcome,
    absent,
    name_of,
    not_in_model,
    other_shape,
)
from smdecl.exporting.types import Model, PythonValue, Trackable, Variable

_NOT_BUILT = "Model .* had a build config, but the model cannot be built"
_SEED_NUMBER = re.compile(r"\bseed_generator_\d+/")


@dataclass(frozen=True)
class Loaded:
    """The model in a file, loaded by Keras.

    Attributes:
        model: The model.
        with_assets: Identities of the object's layers that have its assets already.
    """

    model: Model
    with_assets: frozenset[int] = frozenset()


def restore_weights(obj: Trackable, weights: Weights) -> Outcome:
    """Restores a .weights.h5 into a Keras model by `Model.load_weights`.

    That calls the hooks of the model's layers.
    """
    matches = list(keras_weights.load(obj, weights.path))
    matches += keras_hooks.missing_assets(obj, weights.path)
    matches += keras_state.kept_vocabularies(keras_state.layers_of(obj))
    matches += _finish(obj, weights.path)
    return Outcome(matches)


def restore_model(obj: Trackable, weights: Weights) -> Outcome:
    """Restores the state of the model in a .keras file into a Keras model.

    Keras 3 loads the file in its safe mode, and the hooks of layers copy its state. The legacy
    tf_keras imports any module that a file names, so only data is read from its files.
    """
    if keras_models.is_legacy(obj):
        matches = list(keras_weights.load(obj, weights.path))
        matches += legacy_keras_files.load_state(obj, weights.path)
        matches += _finish(obj, weights.path)
        return Outcome(matches)
    return restore_loaded(
        obj, weights, Loaded(_load_source(obj, weights.path))
    )


def restore_loaded(obj: Model, weights: Weights, loaded: Loaded) -> Outcome:
    """Restores the state of the model that was loaded from a file into a model of Keras 3."""
    source = loaded.model
    is_whole = not _has_unbuilt(source, obj)
    if is_whole:
        matches = list(_copy_variables(source, obj))
    else:
        matches = list(keras_weights.load(obj, weights.path))
    matches += _copy_state(loaded, obj, weights.path)
    names = {match.name for match in matches}
    for match in keras_state.lacking(keras_state.layers_of(obj)):
        if match.name not in names:
            matches.append(match)
    is_restored = not any(match.problem for match in matches)
    is_equivalent = is_restored and is_whole and type(source) is type(obj)
    return Outcome(matches, source if is_equivalent else None)


def restore_before_build(obj: Trackable, weights: Weights) -> Loaded | None:
    """Restores what the layers of an unbuilt model need for its first call, such as vocabularies.

    Returns:
        The model in the file, for `restore_loaded`, so that the hooks of its layers run once; None
        if it was not needed.

    Raises:
        ConfigError: If that is in the file, but does not fit.
        ModelError: If the model's own code fails on it.
    """
    if not keras_models.is_model(obj) or obj.built:
        return None
    layers = keras_state.layers_of(obj)
    lacking = {match.name for match in keras_state.lacking(layers)}
    if not lacking and not any(map(keras_hooks.has_own_asset_hooks, layers)):
        return None
    if keras_models.is_legacy(obj):
        # The full restore reports problems; idf weights it can restore only after the build.
        list(legacy_keras_files.load_state(obj, weights.path))
        return None
    source = _load_source(obj, weights.path)
    problems = []
    with_assets = []
    for layer, other in keras_copy.pairs(obj, source):
        if other is None:
            continue
        for match in keras_copy.copy_table(other, layer):
            if match.problem is not None and match.name in lacking:
                problems.append(Problem(PATH, match.problem))
        if not other.built:
            # Keras, too, loads the assets of such a layer before it is built.
            keras_hooks.copy_assets(other, layer, weights.path)
            with_assets.append(id(layer))
    if problems:
        raise ConfigError(problems)
    return Loaded(source, frozenset(with_assets))


def _finish(obj: Model, path: str) -> Iterator[Match]:
    """Derives the state that `load_weights` leaves out, and yields what is still missing."""
    if keras_models.is_legacy(obj):
        # Its Discretization derives bins from a variable, but load_weights does not make it do so.
        for layer in keras_state.layers_of(obj):
            matching.read(path, layer.finalize_state)
    yield from keras_state.lacking(keras_state.layers_of(obj))


def _load_source(obj: Model, path: str) -> Model:
    """Loads the model in a file of Keras 3."""
    if not zipfile.is_zipfile(path):
        message = (
            f"{path!r} is an HDF5 file, which only models of the legacy tf_keras can load;"
            " expected a .keras file of Keras 3"
        )
        raise ConfigError(Problem(PATH, message))
    return matching.read(path, _load_model, obj, path)


def _has_unbuilt(source: Model, obj: Model) -> bool:
    """Returns whether Keras left layers of the file's model without variables.

    It does so, with a warning, if it cannot call a subclass to build it.
    """
    for layer, other in keras_copy.pairs(obj, source):
        if other is None or keras_weights.own_variables(other):
            continue
        if keras_weights.own_variables(layer):
            return True
    return False


def _load_model(obj: Model, path: str) -> Model:
    """Loads the model in a file with the classes and functions that the object uses.

    Keras does not import their modules: the file is only data.
    """
    models = keras_models.package_of(obj).models
    try:
        with warnings.catch_warnings(), keras_patches.uncompiled():
            warnings.filterwarnings("ignore", _NOT_BUILT)  # smdecl builds it
            return models.load_model(
                path,
                custom_objects=_own_objects(obj),
                compile=False,
                safe_mode=True,
            )
    except Exception as error:  # Keras raises many types
        message = _reason(obj, error)
        if message is None:
            raise
        raise ConfigError(Problem(PATH, f"{path!r} {message}")) from error


def _reason(obj: Model, error: Exception) -> str | None:
    """Returns why a file cannot be loaded; None if the error itself says it best."""
    unknown = keras_errors.unknown(error)
    if unknown is not None:
        what = f"the {unknown.kind} {unknown.name!r}"
        kind = type(obj).__name__
        return f"holds {what}, which no layer of {kind} uses; expected a file of the same model"
    if keras_errors.holds_code(error):
        expected = (
            "expected weights of format keras_weights, which hold no code"
        )
        return f"holds {keras_errors.CODE}; {expected}"
    return None


def _own_objects(obj: Model) -> dict[str, PythonValue]:
    """Returns the classes of layers, and the project's functions and classes that they use."""
    found: dict[str, PythonValue] = {}
    for layer in obj._flatten_layers():
        found[type(layer).__name__] = type(layer)
        for value in vars(layer).values():
            is_function = isinstance(value, FunctionType)
            used = value if is_function else type(value)
            if used.__module__.partition(".")[0] == "keras":
                continue
            if is_function or hasattr(value, "get_config"):
                found.setdefault(used.__name__, used)
    return found


def _copy_variables(source: Model, obj: Model) -> Iterator[Match]:
    """Copies the values of variables and yields a match for each."""
    values = list(source.variables)
    pairs = _pairs(source, obj, values)
    for variable, value in pairs:
        name = name_of(variable)
        if value is None:
            yield absent(name, variable)
        elif tuple(value.shape) != tuple(variable.shape):
            yield other_shape(name, variable, value.shape)
        else:
            variable.assign(value)
            yield Match(name)
    used = {id(value) for _, value in pairs}
    for value in values:
        if id(value) not in used:
            yield not_in_model(name_of(value), value.shape)


def _pairs(
    source: Model,
    obj: Model,
    values: Sequence[Variable],
) -> list[tuple[Variable, Variable | None]]:
    """Returns the variables of a model, each with its equivalent in `source`.

    They are paired by path if both models have the same paths, and otherwise by position if all
    shapes agree.
    """
    variables = list(obj.variables)
    value_paths = [_path_in(value, source) for value in values]
    paths = [_path_in(variable, obj) for variable in variables]
    are_unique = len(set(value_paths)) == len(value_paths)
    same_paths = are_unique and set(value_paths) == set(paths)
    if not same_paths and _shapes(values) == _shapes(variables):
        return list(zip(variables, values, strict=True))
    # If one model has an extra layer, a value at the same position may be the wrong one even if its
    # shape is right.
    by_path: dict[str, list[Variable]] = {}
    for path, value in zip(value_paths, values, strict=True):
        by_path.setdefault(path, []).append(value)
    pairs: list[tuple[Variable, Variable | None]] = []
    for path, variable in zip(paths, variables, strict=True):
        found = by_path.get(path)
        pairs.append((variable, found.pop(0) if found else None))
    return pairs


def _path_in(variable: Variable, model: Model) -> str:
    # Keras numbers unnamed models and seed generators, so two of one class differ in name.
    path = name_of(variable).removeprefix(f"{model.name}/")
    return _SEED_NUMBER.sub("seed_generator/", path)


def _shapes(variables: Sequence[Variable]) -> list[tuple[int, ...]]:
    return [tuple(variable.shape) for variable in variables]


def _copy_state(loaded: Loaded, obj: Model, path: str) -> Iterator[Match]:
    """Copies state beside variables between layers whose variables have the same shapes."""
    for layer, other in keras_copy.pairs(obj, loaded.model):
        if other is None:
            continue
        own_shapes = _shapes(keras_weights.own_variables(layer))
        if own_shapes != _shapes(keras_weights.own_variables(other)):
            continue
        yield from keras_copy.copy(other, layer, path)
        if id(layer) not in loaded.with_assets:
            keras_hooks.copy_assets(other, layer, path)
