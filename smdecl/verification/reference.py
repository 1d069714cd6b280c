"""Compares the restored object with the model in its weights file, as the framework loads it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import tensorflow as tf

from smdecl.config.settings import Verify
from smdecl.errors import Problem, VerificationError
from smdecl.exporting import user_code
from smdecl.exporting.signatures.parameters import find_method
from smdecl.exporting.tracing.traced import Traced
from smdecl.exporting.types import Method, Model
from smdecl.verification import differences, stored_examples
from smdecl.verification.load import to_array
from smdecl.verification.stored_examples import Example

_PATH = ("weights", "path")


def compare(
    reference: Model,
    path: str,
    traced: Mapping[str, Traced],
    cases: Sequence[Example],
    verify: Verify,
) -> None:
    """Runs the examples on the model in the file and compares its outputs with the object's.

    Args:
        reference: The model in the file.
        path: The path of the file.
        traced: The signatures of the object; skipped if the model in the file lacks the method.
        cases: The examples, with the outputs of the object.
        verify: The tolerances.

    Raises:
        VerificationError: With every output that differs.
    """
    problems: list[Problem] = []
    for number, case in stored_examples.numbered(cases):
        signature = traced[case.signature]
        method = find_method(reference, signature.signature.method)
        if method is None:
            continue
        place = f"{case.signature}: example {number}"
        for difference in _differences(signature, method, case, verify):
            message = f"the object differs from the model in {path!r}: {place}: {difference}"
            problems.append(Problem(_PATH, message))
    if problems:
        raise VerificationError(problems)


def _differences(
    signature: Traced,
    method: Method,
    case: Example,
    verify: Verify,
) -> Iterator[str]:
    tensors = {name: tf.constant(value) for name, value in case.inputs.items()}
    tf.config.run_functions_eagerly(True)
    try:
        outputs = signature.run(method, tensors)
    except user_code.FAILURES as error:
        yield f"the model fails: {user_code.summary(error)}"
        return
    finally:
        tf.config.run_functions_eagerly(False)
    if set(outputs) != set(case.outputs):
        found = ", ".join(sorted(outputs))
        expected = ", ".join(sorted(case.outputs))
        yield f"the model returns {found}; expected {expected}"
        return
    for name, value in outputs.items():
        rtol, atol = verify.tolerance(case.signature, name)
        message = differences.greatest(
            to_array(value), case.outputs[name], rtol, atol
        )
        if message is not None:
            yield f"{name}{message}"
