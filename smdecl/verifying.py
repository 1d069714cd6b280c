"""Stage 7, verify: loads the saved bytes as a server does and runs the examples, in a process of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from smdecl import contract, examples, inspecting, loading, usercode
from smdecl.config import Signature, Verify, input_names, parts
from smdecl.examples import Example
from smdecl.records import Failure, VerificationRecord

_LOADERS = {"python": loading.load_python, "cpp": loading.load_cpp, "session": loading.load_session}
# How far two runs of one computation may lie apart, by the width of the dtype: graph and eager order sums otherwise.
_TOLERANCES = {
    "float64": (1e-9, 1e-12),
    "complex128": (1e-9, 1e-12),
    "float32": (1e-4, 1e-5),
    "complex64": (1e-4, 1e-5),
    "float16": (1e-2, 1e-3),
    "bfloat16": (5e-2, 1e-2),
    "float8_e4m3fn": (0.25, 0.1),
    "float8_e5m2": (0.5, 0.2),
}


def verify(directory: Path, signatures: Mapping[str, Signature], options: Verify) -> VerificationRecord:
    """Loads a SavedModel with each loader and runs its examples."""
    graph = inspecting.read(directory).meta_graphs[0]
    cases = examples.read(directory)
    loaders = tuple("session" if name == "cpp" and not loading.has_c_api() else name for name in options.loaders)
    with loading.plain_path(directory) as place:
        found = [
            failure for name in loaders for failure in _verify_with(name, place, graph, cases, signatures, options)
        ]
    failures = tuple(replace(failure, message=failure.message.replace(f"{place}", f"{directory}")) for failure in found)
    return VerificationRecord(loaders, dict(Counter(case.signature for case in cases)), failures)


def _verify_with(
    name: str, directory: Path, graph: Any, cases: list[Example], signatures: Mapping[str, Signature], options: Verify
) -> Iterator[Failure]:
    try:
        run = _LOADERS[name](directory, sorted(graph.meta_info_def.tags), graph.signature_def)
    except Exception as error:  # each loader raises its own types; whatever it is, the model cannot be served
        yield Failure(name, None, None, f"cannot load it: {usercode.summary(error)}")
        return
    for number, case in _numbered(cases):
        try:
            outputs = run(case.signature, case.inputs)
        except Exception as error:  # likewise
            yield Failure(name, case.signature, number, f"fails: {usercode.summary(error)}")
            continue
        for message in _differences(case, outputs, signatures.get(case.signature), options):
            yield Failure(name, case.signature, number, message)


def _numbered(cases: list[Example]) -> Iterator[tuple[int, Example]]:
    counts: Counter[str] = Counter()
    for case in cases:
        yield counts[case.signature], case
        counts[case.signature] += 1


def _differences(
    case: Example, outputs: Mapping[str, Any], signature: Signature | None, options: Verify
) -> Iterator[str]:
    if set(outputs) != set(case.outputs):
        yield f"returns {', '.join(sorted(outputs))}; expected {', '.join(sorted(case.outputs))}"
        return
    for name, expected in case.outputs.items():
        if message := difference(expected, outputs[name], *options.tolerance(case.signature, name)):
            yield f"{name}{message}"
    if signature is not None and signature.inputs is not None:
        # An output may have the name of an input.
        declared = [("input", str(name), spec) for _, name, spec in input_names(signature.inputs)]
        declared += [("output", spec.name or own, spec) for own, spec in (signature.outputs or {}).items()]
        specs = {f"{kind} {name}": part for kind, whole, spec in declared for name, part in parts(whole, spec).items()}
        shapes = {f"input {name}": np.shape(value) for name, value in case.inputs.items()}
        shapes |= {f"output {name}": np.shape(value) for name, value in outputs.items()}
        yield from contract.disagreeing_dims(specs, shapes)


def difference(expected: Any, got: Any, rtol: float | None, atol: float | None) -> str | None:
    """Says where two arrays differ most, or returns None where they are equal; NaNs equal, text and integers exact."""
    if got.shape != expected.shape or got.dtype != expected.dtype:
        return (
            f": got {tf.as_dtype(got.dtype).name} {list(got.shape)},"
            f" expected {tf.as_dtype(expected.dtype).name} {list(expected.shape)}"
        )
    default = _TOLERANCES.get(tf.as_dtype(expected.dtype).name)
    if default is None:
        wrong = np.atleast_1d(got != expected)
        excess = wrong.astype(float)
    else:
        rtol, atol = (default[0] if rtol is None else rtol), (default[1] if atol is None else atol)
        wide = np.complex128 if np.iscomplexobj(expected) else np.float64
        a, b = np.atleast_1d(got).astype(wide), np.atleast_1d(expected).astype(wide)
        with np.errstate(invalid="ignore", over="ignore"):  # infinities, of which only the unequal ones count
            wrong = ~np.isclose(a, b, rtol=rtol, atol=atol, equal_nan=True)
            excess = np.where(wrong, np.nan_to_num(np.abs(a - b), nan=np.inf, posinf=np.inf), 0.0)
    if not wrong.any():
        return None
    index = np.unravel_index(int(np.argmax(excess)), wrong.shape)
    place = f"[{', '.join(str(i) for i in index)}]" if expected.ndim else ""
    tolerance = "exactly" if default is None else f"within rtol {rtol:g}, atol {atol:g}"
    return f"{place} is {np.atleast_1d(got)[index]!s}, expected {np.atleast_1d(expected)[index]!s} {tolerance}"
