"""Compares the restored object with the model that the weights' own file holds, as the framework loads it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import tensorflow as tf

from smdecl.config.settings import Verify
from smdecl.errors import Problem, VerificationError
from smdecl.exporting import user_code
from smdecl.exporting.specs import find_method
from smdecl.exporting.trace import Traced
from smdecl.verification import verify as verifying
from smdecl.verification.load import to_array
from smdecl.verification.stored_examples import Example

_PATH = ("weights", "path")


def compare(
    reference: Any,
    path: str,
    traced: Mapping[str, Traced],
    cases: Sequence[Example],
    verify: Verify,
) -> None:
    """Runs the examples on the model of the file and compares its outputs with those of the object.

    Args:
        reference: The model that the file at `path` holds.
        path: Of the file.
        traced: The signatures of the object; one whose method the model of the file does not have is passed over.
        cases: The examples, with the outputs of the object.
        verify: Has the tolerances.

    Raises:
        VerificationError: With every output that differs.
    """
    problems: list[Problem] = []
    for number, case in enumerate(cases):
        signature = traced[case.signature]
        method = find_method(reference, signature.signature.method)
        if method is not None:
            for message in _differences(signature, method, case, verify):
                told = f"{case.signature}: example {number}: {message}"
                problems.append(
                    Problem(
                        _PATH, f"the object differs from the model in {path!r}: {told}"
                    )
                )
    if problems:
        raise VerificationError(problems)


def _differences(
    signature: Traced, method: Any, case: Example, verify: Verify
) -> Iterator[str]:
    tensors = {name: tf.constant(value) for name, value in case.inputs.items()}
    tf.config.run_functions_eagerly(True)
    try:
        outputs = signature.run(method, tensors)
    except Exception as error:  # the code of the model, of which the object's own takes the same example
        yield f"the model fails: {user_code.summary(error)}"
        return
    finally:
        tf.config.run_functions_eagerly(False)
    if {*outputs} != {*case.outputs}:
        yield f"the model returns {', '.join(sorted(outputs))}; expected {', '.join(sorted(case.outputs))}"
        return
    for name, value in outputs.items():
        expected = to_array(value)
        limits = verify.tolerance(case.signature, name)
        if message := verifying.difference(expected, case.outputs[name], *limits):
            yield f"{name}{message}"
