"""Stage 7, verify: loads the saved bytes as a server does and runs the examples."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from smdecl.config import named_dims
from smdecl.config.settings import Signature, Spec, Verify, input_names, parts
from smdecl.exporting import user_code
from smdecl.savedmodel import inspection
from smdecl.savedmodel.comparing.array_distances import Array
from smdecl.savedmodel.protos import MetaGraphDef
from smdecl.verification import (
    counting,
    differences,
    half_precision,
    load,
    stored_examples,
)
from smdecl.verification.load import SignatureRunner
from smdecl.verification.records import Failure, VerificationRecord
from smdecl.verification.stored_examples import Example


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
        return f"cannot load it: {load.reason(error)}"


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
    for number, case in stored_examples.numbered(cases):
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
        message = differences.greatest(expected_value, value, rtol, atol)
        if message is None:
            continue
        hint = ""
        if rtol is None and atol is None:
            hint = differences.half_precision_hint(
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
