"""The objects that can be exported: modules, Keras models of every kind, loaded exports."""

import numpy as np
import pytest
import tensorflow as tf
from smdecl.errors import ConfigError, ContractError, ModelError
from smdecl.savedmodel import inspection

from tests.exporting.objects import SEQUENTIAL, answers, bodies, export, signature, write_models

ROW = np.array([[1, 2, 3, 4]], np.float32)
FOUR = "{shape: [batch, 4], dtype: float32}"


@pytest.fixture
def mine(project):
    return write_models(project)


def test_a_method_of_a_module_of_its_base_and_of_a_module_in_it_is_a_signature(mine):
    factors = {"encoder.encode": 3, "add": 2, "deep": 6}
    keys = {method: method.rpartition(".")[2] for method in factors}
    vector = "x: {shape: [n], dtype: float32}"
    release = export(
        mine, "modules.Net", *[signature(vector, method, keys[method]) for method in factors]
    )

    for method, factor in factors.items():
        found = answers(release, keys[method], x=np.array([1, 2], np.float32))
        assert found["output_0"].tolist() == [factor, 2 * factor]


def test_one_method_is_exported_under_several_keys_with_different_specs(mine):
    specs = {
        "one": "[1, 2], dtype: float32",
        "many": "[batch, 2], dtype: float32",
        "text": "[batch], dtype: string",
    }
    declared = [signature(f"x: {{shape: {spec}}}", "add", key) for key, spec in specs.items()]
    release = export(mine, "modules.Net", *declared)

    shapes = {key: record.inputs["x"].shape for key, record in release.signatures.items()}
    assert shapes == {"one": (1, 2), "many": (None, 2), "text": (None,)}
    assert answers(release, "one", x=np.ones([1, 2], np.float32))["output_0"].tolist() == [[2, 2]]
    assert (
        answers(release, "many", x=np.ones([3, 2], np.float32))["output_0"].tolist() == [[2, 2]] * 3
    )
    assert answers(release, "text", x=np.array([b"ab"], object))["output_0"].tolist() == [b"abab"]


def test_specs_may_be_declared_for_a_function_that_has_specs(mine):
    release = export(
        mine, "modules.Two", signature("x: {shape: [], dtype: float32}", "a"), "audit=off"
    )

    assert answers(release, x=np.float32(4)) == {"output_0": 5}


@pytest.mark.parametrize("declared", [False, True])
def test_a_functional_model_accepts_and_returns_what_is_documented(mine, declared):
    release = export(mine, "mykeras.page", *([signature(f"x: {FOUR}")] if declared else []))

    record = release.signatures["serving_default"]
    assert {name: tensor.shape for name, tensor in record.inputs.items()} == {"x": (None, 4)}
    assert {name: tensor.shape for name, tensor in record.outputs.items()} == {"out": (None, 5)}
    for batch in (1, 3):
        assert (
            answers(release, x=np.repeat(ROW, batch, axis=0))["out"].tolist() == [[10] * 5] * batch
        )
    assert release.warnings == ()


@pytest.mark.parametrize(
    ("kind", "declared"),
    [
        ("list", True),
        ("dict", False),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in (("list", False), ("dict", True))
        ),
    ],
)
def test_several_inputs_and_outputs_have_the_names_of_their_layers(mine, kind, declared):
    # The order of the Inputs, of their names and of the declaration all differ.
    spec = "{shape: [batch, 2], dtype: float32}"
    overrides = [signature(f"a: {spec}, b: {spec}")] if declared else []
    release = export(mine, "mykeras.merged", f"+model.kind={kind}", *overrides)

    found = answers(release, b=np.array([[5, 7]], np.float32), a=np.array([[1, 2]], np.float32))
    assert {name: value.tolist() for name, value in found.items()} == {
        "low": [[4, 5]],
        "high": [[6, 9]],
    }


def test_an_optional_input_may_be_left_out(mine):
    spec = "{shape: [batch, 2], dtype: float32}"
    keys = {
        "both": f"x: {spec}, extra: {spec}",
        "without": f"x: {spec}",
        "bound": f"x: {spec}, extra: {{value: null}}",
    }
    release = export(
        mine, "mykeras.optional", *(signature(inputs, key=key) for key, inputs in keys.items())
    )

    row = np.array([[1, 2]], np.float32)
    assert answers(release, "both", x=row, extra=row)["y"].tolist() == [[3, 6]]
    for key in ("without", "bound"):
        assert list(release.signatures[key].inputs) == ["x"]
        assert answers(release, key, x=row)["y"].tolist() == [[2, 4]]
    with pytest.raises(ConfigError, match="signatures.serving_default.inputs.x: missing"):
        export(mine, "mykeras.optional", signature(f"extra: {spec}"))


def test_a_model_that_the_config_alone_describes_is_built_by_the_declared_specs(mine):
    release = mine.export(
        "model=seq", "signatures=none", signature(f"inputs: {FOUR[:-1]}, name: row}}")
    )

    (output,) = answers(release, row=ROW).values()
    assert output.tolist() == [[10, 10]]
    assert [tensor.shape for tensor in release.signatures["serving_default"].outputs.values()] == [
        (None, 2)
    ]


def test_a_sequential_model_with_an_input_needs_no_signature(mine):
    first = "layers:\n  - {_target_: keras.Input, shape: [4], name: row}\n"
    mine.write("conf/model/seq.yaml", SEQUENTIAL.replace("layers:\n", first, 1))
    release = mine.export("model=seq", "signatures=none")

    (output,) = answers(release, row=ROW).values()
    assert output.tolist() == [[10, 10]]


@pytest.mark.parametrize("model", ["model=seq", "model._target_=mykeras.Own"])
def test_a_model_that_does_not_know_its_inputs_needs_a_signature(mine, model):
    with pytest.raises(ConfigError) as error:
        mine.export(model, "signatures=none")

    assert [problem.key for problem in error.value.problems] == ["signatures"]
    assert str(error.value).endswith("are unknown until it is called")
    assert "Sequential, a subclass" not in str(error.value)  # it is none
    assert not (mine.root / "exports").exists()


def test_a_subclassed_model_that_was_never_called_is_built_by_its_specs(mine):
    release = export(mine, "mykeras.Own", signature(f"features: {FOUR}"))

    assert release.signatures["serving_default"].outputs["output_0"].shape == (None, 2)
    for batch in (1, 3):
        found = answers(release, features=np.repeat(ROW, batch, axis=0))["output_0"]
        np.testing.assert_allclose(found, [[10, 10]] * batch)
    # Kernel and bias; gamma, beta, moving mean and variance.
    assert len(inspection.inspect(inspection.read(release.path)).variables) == 6


@pytest.mark.parametrize(
    ("target", "overrides", "name"),
    [
        ("Given", (), "x"),
        ("Given", ("+signatures.serving_default={method: concat}",), "x"),
        (
            "Open",
            (signature("x: {shape: [], dtype: string, name: string_input}", "concat"),),
            "string_input",
        ),
    ],
)
def test_a_function_of_a_keras_subclass_is_exported_as_documented(mine, target, overrides, name):
    release = export(mine, f"mykeras.{target}", *overrides)

    assert answers(release, **{name: np.array(b"ab", object)})["output_0"].tolist() == b"abab"
    loaded = tf.saved_model.load(str(release.path))
    assert loaded.concat(tf.constant("cd")).numpy() == b"cdcd"


@pytest.mark.parametrize(
    ("target", "names", "factor"),
    [
        ("norm", {"__call__": "x", "call": "inputs"}, 1),
        ("Own", {"__call__": "features", "call": "features"}, 2),
    ],
)
def test_a_keras_model_is_exported_for_inference(mine, target, names, factor):
    asked, declared = {}, []
    for method, name in names.items():
        for kind, bound in {"open": "", "bound": ", training: {value: false}"}.items():
            key = f"{method.strip('_')}_{kind}_{len(asked)}"
            asked[key] = name
            declared.append(
                signature(f"{name}: {{shape: [batch, 2], dtype: float32}}{bound}", method, key)
            )
    release = export(mine, f"mykeras.{target}", *declared)

    assert len(asked) == 4
    for key, name in asked.items():
        (found,) = answers(release, key, **{name: np.array([[1, 1], [3, 3]], np.float32)}).values()
        np.testing.assert_allclose(found, [[factor] * 2, [3 * factor] * 2])
    assert not [op for op in bodies(release) if "Random" in op]


@pytest.mark.parametrize(
    ("target", "overrides", "products"),
    [
        ("page", (), 1),
        pytest.param(
            "page",
            (signature("x: {shape: [b, 4], dtype: float32, name: row}"),),
            1,
            marks=pytest.mark.slow,
        ),
        pytest.param("nested", (), 2, marks=pytest.mark.slow),
        ("nested", (signature(f"x: {FOUR}"),), 2),
        ("Own", (signature(f"features: {FOUR}"),), 1),
        pytest.param(
            "Wrapped", (signature(f"x: {FOUR}", "plain"), "audit=off"), 1, marks=pytest.mark.slow
        ),
        ("Wrapped", (signature(f"x: {FOUR}", "score"),), 1),
    ],
)
def test_a_keras_model_is_traced_once(mine, target, overrides, products):
    release = export(mine, f"mykeras.{target}", *overrides)

    (name,) = release.signatures["serving_default"].inputs
    (found,) = answers(release, **{name: ROW}).values()
    assert found[0][0].round(4) == (50 if target == "nested" else 10)
    library = inspection.read(release.path).meta_graphs[0].graph_def.library
    assert "serving_default" not in "".join(
        function.signature.name for function in library.function
    )
    assert bodies(release)["MatMul"] == products


def test_a_loaded_saved_model_is_exported_again_with_other_signatures(mine):
    scalar = signature("x: {shape: [], dtype: float32}", "deep", "scalar")
    first = export(
        mine, "modules.Net", scalar, signature("x: {shape: [n], dtype: float32}", "deep", "vector")
    )
    again = ("modules.load", f"+model.path={first.path}", "name=again")
    inputs = "{x: {shape: [n], dtype: float32, name: row}}"
    outputs = "{output_0: {shape: [n], dtype: float32, name: six}}"
    second = export(
        mine, *again, f"+signatures.only={{method: deep, inputs: {inputs}, outputs: {outputs}}}"
    )

    assert list(second.signatures) == ["only"]
    assert answers(second, "only", row=np.array([1, 2], np.float32))["six"].tolist() == [6, 12]
    # A signature of the loaded model is a method too.
    third = export(mine, *again, "+signatures.same={method: signatures.vector}")
    assert third.signatures["same"] == first.signatures["vector"]
    with pytest.raises(
        ConfigError, match="unknown argument 'y' of .*signatures.vector; expected one of x"
    ):
        export(
            mine,
            *again,
            "+signatures.same={method: signatures.vector, inputs: {y: {shape: [n], dtype: float32}}}",
        )
    with pytest.raises(ModelError, match="tracing deep with the declared inputs failed"):
        export(mine, *again, signature("x: {shape: [n], dtype: int32}", "deep"))


def test_two_traced_functions_are_exported_without_a_signature_with_a_warning(mine):
    release = export(mine, "modules.Two")

    assert release.signatures == {}
    (warning,) = release.warnings
    assert warning.key == "signatures"
    assert warning.message.startswith("none was saved") and warning.message.endswith("gives a, b")
    loaded = tf.saved_model.load(str(release.path))
    assert (loaded.a(1.0).numpy(), loaded.b(1.0).numpy()) == (2, 3)


def test_a_function_that_was_traced_by_a_call_is_the_default(mine):
    # Documented: exactly one traced function is the default. TensorFlow itself passes over one that was only called.
    release = export(mine, "modules.Called")

    assert release.warnings == ()
    assert answers(release, x=np.float32(4)) == {"output_0": 8}


@pytest.mark.parametrize(
    ("target", "function"),
    [("modules.Encoder", "encode"), ("modules.One", "encoder.encode"), ("mykeras.Open", "concat")],
)
def test_an_uncallable_function_is_an_error_if_no_signature_is_declared(mine, target, function):
    with pytest.raises(ContractError) as error:
        export(mine, target, *(["+model.factor=1.0"] if "Encoder" in target else []))

    assert [problem.key for problem in error.value.problems] == ["audit.untraced_functions"]
    assert error.value.problems[0].message.startswith(f"{function}: was never traced")


@pytest.mark.soak
def test_a_keras_application_is_exported(mine):
    arguments = "weights: null, alpha: 0.35, classes: 3, input_shape: [32, 32, 3]"
    mine.write(
        "conf/model/mobile.yaml", f"{{_target_: keras.applications.MobileNetV2, {arguments}}}"
    )
    release = mine.export("model=mobile", "signatures=none")

    (name,) = release.signatures["serving_default"].inputs
    found = answers(release, **{name: np.zeros([2, 32, 32, 3], np.float32)})["predictions"]
    np.testing.assert_allclose(found.sum(axis=1), [1, 1], rtol=1e-5)
