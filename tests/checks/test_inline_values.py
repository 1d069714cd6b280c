"""Inline values that do not fit their inputs are found without TensorFlow."""

import numpy as np
import pytest
from smdecl.checks import check
from smdecl.checks.examples import inline_values
from smdecl.config.project import find_project
from smdecl.config.settings import Spec
from smdecl.errors import ConfigError


def refusals(value, dtype, shape, kind="dense"):
    spec = Spec(None if shape is None else tuple(shape), dtype, kind=kind)
    reason = inline_values.wrong_kind(value, spec) or inline_values.wrong_sizes(value, spec)
    return [] if reason is None else [reason]


@pytest.mark.parametrize(
    ("value", "dtype", "shape"),
    [
        (1.5, "float32", []),
        (2, "bfloat16", []),
        ([1, 2.5], "complex64", None),
        ([[1, 2.5]], "float64", [None, 2]),
        ([], "int32", [None]),
        ([[], []], "string", [2, None]),
        ([True, False], "bool", ["batch"]),
        ([[{"file": "a.jpg"}]], "string", [1]),  # compared where files are
    ],
)
def test_a_value_that_fits_is_accepted(value, dtype, shape):
    assert refusals(value, dtype, shape) == []


@pytest.mark.parametrize(
    ("value", "dtype", "shape", "message"),
    [
        (1.5, "int32", [], "cannot be converted to int32: got 1.5, which is float"),
        (
            [[1, "a"]],
            "float32",
            ["batch", 3],
            "cannot be converted to float32: got 'a', which is str",
        ),
        (None, "float32", [], "cannot be converted to float32: got None, which is NoneType"),
        ([True, 1], "bool", [2], "cannot be converted to bool: got 1, which is int"),
        (
            ["a" * 100],
            "int64",
            [1],
            f"cannot be converted to int64: got '{'a' * 79}..., which is str",
        ),
        (
            [[1], [2, 3]],
            "float32",
            [None, None],
            "cannot be converted to float32: got lists of different lengths or depths",
        ),
        (
            [1, [2]],
            "float32",
            None,
            "cannot be converted to float32: got lists of different lengths or depths",
        ),
        ([[1, 2]], "float32", ["batch", 3], "got a value of shape [1, 2]; expected [batch, 3]"),
        (1, "float32", [None], "got a value of shape []; expected [?]"),
        ([], "float32", [None, 3], "got a value of shape [0]; expected [?, 3]"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_as_the_build_would_refuse_it(
    value, dtype, shape, message
):
    assert refusals(value, dtype, shape) == [message]


def test_rows_of_a_ragged_tensor_can_have_any_length():
    assert refusals([[1], [2, 3]], "int32", [None, None], kind="ragged") == []
    assert refusals([[1], ["a"]], "int32", [None, None], kind="ragged") == [
        "cannot be converted to int32: got 'a', which is str"
    ]


def test_check_compares_the_examples_of_a_config(project):
    signature = (
        "{inputs: {x: {shape: [batch, 3], dtype: float32}, y: {shape: [], dtype: int64, name: z}}}"
    )
    examples = "{s: [{inputs: {x: [[1, 2]], z: 1.5}}]}"
    composition = project.compose(
        "signatures=none", f"+signatures.s={signature}", f"+verify.examples={examples}"
    )

    with pytest.raises(ConfigError) as error:
        check.check(composition, find_project(project.root))

    assert [(problem.key, problem.message) for problem in error.value.problems] == [
        ("verify.examples.s[0].inputs.x", "got a value of shape [1, 2]; expected [batch, 3]"),
        ("verify.examples.s[0].inputs.z", "cannot be converted to int64: got 1.5, which is float"),
    ]


def refused(project, dtype, *examples):
    signature = f"{{inputs: {{x: {{shape: [], dtype: {dtype}}}}}}}"
    written = ", ".join(f"{{inputs: {{x: {value}}}}}" for value in examples)
    composition = project.compose(
        "signatures=none", f"+signatures.s={signature}", f"+verify.examples.s=[{written}]"
    )
    with pytest.raises(ConfigError) as error:
        check.check(composition, find_project(project.root))
    return {problem.key: problem.message for problem in error.value.problems}


def test_a_wrong_dtype_is_one_problem_however_many_examples_there_are(project):
    assert refused(project, "int32", 1.5, 2, 2.5, "a") == {
        "verify.examples.s[0].inputs.x": "cannot be converted to int32: got 1.5, which is float;"
        " 2 more examples have the same problem"
    }
    assert refused(project, "string", 1, 2)["verify.examples.s[0].inputs.x"].endswith(
        "; another example has the same problem"
    )


@pytest.mark.parametrize("value", ["1.5", "{file: x.npy}", "{b64: QUJD}"])
def test_values_are_not_compared_with_an_unknown_dtype(project, value):
    np.save(project.root / "x.npy", np.array(1.5))

    assert list(refused(project, "flaot32", value)) == ["signatures.s.inputs.x.dtype"]
