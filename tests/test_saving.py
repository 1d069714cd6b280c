"""What the save options do is seen in the export."""

import numpy as np
import pytest
import tensorflow as tf

from smdecl import inspecting
from smdecl.errors import ConfigError, ContractError, PublishError
from tests.conftest import tree
from tests.test_pipeline import serve


def meta_graph(release):
    return inspecting.read(release.path).meta_graphs[0]


def test_extra_tags_are_tags_of_their_own(project):
    release = project.export("options.extra_tags=[gpu]")

    assert sorted(meta_graph(release).meta_info_def.tags) == ["gpu", "serve"]
    assert tf.saved_model.load(str(release.path), tags=["serve", "gpu"]).signatures["serving_default"] is not None


def test_function_aliases_are_written_and_an_unknown_method_is_told(project):
    release = project.export("+options.function_aliases.sum=add")

    assert set(meta_graph(release).meta_info_def.function_aliases.values()) == {"sum"}
    with pytest.raises(ConfigError, match=r"options.function_aliases.sum: 'nothing' is no tf.function of Adder"):
        project.export("+options.function_aliases.sum=nothing")


@pytest.mark.parametrize("skipped", [True, False])
def test_the_saver_is_in_the_graph_or_not(project, skipped):
    release = project.export(f"options.experimental_skip_saver={str(skipped).lower()}")

    assert (meta_graph(release).saver_def.restore_op_name == "") == skipped


def test_debug_info_is_written(project):
    assert "debug/saved_model_debug_info.pb" in tree(project.export("options.save_debug_info=true").path)


def test_the_io_device_is_where_the_saver_runs(project):
    release = project.export("model=scaler", "options.experimental_io_device=/job:localhost")

    assert serve(release.path, "serving_default", x=np.float32(2)) == {"output_0": 6}


def test_variable_devices_are_saved_where_the_policy_says(project):
    plain = project.export("model=scaler", "devices.build=/device:CPU:0")
    kept = project.export(
        "model=scaler", "devices.build=/device:CPU:0", "options.experimental_variable_policy=save_variable_devices"
    )

    def device(release):
        return next(n.variable.device for n in meta_graph(release).object_graph_def.nodes if n.HasField("variable"))

    assert device(plain) == ""
    assert device(kept).endswith("CPU:0")


@pytest.mark.parametrize("kept", [True, False])
def test_custom_gradients_are_kept_or_not(project, kept):
    project.write(
        "mynet.py",
        "import tensorflow as tf\n"
        "@tf.custom_gradient\n"
        "def clipped(x):\n"
        "    return x * 2.0, lambda upstream: tf.clip_by_value(upstream, -1.0, 1.0)\n"
        "class Net(tf.Module):\n"
        "    @tf.function\n"
        "    def add(self, x):\n"
        "        return clipped(x)\n",
    )
    release = project.export("model._target_=mynet.Net", f"options.experimental_custom_gradients={str(kept).lower()}")

    functions = meta_graph(release).graph_def.library
    assert bool(functions.registered_gradients) == kept


def test_a_sharding_policy_is_built_from_the_config(project):
    callback = "{_target_: tensorflow.train.experimental.MaxShardSizePolicy, max_shard_size: 64}"
    project.write(
        "mynet.py",
        "import tensorflow as tf\n"
        "class Net(tf.Module):\n"
        "    def __init__(self):\n"
        "        self.a, self.b = tf.Variable(tf.ones([16])), tf.Variable(tf.ones([16]))\n"
        "    def add(self, x):\n"
        "        return x + self.a[0] + self.b[0]\n",
    )
    release = project.export("model._target_=mynet.Net", f"options.experimental_sharding_callback={callback}")

    shards = [name for name in tree(release.path) if "variables.data-" in name]
    assert len(shards) > 1


def test_a_keras_variable_is_one_variable_of_the_export_that_every_loader_and_a_checkpoint_find(project):
    project.write(
        "mynet.py",
        "import keras\n"
        "def make():\n"
        "    inputs = keras.Input((3,))\n"
        "    return keras.Model(inputs, keras.layers.Dense(2, name='out', kernel_initializer='ones')(inputs))\n",
    )
    signature = "{inputs: {inputs: {shape: [batch, 3], dtype: float32}}}"
    release = project.export("model._target_=mynet.make", "signatures=none", f"+signatures.serving_default={signature}")

    handles = [node.name for node in meta_graph(release).graph_def.node if node.op == "VarHandleOp"]
    assert sorted(handles) == ["out/bias", "out/kernel"]
    served = serve(release.path, "serving_default", inputs=np.ones((1, 3), np.float32))
    assert served["out"].tolist() == [[3, 3]]
    loaded = tf.saved_model.load(str(release.path))
    tf.saved_model.save(loaded, str(project.root / "again"), signatures=loaded.signatures)
    assert serve(project.root / "again", "serving_default", inputs=np.ones((2, 3), np.float32))["out"].shape == (
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


def test_the_fingerprint_of_the_same_bytes_is_the_same_and_of_others_another(project):
    first, same, other = (project.export("model=scaler", f"model.factor={factor}") for factor in (2, 2, 3))

    bytes_of = [(release.path / "fingerprint.pb").read_bytes() for release in (first, same, other)]
    assert bytes_of[0] == bytes_of[1] != bytes_of[2]
    assert tf.saved_model.experimental.read_fingerprint(str(first.path)).saved_model_checksum
    assert first.digest != other.digest


def test_an_object_that_tensorflow_cannot_save_is_the_models_failure(project):
    project.write(
        "mynet.py",
        "import tensorflow as tf\n"
        "hidden = tf.Variable(1.0)\n"
        "class Net(tf.Module):\n"
        "    @tf.function\n"
        "    def add(self, x):\n"
        "        return x + hidden\n",
    )
    with pytest.raises(Exception, match="add uses the variable Variable, held by mynet.hidden") as error:
        project.export("model._target_=mynet.Net")

    assert error.value.exit_code == 3
    assert not isinstance(error.value, PublishError)


def test_where_nothing_is_declared_and_nothing_could_be_called_it_is_an_error(project):
    with pytest.raises(ContractError, match=r"audit\.untraced_functions: add: was never traced"):
        project.export("signatures=none")


def test_where_tensorflow_finds_no_signature_it_is_told(project):
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
        "none was saved: TensorFlow's own search takes one only where exactly one function is traced;"
        " tf.saved_model.load gives a, b"
    ]
