"""Stage 7, verify: loads the saved bytes as a server does and runs the examples."""

from __future__ import annotations

import gc
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from smdecl.config import named_dims
from smdecl.config.settings import Signature, Spec, Verify, input_names, parts
from smdecl.exporting import user_code
from smdecl.savedmodel import inspection
from smdecl.savedmodel.array_distances import Array, distances, wide
from smdecl.savedmodel.protos import MetaGraphDef
from smdecl.tensor_texts import tensor_text
from smdecl.verification import (
    counting,
    half_precision,
    load,
    stored_examples,
)
from smdecl.verification.load import SignatureRunner
from smdecl.verification.records import Failure, VerificationRecord
from smdecl.verification.stored_examples import Example

# The default (rtol, atol) by dtype. Graph and eager execution may sum in different orders.
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
_WIDE = ("float64", "complex128", "float32", "complex64")


def verify(
    directory: Path,
    signatures: Mapping[str, Signature],
    options: Verify,
    await_examples: Callable[[], object] | None = None,
) -> VerificationRecord:
    """Loads a SavedModel with each loader and runs its examples.

    Args:
        directory: The directory of the SavedModel.
        signatures: The signatures as they are declared.
        options: The loaders to run, and the tolerances.
        await_examples: Returns when the directory has the examples; None if it has them. It is
            called when the first loader has loaded.
    """
    graph = inspection.read(directory).meta_graphs[0]
    loaders = tuple(map(load.available, options.loaders))
    failures: list[Failure] = []
    cases: list[Example] | None = None
    loaded: SignatureRunner | str | None
    counter = counting.Counter("verify")
    with load.plain_path(directory) as place:
        for name in loaders:
            # The memory of one loader is freed before the next needs as much.
            loaded = None
            gc.collect()
            loaded = _load(name, place, graph)
            if cases is None:
                if await_examples is not None:
                    await_examples()
                cases = stored_examples.read(directory)
                counter.expect(len(cases) * len(loaders))
            for failure in _failures(
                name, loaded, cases, signatures, options, counter, graph
            ):
                message = failure.message.replace(f"{place}", f"{directory}")
                failures.append(replace(failure, message=message))
    counts = Counter(case.signature for case in cases or ())
    return VerificationRecord(loaders, dict(counts), tuple(failures))


def _load(
    loader: str, directory: Path, graph: MetaGraphDef
) -> SignatureRunner | str:
    """Returns what runs the signatures, or why the loader fails."""
    tags = sorted(graph.meta_info_def.tags)
    try:
        return load.load_by(loader, directory, tags, graph.signature_def)
    except Exception as error:  # each loader raises its own types
        return f"cannot load it: {reason(error)}"


def _failures(
    loader: str,
    loaded: SignatureRunner | str,
    cases: Sequence[Example],
    signatures: Mapping[str, Signature],
    options: Verify,
    counter: counting.Counter,
    graph: MetaGraphDef,
) -> Iterator[Failure]:
    if isinstance(loaded, str):
        yield Failure(loader, None, None, loaded)
        return
    for number, case in numbered(cases):
        key = case.signature
        counter.count()
        try:
            outputs = loaded(key, case.inputs)
        except Exception as error:  # each loader raises its own types
            message = f"fails: {user_code.summary(error)}"
            yield Failure(loader, key, number, message)
            continue
        for message in _differences(
            case, outputs, signatures.get(key), options, graph
        ):
            yield Failure(loader, key, number, message)


def reason(error: Exception) -> str:
    """Returns why a SavedModel cannot be loaded or run."""
    unknown = _UNKNOWN_OP.search(str(error))
    if unknown is None:
        return user_code.summary(error)
    return (
        f"nothing registers the op {unknown[1]!r}; name the package or library that registers it"
        " under custom_ops in [tool.smdecl] of pyproject.toml"
    )


_UNKNOWN_OP = re.compile(r"Op type not registered '([^']+)'")


def numbered(cases: Sequence[Example]) -> Iterator[tuple[int, Example]]:
    """Yields each example with its index among those of its signature."""
    counts: Counter[str] = Counter()
    for case in cases:
        yield counts[case.signature], case
        counts[case.signature] += 1


def _differences(
    case: Example,
    outputs: Mapping[str, Array],
    signature: Signature | None,
    options: Verify,
    graph: MetaGraphDef,
) -> Iterator[str]:
    if set(outputs) != set(case.outputs):
        found = ", ".join(sorted(outputs))
        expected = ", ".join(sorted(case.outputs))
        yield f"returns {found}; expected {expected}"
        return
    for name, expected_value in case.outputs.items():
        rtol, atol = options.tolerance(case.signature, name)
        value = outputs[name]
        message = difference(expected_value, value, rtol, atol)
        if message is None:
            continue
        hint = ""
        if rtol is None and atol is None:
            hint = half_hint(
                (case.signature, name),
                expected_value,
                value,
                lambda: half_precision.dtype_of(graph, case.signature),
            )
        yield f"{name}{message}{hint}"
    if signature is not None and signature.inputs is not None:
        shapes = {
            **_shapes("input", case.inputs),
            **_shapes("output", outputs),
        }
        yield from named_dims.disagreeing(_declared(signature), shapes)


def half_hint(
    output: tuple[str, str],
    expected: Array,
    value: Array,
    find_dtype: Callable[[], str | None],
) -> str:
    """Returns the hint at an output of a 16-bit computation that differs from the expected one.

    Args:
        output: The signature and the name of the output.
        expected: What it should be.
        value: What it is.
        find_dtype: Returns the 16-bit dtype that the signature computes in, if any.
    """
    key, name = output
    is_same_form = (value.shape, value.dtype) == (
        expected.shape,
        expected.dtype,
    )
    if not is_same_form or tf.as_dtype(value.dtype).name not in _WIDE:
        return ""
    dtype = find_dtype()
    if dtype is None:
        return ""
    rtol, atol = _TOLERANCES[dtype]
    hint = (
        f"; {key} computes in {dtype},"
        f" whose tolerance is {{rtol: {rtol:g}, atol: {atol:g}}}"
    )
    # A greater difference may be more than rounding.
    if difference(expected, value, rtol, atol) is None:
        hint += f": set verify.tolerances.{key}.{name} to it"
    return hint


def _declared(signature: Signature) -> dict[str, Spec]:
    """Returns the dense parts of the declared tensors, by `input NAME` and `output NAME`.

    An output may have the name of an input.
    """
    specs: dict[str, Spec] = {}
    for _, name, spec in input_names(signature.inputs or {}):
        for part, dense in parts(str(name), spec).items():
            specs[f"input {part}"] = dense
    for own_name, spec in (signature.outputs or {}).items():
        for part, dense in parts(spec.name or own_name, spec).items():
            specs[f"output {part}"] = dense
    return specs


def _shapes(
    kind: str, arrays: Mapping[str, Array]
) -> dict[str, tuple[int, ...]]:
    return {
        f"{kind} {name}": np.shape(array) for name, array in arrays.items()
    }


def difference(
    expected: Array,
    got: Array,
    rtol: float | None,
    atol: float | None,
    where: str = "",
) -> str | None:
    """Returns where two arrays differ most relative to their tolerance.

    None means that they are equal within it; two NaNs are equal.

    Args:
        expected: The array with the right values.
        got: The array to check, which must have the same shape and dtype.
        rtol: The relative tolerance; None is the default of the dtype.
        atol: The absolute tolerance; None is the default of the dtype.
        where: Follows the value that differs, such as " in the file".
    """
    if got.shape != expected.shape or got.dtype != expected.dtype:
        return f": got {_form(got)}, expected {_form(expected)}"
    tolerance = _tolerance(expected.dtype, rtol, atol)
    a, b = np.atleast_1d(got), np.atleast_1d(expected)
    wrong = np.flatnonzero(_differ(a, b, tolerance))
    if not wrong.size:
        return None
    measures = _measures(a.ravel()[wrong], b.ravel()[wrong], tolerance)
    worst = wrong[_worst(measures)]
    index = np.unravel_index(worst, a.shape)
    place = f"[{', '.join(map(str, index))}]" if expected.ndim else ""
    return f"{place} is {a[index]!s}{where}, expected {b[index]!s} {_tolerance_text(tolerance)}"


def _tolerance(
    dtype: np.dtype[Any],
    rtol: float | None,
    atol: float | None,
) -> tuple[float, float] | None:
    """Returns rtol and atol; None for a dtype whose values are compared exactly."""
    default = _TOLERANCES.get(tf.as_dtype(dtype).name)
    if default is None:
        return None
    default_rtol, default_atol = default
    relative = default_rtol if rtol is None else rtol
    absolute = default_atol if atol is None else atol
    return float(relative), float(absolute)


def _tolerance_text(tolerance: tuple[float, float] | None) -> str:
    if tolerance is None:
        return "exactly"
    rtol, atol = tolerance
    return f"within rtol {rtol:g}, atol {atol:g}"


def _form(array: Array) -> str:
    return tensor_text(tf.as_dtype(array.dtype).name, array.shape)


def _differ(
    got: Array,
    expected: Array,
    tolerance: tuple[float, float] | None,
) -> Array:
    if tolerance is None:
        return np.asarray(got != expected)
    rtol, atol = tolerance
    # Infinities make NumPy warn; only unequal ones are a difference.
    with np.errstate(invalid="ignore", over="ignore"):
        return ~np.isclose(
            wide(got), wide(expected), rtol, atol, equal_nan=True
        )


def _worst(measures: Sequence[Array]) -> int:
    """Returns the index with the greatest first measure; each next measure breaks ties."""
    places = np.arange(len(measures[0]))
    for measure in measures:
        places = places[measure[places] == measure[places].max()]
    return int(places[0])


def _measures(
    got: Array,
    expected: Array,
    tolerance: tuple[float, float] | None,
) -> list[Array]:
    """Returns how wrong each element is: NaN in one array alone, by the tolerance, by distance."""
    apart = distances(got, expected)
    if tolerance is None:
        return [apart]
    rtol, atol = tolerance
    with np.errstate(all="ignore"):  # infinities, and tolerances of 0
        ratio = apart / (atol + rtol * np.abs(wide(expected)))
    is_alone = np.isnan(apart)
    return [is_alone, _infinite_for_nan(ratio), _infinite_for_nan(apart)]


def _infinite_for_nan(array: Array) -> Array:
    return np.nan_to_num(array, nan=np.inf, posinf=np.inf)
