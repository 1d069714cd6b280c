"""Finds the signature to save if a config declares none."""

from __future__ import annotations

from smdecl.config.settings import Signature
from smdecl.errors import ConfigError, Problem
from smdecl.exporting.building.build import Built
from smdecl.exporting.live_objects import keras_models
from smdecl.exporting.signatures.concrete_functions import traces
from smdecl.exporting.signatures.parameters import (
    find_method,
    graph_of,
    is_function,
)
from smdecl.names import DEFAULT_KEY


def find(built: Built) -> dict[str, Signature]:
    """Returns the object's own signature by its key; empty leaves the choice to TensorFlow.

    `tf.saved_model.save` documents two defaults: the only traced function of an object, and the
    forward pass of a functional or sequential Keras model.

    Raises:
        ConfigError: If the object is a Keras model whose inputs are unknown until it is called.
    """
    methods = {
        name: find_method(built.obj, name) for name in built.record.methods
    }
    with_specs = []
    functions = []
    for name, method in methods.items():
        if getattr(method, "input_signature", None) is not None:
            with_specs.append(name)
        if is_function(method):
            functions.append(name)
    if len(with_specs) == 1:
        return _default(with_specs[0])
    if not with_specs:
        # To list the traces of a function with specs would trace it, which its code may fail.
        traced = [
            name for name in functions if len(traces(methods[name])) == 1
        ]
        if len(traced) == 1:
            return _default(traced[0])
    if functions or not keras_models.is_model(built.obj):
        return {}
    if graph_of(built.obj) is None:
        message = (
            f"missing {DEFAULT_KEY} with the specs of its inputs: those of"
            f" {type(built.obj).__name__} are unknown until it is called"
        )
        raise ConfigError(Problem(("signatures",), message))
    return _default("__call__")


def _default(method: str) -> dict[str, Signature]:
    return {DEFAULT_KEY: Signature(method, None, None)}
