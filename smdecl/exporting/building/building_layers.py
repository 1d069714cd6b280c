"""Creates the variables of Keras models that create them on their first call."""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

from smdecl.config.settings import Signature
from smdecl.exporting import user_code
from smdecl.exporting.live_objects import keras_models
from smdecl.exporting.restoring import keras_hooks, keras_state
from smdecl.exporting.signatures import input_shapes
from smdecl.exporting.signatures.arguments import (
    arguments,
    problems,
    type_spec,
)
from smdecl.exporting.signatures.parameters import find_method
from smdecl.exporting.types import GenericFunction, Method, Trackable
from smdecl.isolation import reports


def build_layers(obj: Trackable, signatures: Mapping[str, Signature]) -> None:
    """Traces unbuilt Keras layers once by the declared specs, so that their variables exist.

    Weights can only be restored into existing variables. Calling the model with an example instead
    would fix its batch size.

    Raises:
        ModelError: If the model's code fails.
    """
    for key, signature in signatures.items():
        if _is_built(obj):
            return
        method = find_method(obj, signature.method)
        if method is None or not _accepts(method, signature):
            continue
        path = ("signatures", key)
        doing = f"calling {signature.method}"
        reports.running(path, doing)
        try:
            _trace_once(obj, method, signature)
        except user_code.FAILURES as error:
            raise input_shapes.failure(
                path, signature.inputs, doing, error
            ) from error


def _is_built(obj: Trackable) -> bool:
    if keras_models.is_model(obj):
        return bool(obj.built)
    return all(layer.built for layer in keras_state.layers_of(obj))


def _trace_once(obj: Trackable, method: Method, signature: Signature) -> None:
    positional, keywords = arguments(method, signature.inputs or {}, type_spec)
    try:
        _wrapped(method).get_concrete_function(*positional, **keywords)
    except Exception:
        if not keras_hooks.rederive(obj):
            raise
        _wrapped(method).get_concrete_function(*positional, **keywords)
    keras_hooks.rederive(obj)


def _wrapped(method: Method) -> GenericFunction:
    """Wraps a method in a new `tf.function`.

    The method's own `tf.function` gets no trace here, because its variables do not exist yet.
    """
    own_specs = getattr(method, "input_signature", None)
    is_function = isinstance(method, tf.types.experimental.GenericFunction)
    return tf.function(
        method, input_signature=own_specs, autograph=not is_function
    )


def _accepts(method: Method, signature: Signature) -> bool:
    """Returns whether a method accepts the declared inputs; if not, tracing reports it."""
    if signature.inputs is None:
        return getattr(method, "input_signature", None) is not None
    return not problems((), "", method, signature.inputs)
