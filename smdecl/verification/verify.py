"""Stage 7, verify: loads the saved bytes as a server does and runs the examples, in a process of its own."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from smdecl.config.settings import Signature, Verify, input_names, parts
from smdecl.exporting import contract, user_code
from smdecl.savedmodel import inspection
from smdecl.savedmodel.array_distances import distances, wide
from smdecl.savedmodel.records import Failure, VerificationRecord
from smdecl.tensor_texts import tensor_text
from smdecl.verification import load, stored_examples
from smdecl.verification.stored_examples import Example

_LOADERS = {
    "python": load.load_python,
    "cpp": load.load_cpp,
    "session": load.load_session,
}
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


def verify(
    directory: Path, signatures: Mapping[str, Signature], options: Verify
) -> VerificationRecord:
    """Loads a SavedModel with each loader and runs its examples."""
    graph = inspection.read(directory).meta_graphs[0]
    cases = stored_examples.read(directory)
    loaders = tuple(
        "session" if name == "cpp" and not load.has_c_api() else name
        for name in options.loaders
    )
    with load.plain_path(directory) as place:
        found = [
            failure
            for name in loaders
            for failure in _verify_with(name, place, graph, cases, signatures, options)
        ]
    failures = tuple(
        replace(failure, message=failure.message.replace(f"{place}", f"{directory}"))
        for failure in found
    )
    return VerificationRecord(
        loaders, dict(Counter(case.signature for case in cases)), failures
    )


def _verify_with(
    name: str,
    directory: Path,
    graph: Any,
    cases: list[Example],
    signatures: Mapping[str, Signature],
    options: Verify,
) -> Iterator[Failure]:
    try:
        run = _LOADERS[name](
            directory, sorted(graph.meta_info_def.tags), graph.signature_def
        )
    except Exception as error:  # each loader raises its own types; whatever it is, the model cannot be served
        yield Failure(name, None, None, f"cannot load it: {_reason(error)}")
        return
    for number, case in _numbered(cases):
        try:
            outputs = run(case.signature, case.inputs)
        except Exception as error:  # likewise
            yield Failure(
                name, case.signature, number, f"fails: {user_code.summary(error)}"
            )
            continue
        for message in _differences(
            case, outputs, signatures.get(case.signature), options
        ):
            yield Failure(name, case.signature, number, message)


def _reason(error: Exception) -> str:
    unknown = _UNKNOWN_OP.search(str(error))
    if unknown is None:
        return user_code.summary(error)
    declare = "name the package or library that registers it under custom_ops in [tool.smdecl] of pyproject.toml"
    return f"nothing registers the op {unknown[1]!r}; {declare}"


_UNKNOWN_OP = re.compile(r"Op type not registered '([^']+)'")


def _numbered(cases: list[Example]) -> Iterator[tuple[int, Example]]:
    counts: Counter[str] = Counter()
    for case in cases:
        yield counts[case.signature], case
        counts[case.signature] += 1


def _differences(
    case: Example,
    outputs: Mapping[str, Any],
    signature: Signature | None,
    options: Verify,
) -> Iterator[str]:
    if set(outputs) != set(case.outputs):
        yield f"returns {', '.join(sorted(outputs))}; expected {', '.join(sorted(case.outputs))}"
        return
    for name, expected in case.outputs.items():
        if message := difference(
            expected, outputs[name], *options.tolerance(case.signature, name)
        ):
            yield f"{name}{message}"
    if signature is not None and signature.inputs is not None:
        # An output may have the name of an input.
        declared = [
            ("input", str(name), spec)
            for _, name, spec in input_names(signature.inputs)
        ]
        declared += [
            ("output", spec.name or own, spec)
            for own, spec in (signature.outputs or {}).items()
        ]
        specs = {
            f"{kind} {name}": part
            for kind, whole, spec in declared
            for name, part in parts(whole, spec).items()
        }
        shapes = {
            f"input {name}": np.shape(value) for name, value in case.inputs.items()
        }
        shapes |= {f"output {name}": np.shape(value) for name, value in outputs.items()}
        yield from contract.disagreeing_dims(specs, shapes)


def difference(
    expected: Any, got: Any, rtol: float | None, atol: float | None
) -> str | None:
    """Says where two arrays differ most by their tolerance, or returns None where they are equal, as two NaNs are."""
    if got.shape != expected.shape or got.dtype != expected.dtype:
        return f": got {_form(got)}, expected {_form(expected)}"
    tolerance = _tolerance(expected.dtype, rtol, atol)
    a, b = np.atleast_1d(got), np.atleast_1d(expected)
    wrong = np.flatnonzero(_differ(a, b, tolerance))
    if not wrong.size:
        return None
    worst = wrong[_worst(_measures(a.ravel()[wrong], b.ravel()[wrong], tolerance))]
    index = np.unravel_index(worst, a.shape)
    place = f"[{', '.join(str(i) for i in index)}]" if expected.ndim else ""
    within = (
        "exactly"
        if tolerance is None
        else f"within rtol {tolerance[0]:g}, atol {tolerance[1]:g}"
    )
    return f"{place} is {a[index]!s}, expected {b[index]!s} {within}"


def _tolerance(
    dtype: Any, rtol: float | None, atol: float | None
) -> tuple[float, float] | None:
    default = _TOLERANCES.get(tf.as_dtype(dtype).name)
    if default is None:
        return None
    return float(default[0] if rtol is None else rtol), float(
        default[1] if atol is None else atol
    )


def _form(array: Any) -> str:
    return tensor_text(tf.as_dtype(array.dtype).name, array.shape)


def _differ(got: Any, expected: Any, tolerance: tuple[float, float] | None) -> Any:
    if tolerance is None:
        return got != expected
    with np.errstate(
        invalid="ignore", over="ignore"
    ):  # infinities, of which only the unequal ones count
        return ~np.isclose(wide(got), wide(expected), *tolerance, equal_nan=True)


def _worst(measures: Sequence[Any]) -> int:
    """Returns the place of the greatest value of the first measure; among equals the next one decides."""
    places = np.arange(len(measures[0]))
    for measure in measures:
        places = places[measure[places] == measure[places].max()]
    return int(places[0])


def _measures(
    got: Any, expected: Any, tolerance: tuple[float, float] | None
) -> list[Any]:
    """Returns how wrong each element is: by NaN in one alone, then by its tolerance, then by the distance."""
    apart = distances(got, expected)
    if tolerance is None:
        return [apart]
    with np.errstate(all="ignore"):  # infinities, and tolerances of 0
        ratio = apart / (tolerance[1] + tolerance[0] * np.abs(wide(expected)))
    is_alone = np.isnan(apart)
    ratio, apart = (
        np.nan_to_num(each, nan=np.inf, posinf=np.inf) for each in (ratio, apart)
    )
    return [is_alone, ratio, apart]
