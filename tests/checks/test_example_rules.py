"""Examples and tolerances are compared with the declared tensors before anything is built."""

import json

import numpy as np
import pytest
import yaml

from tests.checks import changed_configs

SIGNATURE = {
    "inputs": {
        "x": {"shape": ["batch", 2], "dtype": "float32"},
        "ids": {"shape": ["batch"], "dtype": "int64"},
    },
    "outputs": {
        "own": {"shape": ["batch", 3], "dtype": "float32", "name": "probs"},
        "n": {"shape": [], "dtype": "int64"},
    },
}
FITTING = "x: [[1, 2], [3, 4]], ids: [5, 6]"


def refused(project, signature=SIGNATURE, **verify):
    """Returns the messages about a signature `s` by key."""
    parts = {key: {"s": yaml.safe_load(text)} for key, text in verify.items()}
    found = changed_configs.problems(
        project.root, signatures={"s": {"method": "add", **signature}}, verify=parts
    )
    return {problem.key: problem.message for problem in found}


def write_files(project):
    np.savez(project.root / "of.npz", probs=np.ones([2, 3], np.float32), x=np.ones([2, 2]))
    np.save(project.root / "half.npy", np.float32(0.5))
    np.save(project.root / "three.npy", np.ones([3, 3], np.float32))
    (project.root / "of.json").write_text(json.dumps([[1, 2, 3], [4, 5, 6]]))
    (project.root / "two.json").write_text(json.dumps([[1, 2], [4, 5]]))
    (project.root / "words.json").write_text(json.dumps([["a", "b", "c"]]))


@pytest.mark.parametrize(
    ("outputs", "place", "message"),
    [
        ("probs: [[1, 2, 3], [1, 2, 3]], n: 2", None, None),
        ("probs: {file: of.npz, key: probs}", None, None),
        ("probs: {file: of.json}", None, None),
        ("prob: [[1, 2, 3]]", ".outputs.prob", "unknown output 'prob'; expected one of probs, n (did you mean 'probs'?)"),
        ("own: [[1, 2, 3]]", ".outputs.own", "unknown output 'own'; expected one of probs, n"),
        ("probs: [[1, 2]]", ".outputs.probs", "got a value of shape [1, 2]; expected [batch, 3]"),
        ("n: 1.5", ".outputs.n", "cannot be converted to int64: got 1.5, which is float"),
        ("probs: {file: of.npz, key: x}", ".outputs.probs", "got a value of shape [2, 2]; expected [batch, 3]"),
        ("n: {file: half.npy}", ".outputs.n", "expected int64, got floats"),
        ("n: {b64: QUJD}", ".outputs.n", "expected int64, got bytes"),
        ("probs: {file: two.json}", ".outputs.probs", "'two.json': got a value of shape [2, 2]; expected [batch, 3]"),
        ("probs: {file: words.json}", ".outputs.probs", "'words.json': cannot be converted to float32: got 'a', which is str"),
        ("probs: [[1, 2, 3]]", "", "dim 'batch' is 2 in input 'x' and 1 in output 'probs'"),
        ("probs: {file: three.npy}", "", "dim 'batch' is 2 in input 'x' and 3 in output 'probs'"),
    ],
)  # fmt: skip
def test_expected_outputs_are_compared_with_the_declared_outputs(project, outputs, place, message):
    write_files(project)
    found = refused(project, examples=f"[{{inputs: {{{FITTING}}}, outputs: {{{outputs}}}}}]")

    expected = {} if place is None else {f"verify.examples.s[0]{place}": message}
    assert expected.items() <= found.items()
    assert bool(found) == bool(expected)


@pytest.mark.parametrize("shape", [[], [2]])
def test_a_ragged_output_of_any_rank_is_refused_and_not_laid_out(project, shape):
    ragged = {"shape": shape, "dtype": "float32", "kind": "ragged", "ragged_rank": 2**62}

    found = refused(project, {"outputs": {"y": ragged}}, tolerances="{y: {rtol: 0.1}}")

    message = found["signatures.s.outputs.y.ragged_rank"]
    assert message == f"expected at most 255, got {2**62}"


def test_the_inputs_of_an_example_agree_in_named_dims(project):
    assert refused(project, examples="[{inputs: {x: [[1, 2]], ids: [5, 6]}}]") == {
        "verify.examples.s[0]": "dim 'batch' is 1 in input 'x' and 2 in input 'ids'"
    }


def test_a_misspelt_input_is_one_problem(project):
    assert refused(project, examples="[{inputs: {x: [[1, 2]], idz: [5]}}]") == {
        "verify.examples.s[0].inputs.idz": "unknown input 'idz'; expected one of x, ids"
        " (did you mean 'ids'?)"
    }


def test_a_tolerance_of_an_output_that_is_not_declared_is_refused(project):
    assert refused(project, tolerances="{prob: {rtol: 0.1}, n: {atol: 1}}") == {
        "verify.tolerances.s.prob": "unknown output 'prob'; expected one of probs, n (did you mean 'probs'?)"
    }


def test_names_are_not_compared_if_no_outputs_are_declared(project):
    given = {
        "tolerances": "{y: {rtol: 0.1}}",
        "examples": f"[{{inputs: {{{FITTING}}}, outputs: {{y: 1}}}}]",
    }

    assert refused(project, {"inputs": SIGNATURE["inputs"]}, **given) == {}
    assert set(refused(project, SIGNATURE, **given)) == {
        "verify.tolerances.s.y",
        "verify.examples.s[0].outputs.y",
    }
