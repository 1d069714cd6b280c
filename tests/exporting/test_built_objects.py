"""Describing built objects, and building Keras models by the declared specs."""

import numpy as np
import pytest
from smdecl.errors import ModelError

from tests.exporting.building_projects import (
    ROWS,
    conf,
    described,
    planned,
    problems,
    served,
    write_net,
)


@pytest.fixture
def net(project):
    return write_net(project)


def test_a_keras_model_is_built_of_nested_targets(net):
    conf(
        net,
        """
        _target_: keras.Sequential
        layers:
          - {_target_: keras.Input, shape: [3]}
          - _target_: keras.layers.Dense
            units: 2
            use_bias: false
            kernel_initializer: {_target_: keras.initializers.Constant, value: 2.0}
            activation: {_target_: keras.activations.relu, _partial_: true, max_value: 10.0}
        """,
    )

    net.write(
        "conf/signatures/rows.yaml",
        "serving_default: {inputs: {inputs: {shape: [b, 3], dtype: float32}}}\n",
    )

    release = net.export("model=mine", ROWS)

    x = np.array([[1, 2, 0], [3, 3, 3]], np.float32)
    assert served(release, inputs=x)["dense"].tolist() == [[6, 6], [10, 10]]


def test_a_keras_model_without_variables_is_built_by_the_declared_specs(net):
    plan = planned(net, "model._target_=mykeras.Net", ROWS)

    assert [(variable.name, variable.shape) for variable in plan.variables] == [
        ("hidden/_kernel", (3, 4)),
        ("hidden/bias", (4,)),
        ("out/_kernel", (4, 2)),
        ("out/bias", (2,)),
    ]


def test_its_batch_stays_dynamic(net):
    release = net.export("model._target_=mykeras.Net", ROWS, "verify.generate=3")

    assert release.signatures["serving_default"].outputs["output_0"].shape == (None, 2)
    for batch in (1, 5):
        assert served(release, x=np.ones([batch, 3], np.float32))["output_0"].shape == (batch, 2)


def test_a_keras_model_is_built_by_the_spec_of_its_own_function(net):
    plan = planned(net, "model._target_=mykeras.WithItsOwnSpec", "signatures=own")

    assert len(plan.variables) == 4


def test_a_keras_model_that_fails_when_called_is_reported_by_its_signature(net):
    found = problems(
        net,
        "model._target_=mykeras.Net",
        ROWS,
        "signatures.serving_default.inputs.x.dtype=string",
        kind=ModelError,
    )

    assert list(found) == ["signatures.serving_default"]
    assert found["signatures.serving_default"].startswith("calling __call__ failed: ")


def test_an_unknown_input_of_a_keras_model_is_reported_with_the_known_ones(net):
    net.write(
        "conf/signatures/z.yaml",
        "serving_default: {inputs: {z: {shape: [batch, 3], dtype: float32}}}\n",
    )

    found = problems(net, "model._target_=mykeras.Net", "signatures=z")

    assert "unknown argument 'z' of" in found["signatures.serving_default.inputs.z"]


def test_a_module_is_described_by_its_variables_and_its_own_methods(net):
    conf(net, "{_target_: mynet.Net, units: 1}")

    plan = planned(net, "model=mine")

    assert plan.obj.class_name == "mynet.Net"
    assert [(variable.name, variable.dtype, variable.shape) for variable in plan.variables] == [
        ("w", "float32", ())
    ]
    assert plan.obj.methods == {"add": ("x",)}
    assert (plan.obj.restored, plan.obj.not_restored) == ((), ())


def test_a_module_is_described_with_the_variables_of_the_keras_layers_that_it_holds(net):
    plan = planned(net, "model._target_=mykeras.InAModule", ROWS)

    assert sorted(variable.shape for variable in plan.variables) == [(2,), (3, 2)]


def test_a_keras_model_is_described_by_how_it_is_called(net):
    plan = planned(net, "model._target_=mykeras.WithItsOwnSpec", ROWS)

    assert plan.obj.methods == {"__call__": ("x",), "call": ("x",), "serve": ("x",)}


def test_a_checkpoint_is_described(net):
    conf(net, "{_target_: tensorflow.train.Checkpoint, net: {_target_: mynet.Net, units: 1}}")

    plan = planned(net, "model=mine", "signatures.serving_default.method=net.add")
    release = net.export(
        "model=mine", "signatures.serving_default.method=net.add", "name=checkpoint"
    )

    assert plan.obj.class_name == "tensorflow.python.checkpoint.checkpoint.Checkpoint"
    assert [variable.name for variable in plan.variables] == ["w"]
    assert served(release, x=2.0) == {"output_0": 3.0}


def test_a_failing_property_is_neither_a_method_nor_an_error(net):
    net.write(
        "mynet.py",
        "import tensorflow as tf\nfrom smdecl.models import Adder\n"
        "class Net(Adder):\n"
        "    @property\n"
        "    def loss(self):\n"
        "        raise RuntimeError('compile it first')\n"
        "    convert = int\n"
        "    size = len\n",
    )

    assert described(net, "model._target_=mynet.Net").methods == {"add": ("x",), "size": ("obj",)}
    assert net.export("model._target_=mynet.Net", "name=net").version == 1


def test_a_saved_model_that_a_factory_loads_is_described_and_exported_anew(net):
    first = net.export("model=scaler", "model.factor=4")
    net.write(
        "again.py",
        "import tensorflow as tf\ndef load(path):\n    return tf.saved_model.load(path)\n",
    )
    conf(net, f"{{_target_: again.load, path: {first.path}}}")

    plan = planned(net, "model=mine")
    second = net.export("model=mine")

    assert plan.obj.methods == {"add": ("x",)}
    assert [variable.name for variable in plan.variables] == ["factor"]
    assert served(second, x=2.0) == {"output_0": 8.0}
