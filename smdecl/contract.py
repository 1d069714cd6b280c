"""Compares signatures with what is declared of them, and with each other; knows no TensorFlow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from smdecl.config import Dim, Signature, Spec, input_names
from smdecl.errors import KeyPath, Problem, nearest
from smdecl.records import SignatureRecord, TensorRecord


def compare_outputs(path: KeyPath, signature: Signature, outputs: Mapping[str, TensorRecord]) -> Iterator[Problem]:
    """Yields where outputs are not the declared ones; a declaration of None declares nothing."""
    if signature.outputs is None:
        return
    yield from _compare_names((*path, "outputs"), signature.outputs, outputs, "output")
    for name, spec in signature.outputs.items():
        if name in outputs and (difference := differs(spec, outputs[name])):
            yield Problem((*path, "outputs", name), difference)


def compare_inputs(path: KeyPath, signature: Signature, inputs: Mapping[str, TensorRecord]) -> Iterator[Problem]:
    """Yields where inputs are not the declared dense ones; TensorFlow itself names the parts of the composite kinds."""
    if signature.inputs is None:
        return
    declared = {name: spec for _, name, spec in input_names(signature.inputs) if name is not None}
    dense = {name: spec for name, spec in declared.items() if spec.kind == "dense"}
    if dense == declared:
        yield from _compare_names((*path, "inputs"), dense, inputs, "input")
    for place, name, spec in input_names(signature.inputs):
        if name is not None and name in inputs and name in dense and (difference := differs(spec, inputs[name])):
            yield Problem((*path, "inputs", *place), difference)


def compare_signatures(path: KeyPath, expected: SignatureRecord, found: SignatureRecord) -> Iterator[Problem]:
    """Yields where a signature as it was read back is not the one that was traced."""
    for kind, before, after in (
        ("inputs", expected.inputs, found.inputs),
        ("outputs", expected.outputs, found.outputs),
    ):
        if before != after:
            yield Problem((*path, kind), f"traced as {_show(before)} but saved as {_show(after)}")


def _compare_names(
    path: KeyPath, declared: Mapping[str, Spec], found: Mapping[str, TensorRecord], what: str
) -> Iterator[Problem]:
    for name in declared:
        if name not in found:
            has = ", ".join(found) or "none"
            yield Problem((*path, name), f"no {what} {name!r}; the signature has {has}{nearest(name, found)}")
    for name, tensor in found.items():
        if name not in declared:
            yield Problem(path, f"does not declare the {what} {name!r}, {_form(tensor)}, that the signature has")


def differs(spec: Spec, tensor: TensorRecord) -> str | None:
    """Says how a tensor is not as declared, or returns None where it is."""
    if spec.dtype == tensor.dtype and _fits(spec.shape, tensor.shape):
        return None
    return f"declared {_form(spec)}, but it is {_form(tensor)}"


def _fits(declared: tuple[Dim, ...] | None, found: tuple[int | None, ...] | None) -> bool:
    if declared is None or found is None:
        return declared is None and found is None
    sizes = tuple(None if isinstance(dim, str) else dim for dim in declared)
    return sizes == found


def disagreeing_dims(specs: Mapping[str, Spec], shapes: Mapping[str, tuple[int, ...]]) -> Iterator[str]:
    """Yields where named dims differ between actual tensors, such as a batch of 3 in and of 1 out."""
    sizes: dict[str, tuple[str, int]] = {}
    for name, spec in specs.items():
        for dim, size in zip(spec.shape or (), shapes.get(name, ()), strict=False):
            if isinstance(dim, str):
                first, known = sizes.setdefault(dim, (name, size))
                if known != size:
                    yield f"dim {dim!r} is {known} in {first} and {size} in {name}"


def _form(tensor: Spec | TensorRecord) -> str:
    return f"{tensor.dtype} of {_shape(tensor.shape)}"


def _shape(shape: tuple[Dim, ...] | None) -> str:
    if shape is None:
        return "unknown rank"
    return "shape [" + ", ".join("null" if dim is None else str(dim) for dim in shape) + "]"


def _show(tensors: Mapping[str, TensorRecord]) -> str:
    return "{" + ", ".join(f"{name}: {_form(tensor)}" for name, tensor in sorted(tensors.items())) + "}"
