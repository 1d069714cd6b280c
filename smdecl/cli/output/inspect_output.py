"""Renders the description of a SavedModel: as text, JSON or a self-contained page."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from importlib import resources
from pathlib import Path

from rich.filesize import decimal

from smdecl import schema
from smdecl.names import ASSETS
from smdecl.printing import as_json, as_line
from smdecl.savedmodel.description_records import (
    DescriptionRecord,
    GraphRecord,
    StoredRecord,
)
from smdecl.savedmodel.plain import plain
from smdecl.tensor_texts import tensor_text


def text(directory: Path, found: DescriptionRecord) -> str:
    """Returns a line for each signature, function, variable, op, file and so on."""
    return "".join(f"{as_line(line)}\n" for line in _lines(directory, found))


def _lines(directory: Path, found: DescriptionRecord) -> Iterator[str]:
    yield f"{directory}: {', '.join(_summary(found))}"
    for message in found.damage:
        yield f"damaged: {message}"
    yield from _callable_lines(found)
    for stored in found.stored:
        facts = [_stored(stored), decimal(stored.size)]
        if stored.path != stored.name:
            facts.append(f"stored as {stored.path}")
        yield f"variable {stored.name}: {', '.join(facts)}"
    yield from _graph_lines(found, found.files)
    for graph in found.other_graphs:
        yield f"graph {_tags(graph)}: saved by TensorFlow {graph.tensorflow or '?'}"
        for line in _callable_lines(graph):
            yield f"  {line}"
        for line in _graph_lines(graph, found.files):
            yield f"  {line}"
    for name, size in found.files.items():
        yield f"file {name}: {decimal(size)}"


def _callable_lines(graph: GraphRecord) -> Iterator[str]:
    model = graph.saved_model
    for key, signature in model.signatures.items():
        yield f"signature {key}: {graph.methods[key] or 'no method name'}"
        tensors = graph.tensors[key]
        for name, record in signature.inputs.items():
            yield f"  input  {name}: {record}, {tensors.inputs[name]}"
        for name, record in signature.outputs.items():
            yield f"  output {name}: {record}, {tensors.outputs[name]}"
    for name, function in model.functions.items():
        arguments = "..." if function.arguments is None else function.arguments
        yield f"function {name}({arguments})"
        for trace in function.traces:
            yield f"  {trace}"


def _graph_lines(graph: GraphRecord, files: Collection[str]) -> Iterator[str]:
    model = graph.saved_model
    if graph.init_op is not None:
        yield f"init op {graph.init_op}"
    if graph.train_op is not None:
        yield f"train op {graph.train_op}"
    for name in model.assets:
        yield f"asset {_asset(name, files)}"
    for name in model.devices:
        yield f"device {name}"
    for name, count in model.ops.items():
        yield f"op {name}: {count}"


def _summary(found: DescriptionRecord) -> Iterator[str]:
    if found.release is not None:
        release = found.release
        yield f"release {release.name} {release.digest[:12]} by smdecl {release.smdecl}"
    yield f"saved by TensorFlow {found.tensorflow or '?'}"
    yield f"tags {_tags(found)}"
    for graph in found.other_graphs:
        yield f"further graph with tags {_tags(graph)}"
    variables = sum(stored.size for stored in found.stored)
    yield f"variables of {decimal(variables)}"
    yield f"files of {decimal(sum(found.files.values()))}"


def _asset(name: str, files: Collection[str]) -> str:
    return name if f"{ASSETS}/{name}" in files else f"{name}: no such file"


def _tags(graph: GraphRecord) -> str:
    return " ".join(graph.saved_model.tags) or "-"


def _stored(stored: StoredRecord) -> str:
    return tensor_text(stored.dtype, stored.shape)


def to_json(_directory: Path, found: DescriptionRecord) -> str:
    """Returns the record as JSON."""
    record = plain(found)
    for graph in (record, *record["other_graphs"]):
        schema.require("saved_model", graph["saved_model"])
    schema.require("description", record)
    return as_json(record)


def html(directory: Path, found: DescriptionRecord) -> str:
    """Returns an HTML page that needs no further file and runs no script."""
    import jinja2

    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "asset": _asset,
        "bytes": decimal,
        "printable": as_line,
        "stored": _stored,
        "tags": _tags,
    }
    file = resources.files("smdecl.cli").joinpath("description.html")
    template = environment.from_string(file.read_text(encoding="utf-8"))
    return template.render(
        directory=as_line(str(directory)),
        found=found,
        summary=list(_summary(found)),
    )


FORMATS = {"text": text, "json": to_json, "html": html}
