"""Renders records as text for people."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from smdecl.making import Plan
from smdecl.records import TensorRecord, VerificationRecord


def plan(planned: Plan) -> str:
    """Returns the object and the signatures that an export would save, a line each."""
    lines = [planned.obj.class_name]
    lines += [f"  variable {v.name}: {tensor(TensorRecord(v.dtype, v.shape))}" for v in planned.obj.variables]
    for key, signature in planned.signatures.items():
        lines.append(f"signature {key}")
        lines += [f"  input  {line}" for line in _tensors(signature.inputs)]
        lines += [f"  output {line}" for line in _tensors(signature.outputs)]
    if not planned.signatures:
        lines.append("no signatures declared: TensorFlow exports its one traced function, if there is just one")
    return "\n".join(lines) + "\n"


def verified(directory: Path, manifest: Mapping[str, Any], report: VerificationRecord) -> str:
    """Returns a line on a release that was found to be as it was made."""
    examples = sum(report.examples.values())
    ran = f"{examples} examples with the loaders {', '.join(report.loaders)}" if examples else "no example to run"
    return f"{directory}: {len(manifest['files'])} files as they were made, {ran}"


def _tensors(tensors: Mapping[str, TensorRecord]) -> list[str]:
    return [f"{name}: {tensor(record)}" for name, record in sorted(tensors.items())]


def tensor(record: TensorRecord) -> str:
    """Returns dtype and shape, such as `float32 [?, 4]`; an unknown rank is `[...]`."""
    if record.shape is None:
        return f"{record.dtype} [...]"
    return f"{record.dtype} [{', '.join('?' if size is None else str(size) for size in record.shape)}]"
