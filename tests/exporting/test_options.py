"""Every field of `tf.saved_model.SaveOptions` has its documented effect if a config sets it."""

import types

import numpy as np
import pytest
import tensorflow as tf
from smdecl.errors import ConfigError
from smdecl.exporting.saving import save
from smdecl.savedmodel import inspection
from smdecl.verification import load
from smdecl.verification.c_api import LoaderError

from tests.conftest import tree
from tests.serving import serve

NET = """
import tensorflow as tf

X = tf.TensorSpec([], tf.float32)


@tf.custom_gradient
def clipped(x):
    return x * 2.0, lambda upstream: tf.clip_by_value(upstream, -1.0, 1.0)


def namespaced(x):
    # The one op with a namespace that TensorFlow itself registers; it has no kernel, so it cannot run.
    graph = tf.compat.v1.GraphDef()
    graph.node.add(name="x", op="Placeholder").attr["dtype"].type = tf.float32.as_datatype_enum
    graph.node.add(name="other", op="Namespace>TestStringOutput", input=["x"])
    return tf.graph_util.import_graph_def(graph, input_map={"x:0": tf.identity(x)}, return_elements=["other:0"])[0]


class Net(tf.Module):
    def __init__(self, shape=()):
        self.first = tf.Variable(tf.ones(shape), name="first")
        self.second = tf.Variable(tf.ones(shape), name="second")

    @tf.function
    def add(self, x):
        return x + tf.reduce_mean(self.first) + tf.reduce_mean(self.second)

    @tf.function
    def clipped(self, x):
        return clipped(x)

    @tf.function
    def untraced(self, x):
        return x

    def plain(self, x):
        return x

    @tf.function
    def reached(self, x):
        _ = x if tf.executing_eagerly() else namespaced(x)
        return self.add(x)

    @tf.function
    def branched(self, x):
        def branch():
            _ = x if tf.executing_eagerly() else namespaced(x)
            return self.add(x)

        return tf.cond(x > 0, branch, lambda: x)

    @tf.function
    def multiply(self, x):
        return tf.linalg.matmul(x, x, transpose_b=True) * tf.cast(tf.cast(1.5, tf.int32), tf.float32)

    @tf.function
    def asserts(self, x):
        small = tf.shape(x)[0] < 4
        tf.debugging.Assert(small, [x], name="outside")

        def body(i, y):
            tf.debugging.Assert(small, [x], name="in_loop")
            return i + 1, y + 1

        return tf.cond(tf.shape(x)[0] > 0, lambda: tf.while_loop(lambda i, _: i < 2, body, [0, x])[1], lambda: x)

class Beside(Net):
    @tf.function(input_signature=[X])
    def other(self, x):
        return namespaced(x)

class ByVariable(tf.train.experimental.ShardingCallback):
    def __init__(self, prefix="first"):
        self.prefix = prefix

    @property
    def description(self):
        return "the variables of one name in a shard of their own"

    def __call__(self, shardable_tensors):
        shards = [{}, {}]
        for tensor in shardable_tensors:
            shard = shards[tensor.checkpoint_key.startswith(self.prefix)]
            shard.setdefault(tensor.checkpoint_key, {})[tensor.slice_spec] = tensor.tensor
        return [shard for shard in shards if shard]


"""
SCALAR = "{x: {shape: [], dtype: float32}}"
VECTOR = "{x: {shape: [n], dtype: float32}}"


@pytest.fixture
def net(project):
    project.write("mynet.py", NET)
    project.write("conf/model/net.yaml", "_target_: mynet.Net\n")
    return project


def export(net, *overrides, method="add", inputs=SCALAR):
    signature = f"+signatures.s={{method: {method}, inputs: {inputs}}}"
    return net.export(
        "model=net", "signatures=none", signature, *[f"options.{option}" for option in overrides]
    )


def refused(net, *overrides, **signature):
    with pytest.raises(Exception) as error:
        export(net, *overrides, **signature)
    assert not (net.root / "exports").exists()
    return error.value


def ask(release, x):
    """Returns what both loaders give."""
    loaded = (
        tf.saved_model.load(str(release.path))
        .signatures["s"](x=tf.constant(x, tf.float32))["output_0"]
        .numpy()
    )
    assert np.array_equal(loaded, serve(release.path, "s", x=np.array(x, np.float32))["output_0"])
    return loaded.tolist()


def meta_graph(release):
    return inspection.read(release.path).meta_graphs[0]


def ops(release):
    return {node.op for _, node in inspection.all_nodes(meta_graph(release))}


@pytest.mark.parametrize("allowed", ["null", "[Other,Namespace]"])
def test_an_op_of_a_namespace_that_is_allowed_is_saved(net, allowed):
    net.write("conf/model/net.yaml", "_target_: mynet.Beside\n")
    release = export(net, f"namespace_whitelist={allowed}")

    assert "Namespace>TestStringOutput" in ops(release)
    assert "audit.custom_ops" in [warning.key for warning in release.warnings]
    assert ask(release, 1) == 3


@pytest.mark.parametrize(
    ("model", "method", "allowed"),
    [("Net", "reached", "[]"), ("Net", "branched", "[]"), ("Beside", "add", "[Other]")],
)
def test_an_op_of_a_namespace_that_is_not_allowed_is_refused_wherever_it_is(
    net, model, method, allowed
):
    net.write("conf/model/net.yaml", f"_target_: mynet.{model}\n")

    error = refused(net, f"namespace_whitelist={allowed}", method=method)

    assert [problem.key for problem in error.problems] == ["options.namespace_whitelist"]
    assert "Namespace>TestStringOutput" in str(error)


def test_only_debug_info_contains_the_lines_of_the_code(net):
    with_info, again = (export(net, "save_debug_info=true") for _ in range(2))
    plain = export(net)

    assert tree(with_info.path) == tree(again.path)
    info = tree(with_info.path).pop("debug/saved_model_debug_info.pb")
    assert b"mynet.py" in info
    assert not any(
        str(net.root).encode() in data
        for path in (with_info, plain)
        for data in tree(path.path).values()
    )
    without = {
        name: data
        for name, data in tree(with_info.path).items()
        if not name.startswith(("debug/", "assets.extra/"))
    }
    assert without == {name: data for name, data in tree(plain.path).items() if name in without}
    assert ask(with_info, 1) == 3


def test_an_alias_names_every_trace_of_its_function(net):
    net.write(
        "conf/signatures/two.yaml",
        f"a: {{method: add, inputs: {SCALAR}}}\nb: {{method: add, inputs: {VECTOR}}}\n",
    )
    release = net.export("model=net", "signatures=two", "+options.function_aliases={sum: add}")
    graph = meta_graph(release)

    aliases = graph.meta_info_def.function_aliases
    assert set(aliases.values()) == {"sum"}
    assert set(aliases) <= {
        function.signature.name for function in graph.graph_def.library.function
    }
    assert len(aliases) >= 2
    assert serve(release.path, "b", x=np.ones([2], np.float32))["output_0"].tolist() == [3, 3]


def test_every_alias_that_would_name_nothing_is_reported(net):
    error = refused(
        net, "function_aliases={same: plain, other: untraced, sum: add, plus: add, no: nothing}"
    )

    assert isinstance(error, ConfigError)
    messages = {problem.key: problem.message for problem in error.problems}
    assert messages == {
        "options.function_aliases.same": "expected the path of a tf.function of Net, got 'plain'",
        "options.function_aliases.other": "expected a traced tf.function, but 'untraced' has no trace",
        "options.function_aliases.plus": "'add' has the alias 'sum' already, and TensorFlow keeps only one",
        "options.function_aliases.no": "expected the path of a tf.function of Net, got 'nothing'",
    }


def test_assertions_are_stripped_from_functions_branches_and_loops(net):
    kept = export(net, method="asserts", inputs=VECTOR)
    stripped = export(net, "experimental_debug_stripper=true", method="asserts", inputs=VECTOR)

    assert "Assert" in ops(kept)
    assert "Assert" not in ops(stripped)
    five = np.zeros([5], np.float32)
    with pytest.raises(LoaderError, match="assertion failed"):
        serve(kept.path, "s", x=five)
    assert ask(stripped, five) == [2] * 5


def test_the_io_device_writes_the_checkpoint_so_it_must_exist(net):
    error = refused(net, "experimental_io_device=/job:worker/task:1")
    assert [problem.key for problem in error.problems] == ["options.experimental_io_device"]

    release = export(net, "experimental_io_device=/job:localhost/task:0")
    assert (release.path / "saved_model.pb").read_bytes() == (
        export(net).path / "saved_model.pb"
    ).read_bytes()
    assert ask(release, 1) == 3


@pytest.mark.parametrize(
    ("policy", "device", "components"),
    [
        ("null", False, 0),
        ("none", False, 0),
        ("save_variable_devices", True, 0),
        ("expand_distributed_variables", True, 1),
    ],
)
def test_the_policy_says_what_is_kept_of_a_variable_under_a_strategy(
    net, policy, device, components
):
    signature = f"+signatures.s={{method: add, inputs: {SCALAR}}}"
    option = f"options.experimental_variable_policy={policy}"
    release = net.export("model=net", "devices=mirrored", "signatures=none", signature, option)

    variables = [
        node.variable
        for node in meta_graph(release).object_graph_def.nodes
        if node.HasField("variable")
    ]
    assert [variable.name for variable in variables] == ["first", "second"]
    assert [variable.device.endswith("CPU:0") for variable in variables] == [device] * 2
    assert device or not any(variable.device for variable in variables)
    found = [len(variable.experimental_distributed_variable_components) for variable in variables]
    assert found == [components] * 2
    assert ask(release, 1) == 3


def test_a_custom_gradient_that_is_kept_is_that_of_the_loaded_function(net):
    def gradient(release):
        function, x = tf.saved_model.load(str(release.path)).clipped, tf.constant(1.0)
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = function(x) * 10.0
        return tape.gradient(y, x)

    kept = export(net, method="clipped")
    assert gradient(kept).numpy() == 1
    assert meta_graph(kept).graph_def.library.registered_gradients
    without = export(net, "experimental_custom_gradients=false", method="clipped")
    assert serve(without.path, "s", x=np.float32(3)) == {"output_0": 6}
    assert not meta_graph(without).graph_def.library.registered_gradients
    with pytest.raises(LookupError, match="No gradient defined"):
        gradient(without)


def test_the_image_format_is_refused_before_anything_is_built(net):
    error = refused(net, "experimental_image_format=true")
    assert (
        "options.experimental_image_format: expected false: open-source builds of TensorFlow refuse true"
        in str(error)
    )


def test_without_a_saver_only_what_has_no_variables_can_be_served(net):
    release = export(net, "experimental_skip_saver=true", method="clipped")
    assert not {"SaveV2", "RestoreV2"} & ops(release)
    assert meta_graph(release).saver_def.restore_op_name == ""
    assert serve(release.path, "s", x=np.float32(3)) == {"output_0": 6}

    with pytest.raises(Exception, match=r"options\.experimental_skip_saver"):
        export(net, "experimental_skip_saver=true")


@pytest.mark.parametrize(
    ("callback", "count"),
    [
        ("{_target_: tensorflow.train.experimental.ShardByTaskPolicy}", 1),
        ("{_target_: tensorflow.train.experimental.MaxShardSizePolicy, max_shard_size: 256}", 32),
        ("{_target_: mynet.ByVariable}", 2),
        pytest.param("{_target_: mynet.ByVariable, prefix: nothing}", 1, marks=pytest.mark.slow),
    ],
)
def test_a_sharding_callback_divides_the_checkpoint(net, callback, count):
    net.write("conf/model/net.yaml", "_target_: mynet.Net\nshape: [1024]\n")
    release = export(net, f"experimental_sharding_callback={callback}")

    shards = [name for name in tree(release.path) if "variables.data-" in name]
    assert len(shards) >= count if "MaxShard" in callback else len(shards) == count
    if count > 1:
        assert tree(release.path) == tree(
            export(net, f"experimental_sharding_callback={callback}").path
        )
    assert ask(release, 1) == 3


def test_a_target_that_builds_no_sharding_callback_is_refused(net):
    error = refused(net, "experimental_sharding_callback={_target_: tensorflow.Module}")

    assert isinstance(error, ConfigError)
    assert [problem.key for problem in error.problems] == ["options.experimental_sharding_callback"]


def test_with_extra_tags_a_loader_must_name_every_tag(net):
    release = export(net, "extra_tags=[gpu,fast]")

    assert list(meta_graph(release).meta_info_def.tags) == ["serve", "gpu", "fast"]
    assert meta_graph(release).saver_def.restore_op_name
    for tags in (["serve", "gpu", "fast"], ["fast", "serve", "gpu"], None):
        loaded = tf.saved_model.load(str(release.path), tags=tags)
        assert loaded.signatures["s"](x=tf.constant(1.0))["output_0"] == 3
    assert ask(release, 1) == 3
    with pytest.raises((RuntimeError, ValueError), match="tags"):
        tf.saved_model.load(str(release.path), tags=["serve"])
    with pytest.raises(LoaderError, match="Could not find meta graph"):
        load.load_cpp(release.path, ["serve"], {})


def test_attributes_of_default_value_are_stripped(net):
    graph = meta_graph(
        export(net, method="multiply", inputs="{x: {shape: [2, 2], dtype: float32}}")
    )

    assert graph.meta_info_def.stripped_default_attrs
    known = {
        op.name: {attr.name: attr for attr in op.attr}
        for op in graph.meta_info_def.stripped_op_list.op
    }
    for _, node in inspection.all_nodes(graph):
        for name, value in node.attr.items():
            definition = known[node.op].get(name)
            if definition is not None:
                assert value != definition.default_value, f"{node.op} keeps {name}"
    multiplications = [node for _, node in inspection.all_nodes(graph) if node.op == "MatMul"]
    assert multiplications
    assert all(
        node.attr["transpose_b"].b and "transpose_a" not in node.attr for node in multiplications
    )


@pytest.mark.parametrize(("option", "value", "release"), [("extra_tags", ["gpu"], "2.17")])
def test_an_option_unknown_to_an_older_tensorflow_is_reported_with_the_release_that_added_it(
    net, monkeypatch, option, value, release
):
    fields = [name for name in tf.saved_model.SaveOptions.__slots__ if name != option]
    older = type(
        "SaveOptions", (), {name: getattr(tf.saved_model.SaveOptions(), name) for name in fields}
    )
    monkeypatch.setattr(tf.saved_model, "SaveOptions", older)

    with pytest.raises(ConfigError) as error:
        save.save(types.SimpleNamespace(obj=tf.Module()), {}, {}, {option: value}, net.root)

    assert [problem.key for problem in error.value.problems] == [f"options.{option}"]
    assert release in str(error.value)
    assert tf.__version__ in str(error.value)
