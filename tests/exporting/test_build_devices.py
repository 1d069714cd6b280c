"""Building objects on the devices and under the strategy of the config."""

import pytest
import tensorflow as tf
from smdecl.errors import ModelError, VerificationError

from tests.exporting.building_projects import problems, served, write_net


@pytest.fixture
def net(project):
    return write_net(project)


def test_an_unavailable_device_is_reported_with_the_available_ones(net):
    found = problems(net, "devices.visible=[CPU:0,GPU:7]")

    assert list(found) == ["devices.visible[1]"]
    assert found["devices.visible[1]"].startswith("no such device: 'GPU:7'; expected one of CPU:0")


def test_the_object_is_built_on_the_device_that_the_config_names(net):
    net.write(
        "mynet.py",
        "import tensorflow as tf\nfrom smdecl.models import Adder\n"
        "class Net(Adder):\n"
        "    def __init__(self):\n"
        "        raise ValueError(tf.constant(1).device + str(tf.config.get_visible_devices()))\n",
    )

    message = problems(net, "model._target_=mynet.Net", "devices=cpu", kind=ModelError)["model"]

    assert "/device:CPU:0" in message
    assert "CPU" in message.partition("[")[2]
    assert "GPU" not in message.partition("[")[2]


LAZY = """
import tensorflow as tf

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)


class Net(tf.Module):
    def __init__(self):
        super().__init__()
        self.built, self.traced = tf.Variable(1.0, name="built"), None

    @tf.function
    def add(self, x):
        if self.traced is None:
            self.traced = tf.Variable(1.0, name="traced")
        return x + self.built + self.traced
"""


def test_variables_land_where_the_config_builds_and_traces(net):
    net.write("mynet.py", LAZY)

    overrides = ["model._target_=mynet.Net", "devices.build=/CPU:0", "devices.trace=/CPU:1"]
    release = net.export(*overrides, "audit=strict")  # the audit checks that no node is pinned

    assert served(release, x=1.0)["output_0"] == 3.0
    with pytest.raises(VerificationError) as error:  # the verifying process lacks the pinned device
        net.export(*overrides, "options.experimental_variable_policy=save_variable_devices")
    assert "operation traced/Read/ReadVariableOp" in str(error.value)
    assert "device:CPU:1 but available devices are" in str(error.value)


@pytest.mark.parametrize("key", ["build", "trace"])
@pytest.mark.parametrize(
    "device", ["/GPU:9", "/device:GPU:9", "/job:localhost/device:CPU:2", "CPU:3"]
)
def test_a_device_to_build_or_trace_on_must_be_available(net, key, device):
    found = problems(net, f"devices.{key}={device}")

    assert list(found) == [f"devices.{key}"]
    assert found[f"devices.{key}"].startswith(
        f"no such device: {device!r}; expected one of /device:CPU:0"
    )


def test_the_object_is_built_under_the_strategy_that_the_config_names(net):
    net.write(
        "mynet.py",
        "import tensorflow as tf\nfrom smdecl.models import Adder\n"
        "class Net(Adder):\n"
        "    def __init__(self):\n"
        "        raise ValueError(type(tf.distribute.get_strategy()).__name__)\n",
    )
    strategy = (
        "devices.strategy={_target_: tensorflow.distribute.OneDeviceStrategy, device: '/cpu:0'}"
    )

    assert problems(net, "model._target_=mynet.Net", strategy, kind=ModelError) == {
        "model": "building mynet.Net failed: ValueError: OneDeviceStrategy"
    }


@pytest.mark.parametrize(
    "target", ["MirroredStrategy, devices: ['/gpu:0']", "OneDeviceStrategy, device: '/gpu:0'"]
)
def test_a_device_of_a_strategy_must_be_available(net, target):
    found = problems(net, f"devices.strategy={{_target_: tensorflow.distribute.{target}}}")

    assert found == {
        "devices.strategy": "no such device: '/device:GPU:0'; expected one of /device:CPU:0"
    }


def test_a_target_that_builds_no_strategy_is_refused(net):
    found = problems(net, "devices.strategy={_target_: mynet.Net, units: 1}")

    assert found == {
        "devices.strategy._target_": "expected a tf.distribute.Strategy, got a Net from mynet.Net"
    }


def test_a_build_device_together_with_a_strategy_is_refused(net):
    found = problems(net, "devices=mirrored", "devices.build=/device:CPU:0")

    assert found == {
        "devices.build": "expected null, got '/device:CPU:0': devices.strategy decides where variables are placed"
    }


MIRRORED = """
import tensorflow as tf
import tf_keras

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)


class Net(tf.Module):
    def __init__(self):
        super().__init__()
        self.w = tf.Variable(3.0, name="w")
        assert len(self.w.values) == 2  # a replica on each of the two

    @tf.function
    def add(self, x):
        return x * self.w


class Summed(tf.Module):
    def __init__(self):
        super().__init__()
        aggregated = {"synchronization": tf.VariableSynchronization.ON_READ, "trainable": False}
        self.count = tf.Variable(2.0, aggregation=tf.VariableAggregation.SUM, **aggregated)
        self.mean = tf.Variable(5.0, aggregation=tf.VariableAggregation.MEAN, **aggregated)
        features = tf_keras.Input((1,), name="x")
        self.net = tf_keras.Model(features, tf_keras.layers.BatchNormalization(epsilon=0.0)(features))

    def add(self, x):
        return self.net(tf.reshape(x, [1, 1]))[0, 0] * self.mean + self.count
"""


@pytest.mark.parametrize(("policy", "replicas"), [("null", 0), ("expand_distributed_variables", 2)])
def test_a_model_built_on_several_devices_is_served_on_one(net, policy, replicas):
    net.write("mynet.py", MIRRORED)
    strategy = "{_target_: tensorflow.distribute.MirroredStrategy, devices: ['CPU:0', 'CPU:1']}"

    release = net.export(
        "model._target_=mynet.Net",
        f"devices.strategy={strategy}",
        f"options.experimental_variable_policy={policy}",
        "audit.strategy=warn",
        "verify.loaders=[python]" if replicas else "verify.loaders=[python,cpp]",
    )

    assert (
        tf.saved_model.load(str(release.path)).signatures["serving_default"](x=tf.constant(2.0))[
            "output_0"
        ]
        == 6
    )
    messages = [warning.message for warning in release.warnings if warning.key == "audit.strategy"]
    assert len(messages) == (1 if replicas else 0)
    if not replicas:
        assert served(release, x=2.0)["output_0"] == 6


def test_variables_that_are_aggregated_on_read_are_served_without_a_strategy(net):
    net.write("mynet.py", MIRRORED)

    release = net.export(
        "model._target_=mynet.Summed",
        "devices.strategy={_target_: tensorflow.distribute.MirroredStrategy, devices: ['CPU:0', 'CPU:1']}",
    )

    assert release.warnings == ()
    assert (
        tf.saved_model.load(str(release.path)).signatures["serving_default"](x=tf.constant(2.0))[
            "output_0"
        ]
        == 14
    )
    assert (
        served(release, x=2.0)["output_0"] == 14
    )  # 2 times the mean, plus the sum of both replicas
