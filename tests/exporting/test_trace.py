"""Tracing: one concrete function a signature, with the declared names."""

import numpy as np
import pytest
import tensorflow as tf
from smdecl.errors import ConfigError, ContractError, ModelError, VerificationError

from tests.serving import serve

NET = """
import collections
import tensorflow as tf

Pair = collections.namedtuple("Pair", "low high")

class Net(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="own")])
    def own(self, x):
        return x + 1.0

    @tf.function(input_signature=[{"a": tf.TensorSpec([], tf.float32), "b": tf.TensorSpec([], tf.float32)}])
    def own_nest(self, pair):
        return pair["a"] - pair["b"]

    @tf.function
    def nest(self, pair, scale):
        return pair["a"] * scale + pair["b"][0]

    def plain(self, x, training=True):
        return x * (2.0 if training else 3.0)

    def listed(self, x):
        return [x, x + 1.0]

    def named(self, x):
        return {"low": x, "high": x + 1.0}

    def pair(self, x):
        return Pair(x, x + 1.0)

    def deep(self, x):
        return {"a": [x, x]}

    def text(self, x):
        return tf.strings.upper(x)

    def lengths(self, x, y):
        return x.row_lengths() + y

    def dense(self, x):
        return tf.sparse.to_dense(x)

    def nothing(self, x):
        tf.print(x)

    def empty(self, x):
        return {}

    def first(self, x):
        return x[:1]
"""
X = "{shape: [batch], dtype: float32}"


@pytest.fixture
def net(project):
    project.write("mynet.py", NET)
    project.write("conf/model/net.yaml", "_target_: mynet.Net\n")
    return project


def export(net, method, inputs=f"{{x: {X}}}", outputs="null", *overrides):
    signature = f"+signatures.s={{method: {method}, inputs: {inputs}, outputs: {outputs}}}"
    return net.export("model=net", "signatures=none", signature, "audit=off", *overrides)


def test_a_functions_own_input_signature_is_used_if_no_inputs_are_declared(net):
    release = net.export(
        "model=net", "signatures=none", "+signatures.serving_defualt={method: own}"
    )

    assert list(release.signatures["serving_defualt"].inputs) == ["own"]
    assert serve(release.path, "serving_defualt", own=np.array([1], np.float32))[
        "output_0"
    ].tolist() == [2]
    # A misspelt default key causes a warning.
    assert [warning.message for warning in release.warnings if warning.path[0] == "signatures"] == [
        "requests without a signature name need 'serving_default', which is missing; did you mean it?"
    ]


def test_a_nest_is_fed_by_the_names_of_its_leaves(net):
    leaf = "{{shape: [], dtype: float32, name: {}}}"
    inputs = (
        f"{{pair: {{a: {leaf.format('zz')}, b: [{leaf.format('aa')}]}}, scale: {{value: 10.0}}}}"
    )

    release = export(net, "nest", inputs)

    assert sorted(release.signatures["s"].inputs) == ["aa", "zz"]
    assert serve(release.path, "s", zz=np.float32(2), aa=np.float32(1)) == {"output_0": 21}


@pytest.mark.parametrize(("bound", "factor"), [("", 2), (", training: {value: false}", 3)])
def test_a_bound_value_makes_no_input_and_a_default_is_kept(net, bound, factor):
    release = export(net, "plain", f"{{x: {X}{bound}}}")

    assert list(release.signatures["s"].inputs) == ["x"]
    assert serve(release.path, "s", x=np.array([1], np.float32))["output_0"].tolist() == [factor]


@pytest.mark.parametrize(
    ("method", "names"),
    [
        ("plain", ["output_0"]),
        ("listed", ["output_0", "output_1"]),
        ("named", ["high", "low"]),
        ("pair", ["high", "low"]),
    ],
)
def test_outputs_are_named_as_documented(net, method, names):
    assert list(export(net, method).signatures["s"].outputs) == names


def test_a_nested_output_is_an_error_that_shows_its_structure(net):
    with pytest.raises(
        ConfigError, match=r"signatures.s: the method returns {'a': \['\w*Tensor', '\w*Tensor'\]}"
    ):
        export(net, "deep")


def test_the_name_of_a_spec_overrides_the_arguments(net):
    release = export(net, "plain", "{x: {shape: [batch], dtype: float32, name: pixels.raw}}")

    assert list(release.signatures["s"].inputs) == ["pixels.raw"]
    assert serve(release.path, "s", **{"pixels.raw": np.array([1], np.float32)})[
        "output_0"
    ].tolist() == [2]


def test_text_goes_in_and_out(net):
    release = export(
        net, "text", "{x: {shape: [n], dtype: string}}", "{output_0: {shape: [n], dtype: string}}"
    )

    found = serve(release.path, "s", x=np.array([b"a", b"b"], object))
    assert found["output_0"].tolist() == [b"A", b"B"]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (f"+signatures.s={{method: plain, inputs: {{y: {X}}}}}", "signatures.s.inputs.y: unknown argument 'y' of"
         " Net.plain; expected one of x, training"),
        ("+signatures.s={method: plain, inputs: {training: {value: true}}}", "signatures.s.inputs.x: missing required"
         " argument 'x' of Net.plain"),
        ("+signatures.s={method: plain}", "signatures.s.inputs: missing; Net.plain has no input_signature to use"),
        ("+signatures.s={method: plain.nothing, inputs: {}}", "signatures.s.method: unknown method 'plain.nothing' of Net"),
    ],
)  # fmt: skip
def test_unfit_arguments_of_a_method_are_reported_by_key(net, overrides, message):
    with pytest.raises(ConfigError) as error:
        net.export("model=net", "signatures=none", overrides)

    assert message in str(error.value)


def test_all_wrong_signatures_are_reported_at_once(net):
    with pytest.raises(ConfigError) as error:
        net.export(
            "model=net", "signatures=none", "+signatures.a={method: a}", "+signatures.b={method: b}"
        )

    assert [problem.key for problem in error.value.problems] == [
        "signatures.a.method",
        "signatures.b.method",
    ]


def test_missing_and_undeclared_outputs_are_reported_with_the_existing_ones(net):
    outputs = "{low: {shape: [batch], dtype: float32}, hihg: {shape: [batch], dtype: float32}}"
    with pytest.raises(ContractError) as error:
        export(net, "named", f"{{x: {X}}}", outputs)

    assert [problem.message for problem in error.value.problems] == [
        "unknown output 'hihg'; the signature has low, high (did you mean 'high'?)",
        "undeclared output 'high', float32 [?]",
    ]


def test_a_dim_other_than_declared_is_reported(net):
    with pytest.raises(ContractError, match=r"declared float32 \[3\], got float32 \[\?\]"):
        export(net, "plain", f"{{x: {X}}}", "{output_0: {shape: [3], dtype: float32}}")


def test_an_operation_that_rejects_the_specs_is_a_failure_of_the_model(net):
    with pytest.raises(
        ModelError, match="signatures.s: tracing plain with the declared inputs failed: TypeError"
    ):
        export(net, "plain", "{x: {shape: [], dtype: string}}")


def test_a_named_dim_that_differs_between_input_and_output_is_found_by_running_it(net):
    with pytest.raises(
        VerificationError, match="dim 'batch' is 3 in input x and 1 in output output_0"
    ):
        export(net, "first", f"{{x: {X}}}", "{output_0: {shape: [batch], dtype: float32}}")


def test_an_input_signature_with_a_nest_is_run_as_it_is(net):
    release = net.export(
        "model=net", "signatures=none", "+signatures.s={method: own_nest}", "audit=off"
    )

    a, b = (np.float32(value) for value in (5, 2))
    assert serve(
        release.path, "s", **dict(zip(sorted(release.signatures["s"].inputs), (a, b), strict=True))
    ) == {"output_0": 3}
    assert release.warnings == ()


def test_a_ragged_input_is_saved_by_its_parts(net):
    release = export(
        net,
        "lengths",
        "{x: {kind: ragged, shape: [n, null], dtype: float32}, y: {shape: [], dtype: int64}}",
    )

    parts = release.signatures["s"].inputs
    assert {name: tensor.dtype for name, tensor in parts.items()} == {
        "x": "float32",
        "x_1": "int64",
        "y": "int64",
    }
    found = serve(
        release.path,
        "s",
        x=np.ones([3], np.float32),
        x_1=np.array([0, 1, 3], np.int64),
        y=np.int64(1),
    )
    assert found["output_0"].tolist() == [2, 3]
    assert release.warnings == ()


def test_a_sparse_input_is_saved_by_its_parts(net):
    release = export(net, "dense", "{x: {kind: sparse, shape: [null, 2], dtype: float32}}")

    assert [tensor.dtype for tensor in release.signatures["s"].inputs.values()] == [
        "int64",
        "float32",
        "int64",
    ]


def test_a_composite_input_does_not_hide_a_wrong_dense_one(net):
    with pytest.raises(ModelError):
        export(
            net,
            "lengths",
            "{x: {kind: ragged, shape: [n, null], dtype: float32}, y: {shape: [], dtype: string}}",
        )


COMPOSITES = """
import tensorflow as tf

class Net(tf.Module):
    @tf.function
    def double(self, rt):
        return rt * 2.0

    def keep(self, sp, extra):
        return {"kept": sp, "dense": tf.sparse.to_dense(sp) + extra, "rows": tf.RaggedTensor.from_tensor(extra)}

    @tf.function(input_signature=[tf.RaggedTensorSpec([None, None], tf.float32)])
    def own(self, rt):
        return rt + 1.0

    def several(self, first, /, *rest, scale=2.0, **others):
        return {"sum": (first + tf.add_n(list(rest))) * scale, "other": others["extra"] - first}
"""


@pytest.fixture
def composites(project):
    project.write("mynet.py", COMPOSITES)
    project.write("conf/model/net.yaml", "_target_: mynet.Net\n")
    return project


def test_ragged_outputs_are_numbered_as_ragged_inputs_are_and_renamed_as_one(composites):
    release = export(
        composites,
        "double",
        "{rt: {kind: ragged, shape: [n, null], dtype: float32, name: words}}",
        "{output_0: {kind: ragged, shape: [n, null], dtype: float32, name: scores}}",
    )

    words = {"words": np.array([1, 2, 3], np.float32), "words_1": np.array([0, 1, 1, 3], np.int64)}
    found = serve(release.path, "s", **words)
    assert {name: value.tolist() for name, value in found.items()} == {
        "scores": [2, 4, 6],
        "scores_1": [0, 1, 1, 3],
    }
    loaded = tf.saved_model.load(str(release.path)).signatures["s"]
    assert sorted(loaded(**{name: tf.constant(value) for name, value in words.items()})) == [
        "scores",
        "scores_1",
    ]
    assert release.warnings == ()


def test_sparse_and_ragged_among_dense_outputs(composites):
    release = export(
        composites,
        "keep",
        "{sp: {kind: sparse, shape: [n, 2], dtype: float32}, extra: {shape: [n, 2], dtype: float32}}",
        "{kept: {kind: sparse, shape: [null, 2], dtype: float32}, dense: {shape: [null, 2], dtype: float32},"
        " rows: {kind: ragged, shape: [null, null], dtype: float32}}",
    )

    assert sorted(release.signatures["s"].outputs) == [
        "dense",
        "kept",
        "kept_1",
        "kept_2",
        "rows",
        "rows_1",
    ]
    found = serve(
        release.path, "s",
        sp=np.array([[1, 0]]), sp_1=np.array([5], np.float32), sp_2=np.array([2, 2]), extra=np.ones([2, 2], np.float32),
    )  # fmt: skip
    assert found["dense"].tolist() == [[1, 1], [6, 1]]
    assert found["kept"].tolist() == [[1, 0]]
    assert found["rows_1"].tolist() == [0, 2, 4]


def test_a_ragged_input_signature_of_its_own_is_served(composites):
    release = export(composites, "own", "null")

    rows = {"rt": np.array([1, 2], np.float32), "rt_1": np.array([0, 2], np.int64)}
    assert serve(release.path, "s", **rows)["output_0"].tolist() == [2, 3]
    assert release.warnings == ()


def test_arguments_by_position_by_keyword_and_bound(composites):
    spec = "{{shape: [], dtype: float32, name: {}}}"
    release = export(
        composites,
        "several",
        f"{{first: {spec.format('a')}, rest: [{spec.format('b')}, {spec.format('c')}], scale: {{value: 3.0}},"
        f" extra: {spec.format('d')}}}",
    )

    found = serve(
        release.path,
        "s",
        **{name: np.float32(value) for name, value in zip("abcd", (1, 2, 3, 9), strict=True)},
    )
    assert found == {"sum": 18.0, "other": 8.0}


def test_a_part_that_has_the_name_of_another_input_is_refused(composites):
    with pytest.raises(ConfigError) as error:
        export(
            composites,
            "keep",
            "{sp: {kind: sparse, shape: [n, 2], dtype: float32}, extra: {shape: [n, 2], dtype: float32, name: sp_1}}",
        )

    assert str(error.value).endswith(
        "'sp_1' is taken by a part of the sparse input 'sp'; choose a different name"
    )


def test_outputs_are_renamed_without_touching_the_model(net):
    outputs = "{low: {shape: [batch], dtype: float32, name: high}, high: {shape: [batch], dtype: float32, name: low}}"
    release = export(net, "named", f"{{x: {X}}}", outputs)

    found = serve(release.path, "s", x=np.ones([1], np.float32))
    assert {name: value.tolist() for name, value in found.items()} == {"high": [1], "low": [2]}


def test_two_outputs_of_one_name_are_refused(net):
    outputs = "{low: {shape: [batch], dtype: float32, name: y}, high: {shape: [batch], dtype: float32, name: y}}"
    with pytest.raises(ConfigError) as error:
        export(net, "named", f"{{x: {X}}}", outputs)

    assert str(error.value).endswith(
        "signatures.s.outputs.high.name: 'y' is taken by another output; choose a different name"
    )


@pytest.mark.parametrize("method", ["nothing", "empty"])
def test_a_method_that_returns_nothing_is_refused(net, method):
    with pytest.raises(ConfigError) as error:
        export(net, method)

    assert [f"{problem.key}: {problem.message}" for problem in error.value.problems] == [
        "signatures.s: the method returns nothing; expected a tensor, or a flat list or mapping of tensors"
    ]
