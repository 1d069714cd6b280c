"""Comparing declared inputs with the methods of an object."""

from pathlib import Path

import pytest
from smdecl.config import trust
from smdecl.config.project import find_project
from smdecl.config.settings import Signature, Spec
from smdecl.exporting.signatures import methods
from smdecl.models import Adder, dense


def casts(obj, method, **dtypes):
    inputs = {name: Spec((None, 4), dtype) for name, dtype in dtypes.items()}
    return [str(problem) for problem in methods.casts(obj, {"s": Signature(method, inputs, None)})]


@pytest.mark.parametrize("dtype", ["float64", "int32", "bool"])
def test_inputs_that_keras_casts_are_reported_with_both_dtypes(dtype):
    assert casts(dense(), "__call__", x=dtype) == [
        "signatures.s.inputs.x.dtype: Keras casts what clients send: the input is declared as"
        f" {dtype}, and the Input 'x' of the model is float32"
    ]


def test_equal_dtypes_and_methods_without_keras_inputs_are_accepted():
    assert casts(dense(), "__call__", x="float32") == []
    assert casts(Adder(), "add", x="float64") == []


def test_a_method_of_keras_is_refused_with_the_method_to_use():
    project = find_project(Path.cwd())

    assert trust.refuse_method(dense().__call__, project) is None
    assert trust.refuse_method(dense().predict, project) == (
        "leads to keras.src.backend.tensorflow.trainer.TensorFlowTrainer.predict, which a signature"
        " may not call; omit 'method' or use __call__, or name a method of the project"
    )


def test_a_plan_and_an_export_warn_of_a_cast(project):
    signature = "{inputs: {x: {shape: [batch, 4], dtype: float64}}, outputs: {out: {shape: [batch, 5], dtype: float32}}}"
    overrides = ["model=dense", "signatures=none", f"+signatures.s={signature}", "verify=load"]

    planned = project.run("plan", *overrides)
    exported = project.run(*overrides)

    for done in (planned, exported):
        assert done.returncode == 0
        assert "declared as float64, and the Input 'x' of the model is float32" in done.stderr
