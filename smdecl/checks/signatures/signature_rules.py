"""Checks declared signatures and functions before the build: names, dims, specs."""

from __future__ import annotations

import keyword
from collections.abc import Collection, Iterable, Mapping

from smdecl.checks.signatures import input_names, named_dim_rules, serving_apis
from smdecl.checks.types import Problems
from smdecl.config import settings
from smdecl.config.settings import Signature, Spec
from smdecl.errors import KeyPath, Problem, closest, nearest
from smdecl.names import DEFAULT_KEY, RESERVED_KEYS

# Attributes that tf.saved_model.save and tf.saved_model.load set on the object.
_RESERVED_ATTRIBUTES = (
    "signatures",
    "initializer",
    "graph_debug_info",
    "tensorflow_version",
    "tensorflow_git_version",
)


def misspelt_default(keys: Iterable[str]) -> Problems:
    """Yields a signature key that is most likely a typo of the default key."""
    similar = closest(DEFAULT_KEY, keys, cutoff=0.85)
    # serving_default_v2 is not a typo.
    if similar is not None and not similar.startswith(DEFAULT_KEY):
        found = f"requests without a signature name need {DEFAULT_KEY!r}, which is missing"
        yield Problem(("signatures", similar), f"{found}; did you mean it?")


def check_functions(
    functions: Mapping[str, str | None], keys: Collection[str]
) -> Problems:
    """Yields what is wrong with the functions to expose in `tf.saved_model.load`.

    Args:
        functions: The signature key of each function; None for the function of that name.
        keys: The signature keys. If empty, the build finds the signature of the object.
    """
    for name, key in functions.items():
        path = ("functions", name)
        if name in _RESERVED_ATTRIBUTES:
            reserved = f"{name!r} is reserved by tf.saved_model.load"
            yield Problem(path, f"{reserved}; choose a different name")
        elif name != "__call__" and not _is_attribute(name):
            expected = "expected a valid Python attribute name, or __call__"
            yield Problem(path, f"invalid name {name!r}; {expected}")
        if keys and key is not None and key not in keys:
            expected = f"expected one of {', '.join(sorted(keys))}{nearest(key, keys)}"
            yield Problem(path, f"unknown signature {key!r}; {expected}")


def _is_attribute(name: str) -> bool:
    is_public = not name.startswith("_")
    return is_public and name.isidentifier() and not keyword.iskeyword(name)


def check(path: KeyPath, signature: Signature) -> Problems:
    """Yields everything that is wrong with the signature at a key path."""
    key = path[-1]
    if key in RESERVED_KEYS:
        reserved = f"{key!r} is reserved by TensorFlow"
        yield Problem(path, f"{reserved}; choose a different signature key")
    for place, _, spec in settings.input_names(signature.inputs or {}):
        yield from _check_spec((*path, "inputs", *place), spec)
    for name, spec in (signature.outputs or {}).items():
        yield from _check_spec((*path, "outputs", name), spec)
    yield from _check_input_names((*path, "inputs"), signature)
    yield from _check_output_names((*path, "outputs"), signature)
    yield from named_dim_rules.check(path, signature)
    yield from _check_api(path, signature)


def _check_api(path: KeyPath, signature: Signature) -> Problems:
    inputs: dict[str, tuple[KeyPath, serving_apis.Tensor]] | None = None
    outputs: dict[str, tuple[KeyPath, serving_apis.Tensor]] | None = None
    if signature.inputs is not None:
        inputs = {}
        for place, name, spec in settings.input_names(signature.inputs):
            inputs[str(name)] = ((*path, "inputs", *place), spec)
    if signature.outputs is not None:
        outputs = {}
        for own, spec in signature.outputs.items():
            outputs[spec.name or own] = ((*path, "outputs", own), spec)
    yield from serving_apis.problems(
        path, signature.method_name, inputs, outputs
    )


def _check_spec(path: KeyPath, spec: Spec) -> Problems:
    for index, dim in named_dim_rules.named(spec):
        if not dim.isidentifier() or keyword.iskeyword(dim):
            hint = "write null for an unknown size"
            if dim.isdigit():
                hint = f"write {dim} without quotes"
            expected = "expected a name such as batch"
            message = f"invalid dim name {dim!r}; {expected}; {hint}"
            yield Problem((*path, "shape", index), message)
    if spec.kind == "ragged":
        yield from _check_ragged_rank(path, spec)


def _check_ragged_rank(path: KeyPath, spec: Spec) -> Problems:
    if spec.shape is None:
        rank, fits = "unknown", False
    else:
        rank, fits = str(len(spec.shape)), spec.ragged_rank < len(spec.shape)
    if not fits:
        got = f"got {spec.ragged_rank} for a shape of rank {rank}"
        yield Problem(
            (*path, "ragged_rank"), f"expected less than the rank, {got}"
        )


def _check_input_names(path: KeyPath, signature: Signature) -> Problems:
    for refused in input_names.refused(signature.inputs or {}):
        yield Problem((*path, *refused.place, "name"), refused.reason)


def _check_output_names(path: KeyPath, signature: Signature) -> Problems:
    seen: set[str] = set()
    for own, spec in (signature.outputs or {}).items():
        names = set(settings.parts(spec.name or own, spec))
        taken = sorted(names & seen)
        if taken:
            place = (
                (*path, own, "name") if spec.name is not None else (*path, own)
            )
            message = f"{taken[0]!r} is taken by another output; choose a different name"
            yield Problem(place, message)
        seen |= names
