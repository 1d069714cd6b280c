"""Tracing: one concrete function a signature, with the declared names."""

import numpy as np
import pytest
import smdecl
from smdecl.errors import ConfigError, ContractError, ModelError, VerificationError

from tests.exporting.traced_projects import X, export, write_net
from tests.serving import serve


@pytest.fixture
def net(project):
    return write_net(project)


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


def test_a_function_that_fails_with_its_own_specs_is_a_failure_of_the_model(project):
    project.write(
        "mynet.py",
        "import tensorflow as tf\n"
        "class Net(tf.Module):\n"
        "    @tf.function(input_signature=[tf.TensorSpec([3], tf.float32)])\n"
        "    def own(self, x): return x @ x\n",
    )
    config = project.compose("model._target_=mynet.Net", "signatures=none")

    with pytest.raises(ModelError, match=r"signatures\.serving_default: tracing own .* failed: "):
        smdecl.plan(config)
