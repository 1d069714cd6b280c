"""Compares signatures with what is declared of them, and with each other; knows no TensorFlow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from smdecl.config.settings import Signature, Spec, input_names, parts
from smdecl.errors import ContractError, KeyPath, Problem, nearest
from smdecl.names import PREDICT
from smdecl.savedmodel.records import SavedModelRecord, SignatureRecord, TensorRecord
from smdecl.tensor_texts import Dim, tensor_text


def require_same(
    declared: Mapping[str, Signature],
    traced: Mapping[str, SignatureRecord],
    saved: SavedModelRecord,
) -> None:
    """Compares what was saved with what was declared and traced.

    Raises:
        ContractError: With every difference.
    """
    problems: list[Problem] = []
    for key, signature in declared.items():
        path = ("signatures", key)
        if key not in saved.signatures:
            problems.append(
                Problem(path, "is declared, but the SavedModel does not have it")
            )
            continue
        found = saved.signatures[key]
        problems += compare_inputs(path, signature, found.inputs)
        problems += compare_outputs(path, signature, found.outputs, refined=True)
        problems += compare_signatures(path, traced[key], found)
    problems += [
        Problem(
            ("signatures",),
            f"the SavedModel has the signature {key!r}, which is not declared",
        )
        for key in saved.signatures
        if declared and key not in declared
    ]
    if problems:
        raise ContractError(problems)


def compare_outputs(
    path: KeyPath,
    signature: Signature,
    outputs: Mapping[str, TensorRecord],
    refined: bool = False,
) -> Iterator[Problem]:
    """Yields where outputs are not the declared ones; a declaration of None declares nothing.

    Args:
        path: Of the signature.
        signature: As declared.
        outputs: As traced or saved.
        refined: Whether more may be known of a shape than is declared, as the saved bytes know of some ops.
    """
    if signature.outputs is not None:
        declared = [
            ((key,), spec.name or key, spec) for key, spec in signature.outputs.items()
        ]
        yield from _compare((*path, "outputs"), declared, outputs, "output", refined)


def compare_inputs(
    path: KeyPath, signature: Signature, inputs: Mapping[str, TensorRecord]
) -> Iterator[Problem]:
    """Yields where inputs are not the declared ones."""
    if signature.inputs is not None:
        declared = [
            (place, str(name), spec)
            for place, name, spec in input_names(signature.inputs)
        ]
        yield from _compare((*path, "inputs"), declared, inputs, "input")


def compare_signatures(
    path: KeyPath, expected: SignatureRecord, found: SignatureRecord
) -> Iterator[Problem]:
    """Yields where a signature as it was read back is not the one that was traced."""
    for kind, before, after in (
        ("inputs", expected.inputs, found.inputs),
        ("outputs", expected.outputs, found.outputs),
    ):
        if set(before) != set(after) or not all(
            _refines(before[name], after[name]) for name in before
        ):
            yield Problem(
                (*path, kind), f"traced as {_show(before)} but saved as {_show(after)}"
            )
    if expected.method_name != found.method_name:
        names = [record.method_name or PREDICT for record in (expected, found)]
        yield Problem(
            (*path, "method_name"), f"traced as {names[0]} but saved as {names[1]}"
        )


def _recorded(spec: Spec) -> TensorRecord:
    sizes = (
        None
        if spec.shape is None
        else tuple(None if isinstance(dim, str) else dim for dim in spec.shape)
    )
    return TensorRecord(spec.dtype, sizes)


def _refines(before: TensorRecord, after: TensorRecord) -> bool:
    """Tells whether a tensor is what it was, of which TensorFlow may know more of the shape than before."""
    if before.dtype != after.dtype or (
        before.shape is not None and after.shape is None
    ):
        return False
    if before.shape is None or after.shape is None:
        return True
    return len(before.shape) == len(after.shape) and all(
        size is None or size == other
        for size, other in zip(before.shape, after.shape, strict=True)
    )


def _compare(
    path: KeyPath,
    declared: Sequence[tuple[KeyPath, str, Spec]],
    found: Mapping[str, TensorRecord],
    what: str,
    refined: bool = False,
) -> Iterator[Problem]:
    tensors = {
        name: (place, part)
        for place, whole, spec in declared
        for name, part in parts(whole, spec).items()
    }
    for name, (place, spec) in tensors.items():
        if name not in found:
            has = ", ".join(found) or "none"
            yield Problem(
                (*path, *place),
                f"no {what} {name!r}; the signature has {has}{nearest(name, found)}",
            )
        elif not (refined and _refines(_recorded(spec), found[name])) and (
            difference := differs(spec, found[name])
        ):
            yield Problem((*path, *place), difference)
    for name, tensor in found.items():
        if name not in tensors:
            yield Problem(
                path,
                f"does not declare the {what} {name!r}, {_form(tensor)}, that the signature has",
            )


def differs(spec: Spec, tensor: TensorRecord) -> str | None:
    """Says how a tensor is not as declared, or returns None where it is."""
    if spec.dtype == tensor.dtype and _fits(spec.shape, tensor.shape):
        return None
    return f"declared {_form(spec)}, but it is {_form(tensor)}"


def _fits(
    declared: tuple[Dim, ...] | None, found: tuple[int | None, ...] | None
) -> bool:
    if declared is None or found is None:
        return declared is None and found is None
    sizes = tuple(None if isinstance(dim, str) else dim for dim in declared)
    return sizes == found


def disagreeing_dims(
    specs: Mapping[str, Spec], shapes: Mapping[str, tuple[int, ...]]
) -> Iterator[str]:
    """Yields where named dims differ between actual tensors, such as a batch of 3 in and of 1 out."""
    sizes: dict[str, tuple[str, int]] = {}
    for name, spec in specs.items():
        for dim, size in zip(spec.shape or (), shapes.get(name, ()), strict=False):
            if isinstance(dim, str):
                first, known = sizes.setdefault(dim, (name, size))
                if known != size:
                    yield f"dim {dim!r} is {known} in {first} and {size} in {name}"


def _form(tensor: Spec | TensorRecord) -> str:
    return tensor_text(tensor.dtype, tensor.shape)


def _show(tensors: Mapping[str, TensorRecord]) -> str:
    return (
        "{"
        + ", ".join(
            f"{name}: {_form(tensor)}" for name, tensor in sorted(tensors.items())
        )
        + "}"
    )
