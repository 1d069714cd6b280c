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
    """Returns a line for the object, each variable and each signature that would be saved."""
    lines = [planned.obj.class_name]
    for variable in planned.variables:
        lines.append(
            f"  variable {variable.name}: {tensor_text(variable.dtype, variable.shape)}"
        )
    for key, signature in planned.signatures.items():
        inputs, outputs = _declared(planned.declared.get(key))
        api = (
            f": {signature.method_name}"
            if signature.method_name is not None
            else ""
        )
        lines.append(f"signature {key}{api}")
        lines += [
            f"  input  {line}" for line in _tensors(signature.inputs, inputs)
        ]
        lines += [
            f"  output {line}" for line in _tensors(signature.outputs, outputs)
        ]
    lines += [
        f"function {name}: signature {key}"
        for name, key in planned.functions.items()
    ]
    if not planned.signatures:
        lines.append(
            "no signatures declared: TensorFlow exports the traced function if there is only one"
        )
    return "\n".join(lines) + "\n"


def verified(found: Verified) -> str:
    """Returns a line about a release that passed verification."""
    facts = [f"{_counted(len(found.files), 'file')} unchanged"]
    examples = sum(found.examples.values())
    if examples:
        loaders = ", ".join(found.loaders)
        noun = "loader" if len(found.loaders) == 1 else "loaders"
        facts.append(
            f"{_counted(examples, 'example')} with the {noun} {loaders}"
        )
    else:
        facts.append("no example to run")
    if found.key is not None:
        facts.append(f"signed with the key of {found.key}")
    elif found.is_signed:
        facts.append("the signature not checked (--key PUBLIC.pem checks it)")
    return f"{found.path}: {', '.join(facts)}"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def diff_text(found: DiffRecord) -> str:
    """Returns a line for each change, breaking ones first, and a line with the verdict."""
    lines = [f"{change.verdict:8}  {change}" for change in found.changes]
    return (
        "\n".join([*lines, f"{found.verdict}: {_ADVICE[found.advice]}"]) + "\n"
    )


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


def _declared(
    signature: Signature | None,
) -> tuple[dict[str, Spec], dict[str, Spec]]:
    """Returns the declared inputs and outputs of a signature, by the names that a client uses."""
    inputs: dict[str, Spec] = {}
    outputs: dict[str, Spec] = {}
    if signature is not None:
        for _, name, spec in input_names(signature.inputs or {}):
            inputs.update(parts(str(name), spec))
        for own_name, spec in (signature.outputs or {}).items():
            outputs.update(parts(spec.name or own_name, spec))
    return inputs, outputs


def _tensors(
    tensors: Mapping[str, TensorRecord], declared: Mapping[str, Spec]
) -> list[str]:
    lines = []
    for name, record in sorted(tensors.items()):
        # The declared shape is the traced one, with names for its dims.
        shape = declared[name].shape if name in declared else record.shape
        notes = [] if record.default is None else [f"default {record.default}"]
        lines.append(
            f"{name}: {tensor_text(record.dtype, shape, notes=notes)}"
        )
    return lines
