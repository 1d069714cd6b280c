"""Saving: variables, fingerprints and the choice of a signature."""

import numpy as np
import pytest
import tensorflow as tf
from smdecl.errors import ContractError, PublishError
from smdecl.savedmodel import inspection

from tests.serving import serve


def meta_graph(release):
    return inspection.read(release.path).meta_graphs[0]


def test_variable_devices_are_saved_if_the_policy_says_so(project):
    plain = project.export("model=scaler", "devices.build=/device:CPU:0")
    kept = project.export(
        "model=scaler",
        "devices.build=/device:CPU:0",
        "options.experimental_variable_policy=save_variable_devices",
    )

    def device(release):
        return next(
            n.variable.device
            for n in meta_graph(release).object_graph_def.nodes
            if n.HasField("variable")
        )

    assert device(plain) == ""
    assert device(kept).endswith("CPU:0")


def test_a_keras_variable_is_one_variable_of_the_export_that_every_loader_and_a_checkpoint_find(
    project,
):
    project.write(
        "mynet.py",
        "import keras\n"
        "def make():\n"
        "    inputs = keras.Input((3,))\n"
        "    return keras.Model(inputs, keras.layers.Dense(2, name='out', kernel_initializer='ones')(inputs))\n",
    )
    signature = "{inputs: {inputs: {shape: [batch, 3], dtype: float32}}}"
    release = project.export(
        "model._target_=mynet.make", "signatures=none", f"+signatures.serving_default={signature}"
    )

    handles = [node.name for node in meta_graph(release).graph_def.node if node.op == "VarHandleOp"]
    assert sorted(handles) == ["out/bias", "out/kernel"]
    served = serve(release.path, "serving_default", inputs=np.ones((1, 3), np.float32))
    assert served["out"].tolist() == [[3, 3]]
    loaded = tf.saved_model.load(str(release.path))
    tf.saved_model.save(loaded, str(project.root / "again"), signatures=loaded.signatures)
    assert serve(project.root / "again", "serving_default", inputs=np.ones((2, 3), np.float32))[
        "out"
    ].shape == (
        2,
        2,
    )


def test_no_declared_signature_leaves_the_choice_to_tensorflow(project):
    project.write(
        "mynet.py",
        "import tensorflow as tf\n"
        "class Net(tf.Module):\n"
        "    @tf.function(input_signature=[tf.TensorSpec([], tf.float32)])\n"
        "    def double(self, x):\n"
        "        return x + x\n",
    )
    release = project.export("model._target_=mynet.Net", "signatures=none")

    assert serve(release.path, "serving_default", x=np.float32(4)) == {"output_0": 8}


def test_equal_bytes_have_equal_fingerprints_and_others_do_not(project):
    first, same, other = (
        project.export("model=scaler", f"model.factor={factor}") for factor in (2, 2, 3)
    )

    bytes_of = [(release.path / "fingerprint.pb").read_bytes() for release in (first, same, other)]
    assert bytes_of[0] == bytes_of[1] != bytes_of[2]
    assert tf.saved_model.experimental.read_fingerprint(str(first.path)).saved_model_checksum
    assert first.digest != other.digest


def test_an_object_that_tensorflow_cannot_save_is_a_failure_of_the_model(project):
    project.write(
        "mynet.py",
        "import tensorflow as tf\n"
        "hidden = tf.Variable(1.0)\n"
        "class Net(tf.Module):\n"
        "    @tf.function\n"
        "    def add(self, x):\n"
        "        return x + hidden\n",
    )
    with pytest.raises(
        Exception, match="add uses the variable Variable, held by mynet.hidden"
    ) as error:
        project.export("model._target_=mynet.Net")

    assert error.value.exit_code == 3
    assert not isinstance(error.value, PublishError)


def test_an_uncallable_function_without_declared_signatures_is_an_error(project):
    with pytest.raises(ContractError, match=r"audit\.untraced_functions: add: was never traced"):
        project.export("signatures=none")


def test_a_model_in_which_tensorflow_finds_no_signature_is_saved_with_a_warning(project):
    project.write(
        "mynet.py",
        "import tensorflow as tf\n"
        "class Net(tf.Module):\n"
        "    @tf.function(input_signature=[tf.TensorSpec([], tf.float32)])\n"
        "    def a(self, x): return x\n"
        "    @tf.function(input_signature=[tf.TensorSpec([], tf.float32)])\n"
        "    def b(self, x): return x\n",
    )
    release = project.export("model._target_=mynet.Net", "signatures=none")

    assert [warning.message for warning in release.warnings] == [
        "none was saved: TensorFlow picks one only if exactly one function is traced;"
        " tf.saved_model.load gives a, b"
    ]
