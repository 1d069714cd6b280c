"""Pairs the tensors of a signature with those of the same signature in a different SavedModel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from smdecl.savedmodel.records import Shape, SignatureRecord, TensorRecord


@dataclass(frozen=True)
class Pairs:
    """The names of a signature's tensors, each with its name in the other SavedModel.

    Attributes:
        inputs: All inputs.
        outputs: The outputs that both have.
        missing: The outputs that only the signature has.
    """

    inputs: dict[str, str]
    outputs: dict[str, str]
    missing: tuple[str, ...] = ()


def pair(own: SignatureRecord, other: SignatureRecord | None) -> Pairs | str:
    """Pairs tensors by name, or a single one with a single one; returns why it cannot.

    Keras names tensors by counters, so a single tensor of the same model may have two names.

    Args:
        own: The signature.
        other: The signature of the same key; None if there is none.
    """
    if other is None:
        return "it has no such signature"
    inputs = _paired(own.inputs, other.inputs)
    fits = all(
        _fits(own.inputs[name], other.inputs[name_there])
        for name, name_there in inputs.items()
    )
    if not fits or not len(inputs) == len(own.inputs) == len(other.inputs):
        return f"its inputs are {_forms(other.inputs)}; expected {_forms(own.inputs)}"
    outputs = _paired(own.outputs, other.outputs)
    # A session has no tensor for a composite.
    is_dense = all(tensor.kind is None for tensor in other.outputs.values())
    if not outputs or not is_dense:
        expected = _forms(own.outputs)
        return f"its outputs are {_forms(other.outputs)}; expected {expected}"
    missing = sorted(own.outputs.keys() - outputs.keys())
    return Pairs(inputs, outputs, tuple(missing))


def _paired(
    own: Mapping[str, TensorRecord], other: Mapping[str, TensorRecord]
) -> dict[str, str]:
    if len(own) == len(other) == 1:
        return dict(zip(own, other, strict=True))
    return {name: name for name in own if name in other}


def _fits(own: TensorRecord, other: TensorRecord) -> bool:
    """Returns whether some tensor is valid for both inputs."""
    if own.kind is not None or other.kind is not None:
        return False
    return own.dtype == other.dtype and is_compatible(own.shape, other.shape)


def is_compatible(one: Shape, other: Shape) -> bool:
    """Returns whether some tensor has both shapes."""
    if one is None or other is None:
        return True
    if len(one) != len(other):
        return False
    sizes = zip(one, other, strict=True)
    return all(None in pair or pair[0] == pair[1] for pair in sizes)


def _forms(tensors: Mapping[str, TensorRecord]) -> str:
    forms = [f"{name} {tensor}" for name, tensor in tensors.items()]
    return ", ".join(forms) or "none"
