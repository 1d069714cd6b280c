"""Stage 5, save: writes the object and its signatures by `tf.saved_model.save`, and makes the bytes repeatable."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.core.protobuf import fingerprint_pb2

from smdecl import building, tracking, usercode
from smdecl.building import Built
from smdecl.errors import ConfigError, ModelError, Problem, PublishError, disk_errors
from smdecl.specs import find_method
from smdecl.tracing import Traced

_SHARDING = "experimental_sharding_callback"


def save(built: Built, traced: Mapping[str, Traced], options: Mapping[str, Any], directory: Path) -> None:
    """Writes a SavedModel into `directory`, which exists and is empty.

    Raises:
        ConfigError: Where an option is not one of the installed TensorFlow, or names no function of the object.
        ModelError: Where TensorFlow cannot save the object: a signature uses what nothing tracks, or a variable has no
            value.
    """
    tracking.require_initialized(built.obj)
    functions = {key: signature.function for key, signature in traced.items()}
    save_options = _save_options(built.obj, options)
    try:
        used = {id(resource) for function in functions.values() for resource in function.captured_inputs}
        with _keras_as_documented(used), disk_errors(directory):
            # None leaves the choice of a signature to TensorFlow's own search; an empty mapping would export none.
            tf.saved_model.save(built.obj, str(directory), signatures=functions or None, options=save_options)
    except PublishError:
        raise
    except Exception as error:  # what user code, the object graph and the file system raise here is of many types
        if problems := tracking.untracked(built.obj, traced):
            raise ModelError(problems) from error
        raise usercode.failure(("model",), "saving", error) from error
    _settle_fingerprint(directory)


@contextlib.contextmanager
def _keras_as_documented(used: set[int]) -> Iterator[None]:
    """Makes a Keras 3 variable one variable of the export, tracked where signatures use it, and traced once.

    Keras shows TensorFlow no state of the random numbers that layers draw, so that what draws them cannot be saved;
    `used` has the identities of the resources that signatures capture. And every model, and model in a model, would be
    traced once more for a signature of Keras's own that nobody asked for.

    Keras maps each of its variables to a copy of what the functions read. The checkpoint then goes into the copy, and
    where the graph is all that is loaded, in TensorFlow Serving, the functions read what nobody has initialised:
    "Could not find variable" (tensorflow/serving issue 2250). `tf.saved_model.load` does not notice.
    """
    kind = getattr(tf.keras, "Variable", None)
    if not hasattr(kind, "_export_to_saved_model_graph"):  # the legacy tf_keras has TensorFlow's own variables
        yield
        return

    def export(variable: Any, object_map: Any, tensor_map: Any, options: Any, **keywords: Any) -> Any:
        resources = variable.value._export_to_saved_model_graph(object_map, tensor_map, options, **keywords)
        object_map[variable] = object_map[variable.value]
        return resources

    layer = tf.keras.layers.Layer
    own_children = layer._trackable_children

    def children(self: Any, save_type: str = "checkpoint", **keywords: Any) -> dict[str, Any]:
        found: dict[str, Any] = own_children(self, save_type, **keywords)
        for index, generator in enumerate(getattr(self, "_seed_generators", ())):
            if id(generator.state.value.handle) in used:
                found.setdefault(f"seed_generator_{index}", generator.state)
        return found

    with (
        _set(kind, "_export_to_saved_model_graph", export),
        _set(layer, "_default_save_signature", None),
        _set(layer, "_trackable_children", children),
    ):
        yield


@contextlib.contextmanager
def _set(kind: Any, name: str, value: Any) -> Iterator[None]:
    """Sets an attribute of a class for a while."""
    own = vars(kind).get(name)
    setattr(kind, name, value)
    try:
        yield
    finally:
        if own is None:
            delattr(kind, name)
        else:
            setattr(kind, name, own)


def _save_options(obj: Any, options: Mapping[str, Any]) -> Any:
    defaults = tf.saved_model.SaveOptions()
    # A field at its default is not given, so that an older TensorFlow that lacks it takes the rest.
    given = {
        name: value for name, value in options.items() if value is not None and value != getattr(defaults, name, False)
    }
    if (node := given.get(_SHARDING)) is not None:
        given[_SHARDING] = building.instantiate(node, ("options", _SHARDING))
    if "function_aliases" in given:
        given["function_aliases"] = _aliases(obj, given["function_aliases"])
    unknown = [name for name in given if not hasattr(defaults, name)]
    if unknown:
        takes = f"TensorFlow {tf.__version__}, which is installed, does not have it; takes its default"
        raise ConfigError([Problem(("options", name), takes) for name in unknown])
    try:
        return tf.saved_model.SaveOptions(**given)
    except (TypeError, ValueError) as error:
        raise ConfigError(Problem(("options",), f"are refused by TensorFlow: {error}")) from error


def _aliases(obj: Any, aliases: Mapping[str, str]) -> dict[str, Any]:
    found = {alias: find_method(obj, path) for alias, path in aliases.items()}
    problems = [
        Problem(("options", "function_aliases", alias), f"{aliases[alias]!r} is no tf.function of {type(obj).__name__}")
        for alias, function in found.items()
        if not isinstance(function, tf.types.experimental.GenericFunction)
    ]
    if problems:
        raise ConfigError(problems)
    return found


def _settle_fingerprint(directory: Path) -> None:
    """Replaces the random part of fingerprint.pb, its uuid, by one made from what was saved."""
    path = directory / "fingerprint.pb"
    # Where fingerprinting is off there is none; before TensorFlow 2.17 it had no uuid.
    if not path.is_file() or "uuid" not in fingerprint_pb2.FingerprintDef.DESCRIPTOR.fields_by_name:
        return
    fingerprint = fingerprint_pb2.FingerprintDef.FromString(path.read_bytes())
    saved = hashlib.sha256((directory / "saved_model.pb").read_bytes())
    index = directory / "variables" / "variables.index"
    saved.update(index.read_bytes() if index.is_file() else b"")
    fingerprint.uuid = str(int.from_bytes(saved.digest()[:8], "big"))
    path.write_bytes(fingerprint.SerializeToString(deterministic=True))
