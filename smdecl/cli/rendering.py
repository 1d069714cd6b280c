"""Renders records as text for people."""

from __future__ import annotations

from collections.abc import Mapping

from smdecl import schema
from smdecl.config.settings import Signature, Spec, input_names, parts
from smdecl.pipeline.outcomes import Verified
from smdecl.pipeline.records import Plan
from smdecl.printing import as_json
from smdecl.savedmodel.plain import plain
from smdecl.savedmodel.records import DiffRecord, TensorRecord
from smdecl.tensor_texts import tensor_text


def plan(planned: Plan) -> str:
    """Returns the object and the signatures that an export would save, a line each."""
    lines = [planned.obj.class_name]
    for variable in planned.obj.variables:
        lines.append(
            f"  variable {variable.name}: {tensor_text(variable.dtype, variable.shape)}"
        )
    for key, signature in planned.signatures.items():
        inputs, outputs = _declared(planned.declared.get(key))
        api = f": {signature.method_name}" if signature.method_name is not None else ""
        lines.append(f"signature {key}{api}")
        lines += [f"  input  {line}" for line in _tensors(signature.inputs, inputs)]
        lines += [f"  output {line}" for line in _tensors(signature.outputs, outputs)]
    lines += [
        f"function {name}: signature {key}" for name, key in planned.functions.items()
    ]
    if not planned.signatures:
        lines.append(
            "no signatures declared: TensorFlow exports its one traced function, if there is just one"
        )
    return "\n".join(lines) + "\n"


def verified(found: Verified) -> str:
    """Returns a line on a release that is as it was made."""
    examples = sum(found.examples.values())
    ran = (
        f"{examples} examples with the loaders {', '.join(found.loaders)}"
        if examples
        else "no example to run"
    )
    unchecked = (
        ", the signature not checked (--key PUBLIC.pem checks it)"
        if found.is_signed
        else ""
    )
    signature = (
        unchecked if found.key is None else f", signed with the key of {found.key}"
    )
    return f"{found.path}: {len(found.files)} files as they were made, {ran}{signature}"


def diff_text(found: DiffRecord) -> str:
    """Returns a line for each change, what breaks a caller first, and one on all of them."""
    lines = [f"{change.verdict:8}  {change}" for change in found.changes]
    return "\n".join([*lines, f"{found.verdict}: {_ADVICE[found.advice]}"]) + "\n"


def diff_json(found: DiffRecord) -> str:
    """Returns the record as JSON."""
    record = plain(found)
    schema.require("diff", record)
    return as_json(record)


_ADVICE = {
    "none": "the two serve the same bytes",
    "patch": "no caller has to change; raise the patch of a semantic version",
    "minor": "callers can do more; raise the minor of a semantic version",
    "major": "callers have to change; raise the major of a semantic version",
}
DIFF = {"text": diff_text, "json": diff_json}


def _declared(signature: Signature | None) -> tuple[dict[str, Spec], dict[str, Spec]]:
    """Returns what is declared of the tensors that a client sends and gets, by their names."""
    if signature is None:
        return {}, {}
    inputs = [
        (str(name), spec) for _, name, spec in input_names(signature.inputs or {})
    ]
    outputs = [
        (spec.name or own, spec) for own, spec in (signature.outputs or {}).items()
    ]
    sent, got = (
        {k: part for name, spec in each for k, part in parts(name, spec).items()}
        for each in (inputs, outputs)
    )
    return sent, got


def _tensors(
    tensors: Mapping[str, TensorRecord], declared: Mapping[str, Spec]
) -> list[str]:
    # A declared shape is the one that was traced, but for the names of its dims.
    shapes = {
        name: declared[name].shape if name in declared else record.shape
        for name, record in tensors.items()
    }
    records = sorted(tensors.items())
    return [
        f"{name}: {tensor_text(record.dtype, shapes[name])}" for name, record in records
    ]
