"""Makes the examples of signatures: given in the config or generated, and run on the object."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import tensorflow as tf

from smdecl.checks.signatures import serving_apis
from smdecl.config.settings import Spec, Verify, input_names, parts
from smdecl.errors import KeyPath, Problem, VerificationError
from smdecl.exporting import user_code
from smdecl.exporting.signatures import input_shapes
from smdecl.exporting.tracing import leaks
from smdecl.exporting.tracing.traced import Traced
from smdecl.isolation import reports
from smdecl.savedmodel.comparing.array_distances import Array
from smdecl.tensor_texts import tensor_text
from smdecl.verification import (
    drawn_tf_examples,
    generated_examples,
    given_examples,
    given_outputs,
    looked_up_examples,
    table_keys,
)
from smdecl.verification.counting import Counter
from smdecl.verification.generated_examples import Drawn, Limits
from smdecl.verification.given_examples import GivenExample
from smdecl.verification.load import to_array
from smdecl.verification.signature_pairs import is_compatible
from smdecl.verification.stored_examples import Example


def make(
    traced: Mapping[str, Traced], verify: Verify, seed: int
) -> list[Example]:
    """Returns the examples of every signature, with the outputs that the object in memory computes.

    Raises:
        ConfigError: If a given value does not fit its spec.
        VerificationError: If the object fails on an example, or returns other outputs than given.
    """
    made: list[Example] = []
    expected = [len(verify.examples.get(key, [])) for key in traced]
    total = sum(given or verify.generate for given in expected)
    counter = Counter("examples", total)
    for key, signature in traced.items():
        specs = _specs(signature)
        given_examples.check_names(
            key, verify, specs, signature.record.outputs
        )
        given = verify.examples.get(key, [])
        if given:
            made += _given(key, signature, specs, verify, counter)
        else:
            made += _generated(key, signature, specs, verify, seed, counter)
    return made


def _specs(traced: Traced) -> dict[str, Spec]:
    """Returns the specs of a signature's inputs.

    They are sorted by name, because config order must not affect the result.
    """
    inputs = traced.signature.inputs
    if inputs is not None:
        specs = {str(name): spec for _, name, spec in input_names(inputs)}
        return dict(sorted(specs.items()))
    return {
        name: Spec(tensor.shape, tensor.dtype, name)
        for name, tensor in sorted(traced.record.inputs.items())
    }


def _given(
    key: str,
    signature: Traced,
    specs: Mapping[str, Spec],
    verify: Verify,
    counter: Counter,
) -> list[Example]:
    given: Sequence[GivenExample] = verify.examples[key]
    paths = [("verify", "examples", key, index) for index in range(len(given))]
    cases = list(zip(paths, given, strict=True))
    # A problem of any example's inputs is reported before one is run.
    all_inputs = [
        given_examples.inputs(path, case, specs) for path, case in cases
    ]
    examples: list[Example] = []
    problems: list[Problem] = []
    for (path, case), inputs in zip(cases, all_inputs, strict=True):
        computed = _run(path, signature, inputs)
        counter.count()
        expected = given_examples.outputs(path, case, computed)
        problems += given_outputs.differing(
            path, signature, expected, computed, verify
        )
        examples.append(Example(key, inputs, {**computed, **expected}))
    if problems:
        raise VerificationError(problems)
    return examples


def _generated(
    key: str,
    signature: Traced,
    specs: Mapping[str, Spec],
    verify: Verify,
    seed: int,
    counter: Counter,
) -> Iterator[Example]:
    ranges = verify.ranges.get(key, {})
    drawn = generated_examples.draw(specs, verify.generate, seed, ranges)
    if serving_apis.takes_examples(signature.signature.method_name):
        drawn = drawn_tf_examples.with_tf_examples(
            drawn, signature.function, seed
        )
    elif drawn:
        keys = table_keys.of_inputs(signature.function)
        limits = _limits(specs, ranges)
        drawn = looked_up_examples.with_keys(drawn, keys, limits)
    counter.expect(len(drawn) - verify.generate)
    for index, case in enumerate(drawn):
        counter.count()
        path = ("verify", "examples", key, index)
        example = _computed(path, signature, case)
        if example is not None:
            yield example


def _limits(
    specs: Mapping[str, Spec], ranges: Mapping[str, Limits]
) -> dict[str, Limits]:
    """Returns the limits of values by the names of the dense arrays that inputs are sent as."""
    limits = {}
    for name, spec in specs.items():
        if name in ranges:
            limits.update(dict.fromkeys(parts(name, spec), ranges[name]))
    return limits


def _computed(path: KeyPath, signature: Traced, case: Drawn) -> Example | None:
    """Returns a generated example; None if the object does not expect its empty dim."""
    key = str(path[2])
    last = len(case.attempts) - 1
    for number, inputs in enumerate(case.attempts):
        try:
            outputs = _run(path, signature, inputs)
        except VerificationError as error:
            if number < last:
                continue
            if case.has_empty_dim:
                return None
            _require_fixed_sizes(key, signature, error)
            raise
        if case.has_empty_dim and not _has_shapes(outputs, signature):
            # tf.map_fn, for one, returns an empty list instead of an empty batch.
            return None
        return Example(key, inputs, outputs)
    return None


def _has_shapes(outputs: Mapping[str, Array], signature: Traced) -> bool:
    """Returns whether outputs have the shapes of a traced signature."""
    declared = signature.record.outputs
    return all(
        is_compatible(declared[name].shape, value.shape)
        for name, value in outputs.items()
        if name in declared
    )


def _require_fixed_sizes(
    key: str, signature: Traced, error: VerificationError
) -> None:
    """Raises if an object may fail because a declared size is unknown and that of its Input is not.

    Raises:
        VerificationError: With every such input.
    """
    misfits = list(
        input_shapes.of_inputs(
            ("signatures", key, "inputs"),
            signature.method,
            signature.signature.inputs or {},
            may_be_unknown=False,
        )
    )
    if misfits:
        raise VerificationError(misfits, error.traceback_text) from error


def _run(
    path: KeyPath,
    traced: Traced,
    inputs: Mapping[str, Array],
) -> dict[str, Array]:
    """Calls the object's method eagerly: the reference is its Python code, not its graph.

    Raises:
        ModelError: If the object uses a tensor of a trace.
        VerificationError: If the object fails on the inputs.
    """
    doing = f"calling the object in memory on this example, {_forms(inputs)}"
    reports.running(path, doing)
    tensors = {name: tf.constant(value) for name, value in inputs.items()}
    tf.config.run_functions_eagerly(True)
    try:
        outputs = traced.call(tensors)
    except user_code.FAILURES as error:
        key = str(path[2])
        leaked = leaks.failure(
            None, ("signatures", key), "calling it on an example", error
        )
        if leaked is not None:
            raise leaked from error
        problem = Problem(path, _failure_text(key, inputs, error))
        raise VerificationError(
            problem, user_code.traceback_text(error)
        ) from error
    finally:
        tf.config.run_functions_eagerly(False)
    return {name: to_array(value) for name, value in outputs.items()}


def _failure_text(
    key: str, inputs: Mapping[str, Array], error: BaseException
) -> str:
    return (
        f"the object in memory fails on this example, {_forms(inputs)}:"
        f" {user_code.summary(error)}; give examples that it accepts under"
        f" verify.examples.{key}{_hint_for_bytes(inputs)}"
    )


def _hint_for_bytes(inputs: Mapping[str, Array]) -> str:
    """Returns how to give encoded images and the like, for the first input of text."""
    for name, array in inputs.items():
        if array.dtype == object:
            value = (
                "[{file: a.jpg}, {b64: TEXT}]"
                if array.ndim
                else "{file: a.jpg}"
            )
            return f", such as - inputs: {{{name}: {value}}}"
    return ""


def _forms(inputs: Mapping[str, Array]) -> str:
    texts = []
    for name, value in inputs.items():
        dtype = tf.as_dtype(value.dtype).name
        texts.append(f"{name} {tensor_text(dtype, value.shape)}")
    return ", ".join(texts)
