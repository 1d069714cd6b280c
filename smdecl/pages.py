"""Renders what a SavedModel is, as text, as JSON, and as a page that stands alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

from rich.filesize import decimal

from smdecl import schema
from smdecl.compatibility import call
from smdecl.manifest import plain
from smdecl.records import DescriptionRecord, TensorRecord, printable
from smdecl.rendering import tensor


def text(directory: Path, found: DescriptionRecord) -> str:
    """Returns a line for each thing that there is, by what it is."""
    return "".join(f"{printable(line)}\n" for line in _lines(directory, found))


def _lines(directory: Path, found: DescriptionRecord) -> Iterator[str]:
    model = found.saved_model
    yield f"{directory}: {', '.join(_summary(found))}"
    for key, signature in model.signatures.items():
        yield f"signature {key}: {found.methods[key]}"
        yield from (f"  input  {name}: {_tensor(record)}" for name, record in signature.inputs.items())
        yield from (f"  output {name}: {_tensor(record)}" for name, record in signature.outputs.items())
    for name, function in model.functions.items():
        yield f"function {name}({function.arguments if function.arguments is not None else '...'})"
        yield from (f"  {call(trace)}" for trace in function.traces)
    for stored in found.stored:
        yield f"variable {stored.name}: {tensor(stored.dtype, stored.shape)}, {decimal(stored.size)}"
    yield from (f"asset {name}" for name in model.assets)
    yield from (f"device {name}" for name in model.devices)
    yield from (f"op {name}: {count}" for name, count in model.ops.items())
    yield from (f"file {name}: {decimal(size)}" for name, size in found.files.items())


def _summary(found: DescriptionRecord) -> Iterator[str]:
    if found.release is not None:
        yield f"release {found.release.name} {found.release.digest[:12]} by smdecl {found.release.smdecl}"
    yield f"saved by TensorFlow {found.tensorflow or '?'}"
    yield f"tags {' '.join(found.saved_model.tags) or '-'}"
    yield from (f"another graph with tags {' '.join(tags) or '-'}" for tags in found.other_graphs)
    yield f"variables of {decimal(sum(stored.size for stored in found.stored))}"
    yield f"files of {decimal(sum(found.files.values()))}"


def _tensor(record: TensorRecord) -> str:
    return tensor(record.dtype, record.shape) + (f", by default {record.default}" if record.default is not None else "")


def to_json(_directory: Path, found: DescriptionRecord) -> str:
    """Returns the record as JSON."""
    record = plain(found)
    schema.require("saved_model", record["saved_model"])
    schema.require("description", record)
    return json.dumps(record, indent=2, ensure_ascii=False) + "\n"


def html(directory: Path, found: DescriptionRecord) -> str:
    """Returns a page that needs no other file and runs no script."""
    import jinja2

    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"bytes": decimal, "tensor": _tensor, "call": call, "printable": printable}
    template = resources.files("smdecl").joinpath("description.html").read_text(encoding="utf-8")
    model = found.saved_model
    return environment.from_string(template).render(
        directory=printable(str(directory)), found=found, model=model, summary=list(_summary(found))
    )


FORMATS = {"text": text, "json": to_json, "html": html}
