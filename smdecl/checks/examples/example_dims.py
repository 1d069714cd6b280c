"""Compares the sizes of named dims within each example, as far as its arrays are known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeAlias

from smdecl.checks.examples import declared, example_file_rules, inline_values
from smdecl.checks.types import Problems, Specs
from smdecl.config import named_dims
from smdecl.config.project import Project
from smdecl.config.settings import Spec
from smdecl.config.types import Values
from smdecl.errors import KeyPath, Problem

_Tensors: TypeAlias = Iterator[tuple[str, Spec, tuple[int, ...]]]


def check(values: Values, project: Project) -> Problems:
    """Yields the named dims that differ between the inputs and outputs of an example."""
    specs = {
        "input": declared.inputs(values),
        "output": declared.outputs(values),
    }
    for key, examples in values["verify"]["examples"].items():
        own = {kind: known.get(key, {}) for kind, known in specs.items()}
        for index, example in enumerate(examples):
            path = ("verify", "examples", key, index)
            yield from _check_example(path, example, own, project)


def _check_example(
    path: KeyPath,
    example: Values,
    specs: Mapping[str, Specs],
    project: Project,
) -> Problems:
    declared_specs: dict[str, Spec] = {}
    shapes: dict[str, tuple[int, ...]] = {}
    for name, spec, sizes in _tensors(example, specs, project):
        declared_specs[name] = spec
        shapes[name] = sizes
    for message in named_dims.disagreeing(declared_specs, shapes):
        yield Problem(path, message)


def _tensors(
    example: Values, specs: Mapping[str, Specs], project: Project
) -> _Tensors:
    """Yields name, spec and shape of each dense tensor whose shape is known and fits its spec."""
    for kind, known in specs.items():
        for name, value in example.get(f"{kind}s", {}).items():
            spec = known.get(name)
            if spec is None or spec.kind != "dense" or spec.shape is None:
                continue
            sizes = _sizes(value, project)
            if sizes is not None and inline_values.fits(spec.shape, sizes):
                yield f"{kind} {name!r}", spec, sizes


def _sizes(value: object, project: Project) -> tuple[int, ...] | None:
    if isinstance(value, Mapping):
        return example_file_rules.sizes(value, project)
    return inline_values.sizes(value)
