"""From a config to a live object: seeds, devices, arguments, and what is said where it cannot be built."""

import random
import textwrap

import numpy as np
import pytest
import tensorflow as tf

from smdecl import building, checking, isolating
from smdecl.errors import ConfigError, ModelError, TrustError, VerificationError
from smdecl.project import find_project

NET = """
import tensorflow as tf


class Net(tf.Module):
    def __init__(self, units, bias=1.0, *, scale=1.0, inner=None):
        super().__init__()
        self.units, self.bias, self.scale, self.inner = units, bias, scale, inner
        self.w = tf.Variable(float(scale), name="w")

    @tf.function
    def add(self, x):
        return self.w * x + self.bias


class Anything(Net):
    def __init__(self, *args, **kwargs):
        super().__init__(units=len(args) + len(kwargs))


class ByPosition(Net):
    def __init__(self, units, /):
        super().__init__(units)


class Nothing(Net):
    def __init__(self):
        super().__init__(1)


class Broken(Net):
    def __init__(self, units):
        super().__init__(units)
        raise ValueError("no such units")


class Plain:
    def add(self, x):
        return x


CONSTANT = 3


def make(units: int = 2, kind: str = "Net"):
    return globals()[kind](units)


def make_nothing():
    return None
"""

KERAS = """
import keras
import tensorflow as tf


class Net(keras.Model):
    def __init__(self, units=2):
        super().__init__()
        self.hidden = keras.layers.Dense(4, name="hidden")
        self.out = keras.layers.Dense(units, name="out")

    def call(self, x):
        return self.out(self.hidden(x))


class WithItsOwnSpec(Net):
    @tf.function(input_signature=[tf.TensorSpec([None, 3], name="x")])
    def serve(self, x):
        return self(x)


class InAModule(tf.Module):
    def __init__(self):
        super().__init__()
        self.layer = keras.layers.Dense(2)
        self.layer.build((None, 3))

    @tf.function
    def __call__(self, x):
        return self.layer(x)
"""

ROWS = "signatures=rows"


@pytest.fixture
def net(project):
    project.write("mynet.py", NET)
    project.write("mykeras.py", KERAS)
    project.write("conf/signatures/rows.yaml", "serving_default: {inputs: {x: {shape: [batch, 3], dtype: float32}}}\n")
    project.write("conf/signatures/own.yaml", "serving_default: {method: serve}\n")
    return project


def conf(project, text):
    project.write("conf/model/mine.yaml", textwrap.dedent(text))


def described(project, *overrides):
    """Returns the description of what a config builds, in a process of its own as an export does it."""
    here = find_project(project.root)
    config = checking.check(project.compose("verify=load", *overrides), here)
    return isolating.run(_record, config, here, failure=ModelError, doing="building")


def _record(config, project):
    return building.build(config, project).record


def problems(project, *overrides, kind=ConfigError):
    with pytest.raises(kind) as error:
        project.export(*overrides)
    assert type(error.value) is kind
    assert not (project.root / "exports").exists()
    return {problem.key: problem.message for problem in error.value.problems}


def served(release, key="serving_default", **inputs):
    function = tf.saved_model.load(str(release.path)).signatures[key]
    outputs = function(**{name: tf.constant(value) for name, value in inputs.items()})
    return {name: value.numpy() for name, value in outputs.items()}


def test_the_seed_decides_what_random_initialisers_make(net):
    conf(net, "{_target_: mykeras.Net}")

    first, second = net.export("model=mine", ROWS), net.export("model=mine", ROWS)
    other = net.export("model=mine", ROWS, "seed=1")

    x = np.ones([1, 3], np.float32)
    assert first.digest == second.digest
    assert served(first, x=x)["output_0"].tolist() == served(second, x=x)["output_0"].tolist()
    assert served(first, x=x)["output_0"].tolist() != served(other, x=x)["output_0"].tolist()


def test_the_seed_reaches_pythons_and_numpys_and_tensorflows_generators(net):
    net.write(
        "mynet.py",
        "import random\nimport numpy as np\nimport tensorflow as tf\nfrom smdecl.models import Scaler\n"
        "class Net(Scaler):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        drawn = [random.random(), np.random.rand(), tf.random.uniform([])]\n"
        "        self.drawn = tf.Variable(tf.cast(drawn, tf.float64))\n"
        "    @tf.function\n"
        "    def add(self, x):\n"
        "        return self.drawn + tf.cast(0 * x, tf.float64)\n",
    )

    drawn = [
        served(net.export("model._target_=mynet.Net", "signatures.serving_default.outputs=null", f"seed={seed}"), x=0.0)
        for seed in (5, 5, 6)
    ]

    values = [outputs["output_0"].tolist() for outputs in drawn]
    assert values[0] == values[1]
    assert all(one != other for one, other in zip(values[0], values[2], strict=True))
    assert values[0][:2] == pytest.approx([random.Random(5).random(), np.random.RandomState(5).rand()])


def test_a_device_that_is_not_here_is_told_with_those_that_are(net):
    found = problems(net, "devices.visible=[CPU:0,GPU:7]")

    assert list(found) == ["devices.visible[1]"]
    assert found["devices.visible[1]"].startswith("no device 'GPU:7' here; takes CPU:0")


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
    release = net.export(*overrides, "audit=strict")  # that no node is pinned, the audit sees

    assert served(release, x=1.0)["output_0"] == 3.0
    with pytest.raises(VerificationError) as error:  # what it would pin, the process that verifies does not have
        net.export(*overrides, "options.experimental_variable_policy=save_variable_devices")
    assert "operation traced/Read/ReadVariableOp" in str(error.value)
    assert "device:CPU:1 but available devices are" in str(error.value)


@pytest.mark.parametrize("key", ["build", "trace"])
@pytest.mark.parametrize("device", ["/GPU:9", "/device:GPU:9", "/job:localhost/device:CPU:2", "CPU:3"])
def test_a_device_to_build_or_trace_on_must_be_here(net, key, device):
    found = problems(net, f"devices.{key}={device}")

    assert list(found) == [f"devices.{key}"]
    assert found[f"devices.{key}"].startswith(f"no device {device!r} here; takes /device:CPU:0")


def test_the_object_is_built_under_the_strategy_that_the_config_names(net):
    net.write(
        "mynet.py",
        "import tensorflow as tf\nfrom smdecl.models import Adder\n"
        "class Net(Adder):\n"
        "    def __init__(self):\n"
        "        raise ValueError(type(tf.distribute.get_strategy()).__name__)\n",
    )
    strategy = "devices.strategy={_target_: tensorflow.distribute.OneDeviceStrategy, device: '/cpu:0'}"

    assert problems(net, "model._target_=mynet.Net", strategy, kind=ModelError) == {
        "model": "building mynet.Net failed: ValueError: OneDeviceStrategy"
    }


@pytest.mark.parametrize("target", ["MirroredStrategy, devices: ['/gpu:0']", "OneDeviceStrategy, device: '/gpu:0'"])
def test_a_device_of_a_strategy_must_be_here(net, target):
    found = problems(net, f"devices.strategy={{_target_: tensorflow.distribute.{target}}}")

    assert found == {"devices.strategy": "no device '/device:GPU:0' here; takes /device:CPU:0"}


def test_a_strategy_that_is_none_is_told(net):
    found = problems(net, "devices.strategy={_target_: mynet.Net, units: 1}")

    assert found == {"devices.strategy._target_": "mynet.Net made a Net; takes a tf.distribute.Strategy"}


def test_a_build_device_beside_a_strategy_is_not_passed_over(net):
    found = problems(net, "devices=mirrored", "devices.build=/device:CPU:0")

    assert found == {
        "devices.build": "got '/device:CPU:0'; takes null beside devices.strategy, which places variables by itself"
    }


# A node, and what is wrong with it by the keys below it.
UNFIT = [
    (
        "{_target_: mynet.Net, units: 1, scal: 2}",
        {"model.scal": "Net takes no argument 'scal'; takes units, bias, scale, inner; did you mean 'scale'?"},
    ),
    ("{_target_: mynet.Net}", {"model.units": "is missing: Net needs the argument 'units'"}),
    (
        "{_target_: mynet.Net, unitz: 1}",
        {
            "model.unitz": "Net takes no argument 'unitz'; takes units, bias, scale, inner; did you mean 'units'?",
            "model.units": "is missing: Net needs the argument 'units'",
        },
    ),
    ("{_target_: mynet.Nothing, x: 1}", {"model.x": "Nothing takes no argument 'x'; takes no arguments"}),
    ("{_target_: mynet.Net, _args_: [1, 2, 3]}", {"model._args_": "Net takes at most 2 positional; got 3"}),
    ("{_target_: mynet.Net, _args_: [1], units: 2}", {"model.units": "Net is given 'units' in _args_ already"}),
    ("{_target_: mynet.Net, _args_: []}", {"model.units": "is missing: Net needs the argument 'units'"}),
    ("{_target_: mynet.ByPosition}", {"model._args_": "is missing: ByPosition needs 'units' by position"}),
    (
        "{_target_: mynet.ByPosition, units: 1}",
        {
            "model.units": "ByPosition takes no argument 'units'; takes no arguments",
            "model._args_": "is missing: ByPosition needs 'units' by position",
        },
    ),
    (
        "{_target_: mynet.Net, units: 1, inner: [{deep: {_target_: mynet.make, unit: 2}}]}",
        {"model.inner[0].deep.unit": "make takes no argument 'unit'; takes units, kind; did you mean 'units'?"},
    ),
    (
        "{_target_: mynet.Net, units: 1, inner: {_target_: mynet.Net, _partial_: 3}}",
        {"model.inner._partial_": "got 3; takes true or false"},
    ),
    (
        "{_target_: mynet.Net, units: 1, inner: {_target_: mynet.Net, _recursive_: maybe}}",
        {"model.inner._recursive_": "got 'maybe'; takes true or false"},
    ),
    (
        "{_target_: mynet.Net, units: 1, inner: {_target_: mynet.Net, _convert_: every}}",
        {"model.inner._convert_": "got 'every'; takes none, partial, object or all"},
    ),
    (
        "{_target_: mynet.Net, units: 1, inner: {_target_: mynet.Net, _args_: abc}}",
        {"model.inner._args_": "got 'abc'; takes a list"},
    ),
]


def test_arguments_that_a_target_does_not_take_are_told_with_those_that_it_takes(net):
    conf(net, f"{{_target_: mynet.Net, units: 1, inner: [{', '.join(node for node, _ in UNFIT)}]}}")

    expected = {}
    for number, (_, found) in enumerate(UNFIT):
        for key, message in found.items():
            expected[key.replace("model", f"model.inner[{number}]", 1)] = message
    assert problems(net, "model=mine") == expected


def test_arguments_by_name_and_by_position_are_taken(net):
    nodes = [
        "{_target_: mynet.Net, units: 1, scale: 2}",
        "{_target_: mynet.Net, _args_: [1, 2]}",
        "{_target_: mynet.Net, _args_: [1], bias: 2}",
        "{_target_: mynet.ByPosition, _args_: [1]}",
        "{_target_: mynet.Anything, _args_: [1, 2, 3, 4], anything: 5}",
        "{_target_: mynet.Net, units: 1, inner: {_target_: mynet.make, _partial_: true}}",
        "{_target_: mynet.Net, units: 1, inner: {_target_: mynet.Net, _partial_: true}}",
    ]
    conf(net, f"{{_target_: mynet.Net, units: 1, inner: [{', '.join(nodes)}]}}")

    assert described(net, "model=mine").class_name == "mynet.Net"


def test_problems_of_all_targets_are_told_at_once(net):
    conf(net, "{_target_: mynet.Net, inner: [{_target_: mynet.Ne}, {_target_: mynet.CONSTANT}, {_target_: json.load}]}")
    assert list(problems(net, "model=mine", kind=TrustError)) == ["model.inner[2]._target_"]

    conf(net, "{_target_: mynet.Net, inner: [{_target_: mynet.Ne}, {_target_: mynet.CONSTANT}]}")
    assert problems(net, "model=mine") == {
        "model.units": "is missing: Net needs the argument 'units'",
        "model.inner[0]._target_": "'mynet' has no 'Ne'; did you mean 'Net'?",
        "model.inner[1]._target_": "'mynet.CONSTANT' is int, which cannot be called",
    }


def test_a_class_that_is_not_there_is_told_with_the_nearest_that_is(net):
    net.write("mypackage/__init__.py", "")
    net.write("mypackage/own.py", NET)
    messages = {
        "mynet.Nett": "'mynet' has no 'Nett'; did you mean 'Net'?",
        "mynet.Net.zzz": "'mynet.Net' has no 'zzz'",
        "mynet.sub.Net": "'mynet' has no 'sub'",
        "mypackage.sub.Net": "'mypackage' has no 'sub'",
        "mypackage.own.Nett": "'mypackage.own' has no 'Nett'; did you mean 'Net'?",
        "keras.layers.Dens": "'keras.layers' has no 'Dens'; did you mean 'Dense'?",
    }
    nodes = ", ".join(f"{{_target_: {target}}}" for target in messages)
    conf(net, f"{{_target_: mynet.Net, units: 1, inner: [{nodes}]}}")

    assert list(problems(net, "model=mine").values()) == list(messages.values())


def test_a_class_in_a_submodule_that_nobody_has_imported_is_found(net):
    net.write("mypackage/__init__.py", "")
    net.write("mypackage/deep/own.py", NET)

    assert described(net, "model._target_=mypackage.deep.own.Nothing").class_name == "mypackage.deep.own.Nothing"


def test_a_module_that_fails_while_it_is_imported_shows_the_users_own_lines(net):
    net.write("helper.py", "def start():\n    raise RuntimeError('no licence')\n")
    net.write("broken.py", "import helper\n\nhelper.start()\n")

    with pytest.raises(ModelError) as error:
        net.export("model._target_=broken.Net")

    assert error.value.exit_code == 3
    assert str(error.value).endswith("model._target_: importing 'broken' failed: RuntimeError: no licence")
    lines = [line for line in error.value.traceback_text.splitlines() if line.lstrip().startswith("File ")]
    assert [line.rpartition("/")[2] for line in lines] == [
        'broken.py", line 3, in <module>',
        'helper.py", line 2, in start',
    ]


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import not_installed_anywhere\n", "ModuleNotFoundError: No module named 'not_installed_anywhere'"),
        ("def f(:\n", "SyntaxError: "),
        ("def __getattr__(name):\n    raise RuntimeError('lazily broken')\n", "RuntimeError: lazily broken"),
    ],
)
def test_other_ways_of_a_module_to_fail_are_told_as_its_own(net, code, message):
    net.write("broken.py", code)

    assert message in problems(net, "model._target_=broken.Net", kind=ModelError)["model._target_"]


def test_a_module_that_exits_while_it_is_imported_is_told(net):
    net.write("broken.py", "raise SystemExit(7)\n")

    with pytest.raises(ModelError, match=r"SystemExit|exit"):
        net.export("model._target_=broken.Net")


def test_a_constructor_that_fails_is_told_by_its_own_key_and_lines(net):
    conf(net, "{_target_: mynet.Net, units: 1, inner: [{x: 1}, {y: {_target_: mynet.Broken, units: 2}}]}")

    with pytest.raises(ModelError) as error:
        net.export("model=mine")

    assert str(error.value) == (
        "conf/model/mine.yaml:1: model.inner[1].y: building mynet.Broken failed: ValueError: no such units"
    )
    assert 'mynet.py", line ' in error.value.traceback_text
    assert "hydra" not in error.value.traceback_text


@pytest.mark.parametrize(
    ("model", "key", "message"),
    [
        ("{_target_: mynet.Plain}", "model._target_", "mynet.Plain made a Plain, which TensorFlow cannot track; takes"),
        ("{_target_: mynet.make_nothing}", "model._target_", "mynet.make_nothing made a NoneType, which TensorFlow"),
        ("{_target_: keras.activations.relu, x: 1.0}", "model._target_", "which TensorFlow cannot track; takes a tf."),
        ("{_target_: mynet.make, _partial_: true}", "model._partial_", "got true, so nothing is built; takes false"),
        ("{_target_: mynet.Net, _partial_: true}", "model._partial_", "got true, so nothing is built; takes false"),
    ],
)
def test_what_tensorflow_cannot_track_is_told(net, model, key, message):
    conf(net, model)

    found = problems(net, "model=mine")

    assert list(found) == [key]
    assert message in found[key]


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

    net.write("conf/signatures/rows.yaml", "serving_default: {inputs: {inputs: {shape: [b, 3], dtype: float32}}}\n")

    release = net.export("model=mine", ROWS)

    x = np.array([[1, 2, 0], [3, 3, 3]], np.float32)
    assert served(release, inputs=x)["dense"].tolist() == [[6, 6], [10, 10]]


def test_lists_and_mappings_arrive_plain(net):
    net.write(
        "mynet.py",
        "from smdecl.models import Adder\n"
        "class Net(Adder):\n"
        "    def __init__(self, value):\n"
        "        assert type(value) is list and type(value[0]) is dict and type(value[0]['a']) is list, value\n",
    )
    conf(net, "{_target_: mynet.Net, value: [{a: [1, 2]}]}")

    assert described(net, "model=mine").class_name == "mynet.Net"


def test_a_factory_makes_the_object(net):
    conf(net, "{_target_: mynet.make, kind: Anything}")

    record = described(net, "model=mine")

    assert record.class_name == "mynet.Anything"


def test_a_keras_model_without_variables_is_built_by_the_declared_specs(net):
    record = described(net, "model._target_=mykeras.Net", ROWS)

    assert [(variable.name, variable.shape) for variable in record.variables] == [
        ("net/hidden/kernel", (3, 4)),
        ("net/hidden/bias", (4,)),
        ("net/out/kernel", (4, 2)),
        ("net/out/bias", (2,)),
    ]


def test_its_batch_stays_dynamic(net):
    release = net.export("model._target_=mykeras.Net", ROWS, "verify.generate=3")

    assert release.signatures["serving_default"].outputs["output_0"].shape == (None, 2)
    for batch in (1, 5):
        assert served(release, x=np.ones([batch, 3], np.float32))["output_0"].shape == (batch, 2)


def test_a_keras_model_is_built_by_the_spec_of_its_own_function(net):
    record = described(net, "model._target_=mykeras.WithItsOwnSpec", "signatures=own")

    assert len(record.variables) == 4


def test_a_keras_model_that_fails_when_it_is_called_is_told_by_its_signature(net):
    found = problems(
        net, "model._target_=mykeras.Net", ROWS, "signatures.serving_default.inputs.x.dtype=string", kind=ModelError
    )

    assert list(found) == ["signatures.serving_default"]
    assert found["signatures.serving_default"].startswith("calling __call__ failed: ")


def test_an_input_that_a_keras_model_does_not_take_is_told_with_those_that_it_takes(net):
    net.write("conf/signatures/z.yaml", "serving_default: {inputs: {z: {shape: [batch, 3], dtype: float32}}}\n")

    found = problems(net, "model._target_=mykeras.Net", "signatures=z")

    assert "has no argument 'z'; it has: x" in found["signatures.serving_default.inputs.z"]


def test_a_module_is_described_by_its_variables_and_its_own_methods(net):
    conf(net, "{_target_: mynet.Net, units: 1}")

    record = described(net, "model=mine")

    assert record.class_name == "mynet.Net"
    assert [(variable.name, variable.dtype, variable.shape) for variable in record.variables] == [("w", "float32", ())]
    assert record.methods == {"add": ("x",)}
    assert (record.restored, record.not_restored) == ((), ())


def test_a_module_is_described_with_the_variables_of_the_keras_layers_that_it_holds(net):
    record = described(net, "model._target_=mykeras.InAModule", ROWS)

    assert sorted(variable.shape for variable in record.variables) == [(2,), (3, 2)]


def test_a_keras_model_is_described_by_how_it_is_called(net):
    record = described(net, "model._target_=mykeras.WithItsOwnSpec", ROWS)

    assert record.methods == {"__call__": ("x",), "call": ("x",), "serve": ("x",)}


def test_a_checkpoint_is_described(net):
    conf(net, "{_target_: tensorflow.train.Checkpoint, net: {_target_: mynet.Net, units: 1}}")

    record = described(net, "model=mine", "signatures.serving_default.method=net.add")
    release = net.export("model=mine", "signatures.serving_default.method=net.add", "name=checkpoint")

    assert record.class_name == "tensorflow.python.checkpoint.checkpoint.Checkpoint"
    assert [variable.name for variable in record.variables] == ["w"]
    assert served(release, x=2.0) == {"output_0": 3.0}


def test_a_property_that_fails_is_no_method_and_no_error(net):
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
    net.write("again.py", "import tensorflow as tf\ndef load(path):\n    return tf.saved_model.load(path)\n")
    conf(net, f"{{_target_: again.load, path: {first.path}}}")

    record = described(net, "model=mine")
    second = net.export("model=mine")

    assert record.methods == {"add": ("x",)}
    assert [variable.name for variable in record.variables] == ["factor"]
    assert served(second, x=2.0) == {"output_0": 8.0}


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
def test_what_is_built_over_several_devices_is_served_on_one(net, policy, replicas):
    net.write("mynet.py", MIRRORED)
    strategy = "{_target_: tensorflow.distribute.MirroredStrategy, devices: ['CPU:0', 'CPU:1']}"

    release = net.export(
        "model._target_=mynet.Net",
        f"devices.strategy={strategy}",
        f"options.experimental_variable_policy={policy}",
        "audit.strategy=warn",
        "verify.loaders=[python]" if replicas else "verify.loaders=[python,cpp]",
    )

    assert tf.saved_model.load(str(release.path)).signatures["serving_default"](x=tf.constant(2.0))["output_0"] == 6
    told = [warning.message for warning in release.warnings if warning.key == "audit.strategy"]
    assert len(told) == (1 if replicas else 0)
    if not replicas:
        assert served(release, x=2.0)["output_0"] == 6


def test_what_is_aggregated_when_it_is_read_is_served_without_a_strategy(net):
    net.write("mynet.py", MIRRORED)

    release = net.export(
        "model._target_=mynet.Summed",
        "devices.strategy={_target_: tensorflow.distribute.MirroredStrategy, devices: ['CPU:0', 'CPU:1']}",
    )

    assert release.warnings == ()
    assert tf.saved_model.load(str(release.path)).signatures["serving_default"](x=tf.constant(2.0))["output_0"] == 14
    assert served(release, x=2.0)["output_0"] == 14  # 2 by the mean, and the sum of what both replicas begin with
