"""Finds the values of inputs that a request may omit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import tensorflow as tf

from smdecl.config.settings import Signature, Spec
from smdecl.exporting.signatures.parameters import (
    graph_of,
    named_arguments,
    own_parameters,
)
from smdecl.exporting.types import Method, Tensor
from smdecl.savedmodel import structured_value
from smdecl.savedmodel.protos import TensorProto
from smdecl.savedmodel.records import SignatureRecord, TensorRecord


def find(
    method: Method,
    signature: Signature,
    inputs: Mapping[str, TensorRecord],
) -> dict[str, Tensor]:
    """Returns the default of each input whose argument has a tensor as its default, by name.

    TensorFlow saves no other defaults either. A tensor that is not a value of its input is left
    out: requests must then have the input.

    Args:
        method: The method of the signature.
        signature: The declared signature.
        inputs: The traced inputs by name.
    """
    if graph_of(method) is not None:
        return {}
    names = _names(method, signature)
    found: dict[str, Tensor] = {}
    for parameter in own_parameters(method):
        name = names.get(parameter.name)
        default = parameter.default
        if name is None or name not in inputs:
            continue
        if not isinstance(default, tf.Tensor):
            continue
        if _fits(default, inputs[name]):
            found[name] = default
    return found


def proto(default: Tensor) -> TensorProto:
    """Returns a default as a SavedModel has it."""
    return tf.make_tensor_proto(default.numpy())


def described(
    record: SignatureRecord, defaults: Mapping[str, Tensor]
) -> SignatureRecord:
    """Returns the record of a signature with the defaults of its inputs."""
    inputs = dict(record.inputs)
    for name, default in defaults.items():
        text = structured_value.constant(proto(default))
        inputs[name] = replace(inputs[name], default=text)
    return replace(record, inputs=inputs)


def _names(method: Method, signature: Signature) -> dict[str, str]:
    """Returns the name that a client sends for each argument that is one tensor."""
    if signature.inputs is None:
        names = {one.name: one.name for one in own_parameters(method)}
        for name, argument in named_arguments(method).items():
            names[argument] = name
        return names
    return {
        argument: spec.name or argument
        for argument, spec in signature.inputs.items()
        if isinstance(spec, Spec)
    }


def _fits(default: Tensor, record: TensorRecord) -> bool:
    if default.dtype.name != record.dtype:
        return False
    return bool(default.shape.is_compatible_with(record.shape))
