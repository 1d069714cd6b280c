"""Compares traced and saved signatures with the declared ones, without TensorFlow."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from smdecl.config.settings import Signature, Spec, input_names, parts
from smdecl.errors import ContractError, KeyPath, Problem, nearest
from smdecl.names import PREDICT
from smdecl.savedmodel.records import (
    SavedModelRecord,
    SignatureRecord,
    TensorRecord,
)
from smdecl.tensor_texts import Dim, tensor_text

Matches = Callable[[Spec, TensorRecord], bool]
"""Returns whether a tensor is as declared."""

Declared = tuple[KeyPath, str, Spec]
"""Where a tensor is declared, below the inputs or outputs; its name; its spec."""


def require_same(
    declared: Mapping[str, Signature],
    traced: Mapping[str, SignatureRecord],
    saved: SavedModelRecord,
) -> None:
    """Compares what was saved with what was declared and traced.

    Raises:
        ContractError: If anything differs; lists all differences.
    """
    problems: list[Problem] = []
    for key, signature in declared.items():
        path = ("signatures", key)
        found = saved.signatures.get(key)
        if found is None:
            problems.append(Problem(path, "missing in the SavedModel"))
            continue
        problems += _compare_inputs(path, signature, found.inputs)
        problems += _compare_saved_outputs(path, signature, found.outputs)
        problems += _compare_traced(path, traced[key], found)
    if declared:  # otherwise TensorFlow chose the signatures
        for key in saved.signatures:
            if key not in declared:
                message = f"undeclared signature {key!r} in the SavedModel"
                problems.append(Problem(("signatures",), message))
    if problems:
        raise ContractError(problems)


def compare_outputs(
    path: KeyPath, signature: Signature, outputs: Mapping[str, TensorRecord]
) -> Iterator[Problem]:
    """Yields where traced outputs differ from the declared ones, if any are declared.

    Args:
        path: The key of the signature.
        signature: The declared signature.
        outputs: The traced outputs by name.
    """
    declared = _declared_outputs(signature)
    if declared is not None:
        yield from _compare(
            (*path, "outputs"), declared, outputs, "output", _is_same
        )


def _compare_saved_outputs(
    path: KeyPath, signature: Signature, outputs: Mapping[str, TensorRecord]
) -> Iterator[Problem]:
    """Yields where saved outputs differ; TensorFlow may know more of a shape once it is saved."""
    declared = _declared_outputs(signature)
    if declared is not None:
        yield from _compare(
            (*path, "outputs"), declared, outputs, "output", _is_refinement
        )


def _declared_outputs(signature: Signature) -> list[Declared] | None:
    if signature.outputs is None:
        return None
    return [
        ((key,), spec.name or key, spec)
        for key, spec in signature.outputs.items()
    ]


def _compare_inputs(
    path: KeyPath, signature: Signature, inputs: Mapping[str, TensorRecord]
) -> Iterator[Problem]:
    if signature.inputs is None:
        return
    named = input_names(signature.inputs)
    declared = [(place, str(name), spec) for place, name, spec in named]
    yield from _compare((*path, "inputs"), declared, inputs, "input", _is_same)


def _compare(
    path: KeyPath,
    declared: Sequence[Declared],
    found: Mapping[str, TensorRecord],
    what: str,
    matches: Matches,
) -> Iterator[Problem]:
    tensors = {}
    for place, whole, spec in declared:
        for name, part in parts(whole, spec).items():
            tensors[name] = ((*path, *place), part)
    for name, (place, spec) in tensors.items():
        tensor = found.get(name)
        if tensor is None:
            known = ", ".join(found) or "none"
            message = f"unknown {what} {name!r}; the signature has {known}"
            yield Problem(place, f"{message}{nearest(name, found)}")
        elif not matches(spec, tensor):
            yield Problem(
                place, f"declared {_form(spec)}, got {_form(tensor)}"
            )
    for name, tensor in found.items():
        if name not in tensors:
            yield Problem(path, f"undeclared {what} {name!r}, {_form(tensor)}")


def _compare_traced(
    path: KeyPath, traced: SignatureRecord, saved: SignatureRecord
) -> Iterator[Problem]:
    """Yields where a signature in the SavedModel differs from the traced one."""
    for kind, before, after in (
        ("inputs", traced.inputs, saved.inputs),
        ("outputs", traced.outputs, saved.outputs),
    ):
        if not _all_refined(before, after):
            message = (
                f"traced as {_listed(before)} but saved as {_listed(after)}"
            )
            yield Problem((*path, kind), message)
    if traced.method_name != saved.method_name:
        before_name = traced.method_name or PREDICT
        after_name = saved.method_name or PREDICT
        message = f"traced as {before_name} but saved as {after_name}"
        yield Problem((*path, "method_name"), message)


def _all_refined(
    before: Mapping[str, TensorRecord], after: Mapping[str, TensorRecord]
) -> bool:
    if set(before) != set(after):
        return False
    return all(_refines(before[name], after[name]) for name in before)


def _is_same(spec: Spec, tensor: TensorRecord) -> bool:
    declared = _record(spec)
    return declared.dtype == tensor.dtype and declared.shape == tensor.shape


def _is_refinement(spec: Spec, tensor: TensorRecord) -> bool:
    return _refines(_record(spec), tensor)


def _record(spec: Spec) -> TensorRecord:
    if spec.shape is None:
        return TensorRecord(spec.dtype, None)
    return TensorRecord(spec.dtype, tuple(_size(dim) for dim in spec.shape))


def _size(dim: Dim) -> int | None:
    return None if isinstance(dim, str) else dim


def _refines(before: TensorRecord, after: TensorRecord) -> bool:
    """Returns whether `after` is the same tensor with at least as much known of its shape."""
    if before.dtype != after.dtype:
        return False
    if before.shape is None:
        return True
    if after.shape is None or len(before.shape) != len(after.shape):
        return False
    sizes = zip(before.shape, after.shape, strict=True)
    return all(size is None or size == other for size, other in sizes)


def _form(tensor: Spec | TensorRecord) -> str:
    return tensor_text(tensor.dtype, tensor.shape)


def _listed(tensors: Mapping[str, TensorRecord]) -> str:
    forms = [
        f"{name}: {_form(tensor)}" for name, tensor in sorted(tensors.items())
    ]
    return f"{{{', '.join(forms)}}}"
