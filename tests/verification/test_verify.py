"""Verification runs examples with each loader and reports differences and failures."""

import resource
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from smdecl.config import parsing
from smdecl.config.settings import Verify
from smdecl.errors import VerificationError
from smdecl.pipeline.children import children
from smdecl.verification import stored_examples, verify
from smdecl.verification.stored_examples import Example


class Model:
    """A SavedModel with one signature and its examples."""

    def __init__(self, directory, function, spec, cases, inputs=None, outputs=None, **attributes):
        self.directory = directory
        module = tf.Module()
        for name, value in attributes.items():
            setattr(module, name, value)
        module.function = tf.function(function)
        tf.saved_model.save(
            module, str(directory), signatures=module.function.get_concrete_function(spec)
        )
        stored_examples.write([Example("serving_default", *case) for case in cases], directory)
        self.signature = parsing.parse_signature(
            {"method": "function", "inputs": inputs, "outputs": outputs}
        )

    def verify(self, *loaders, rtol=None):
        options = Verify({}, 0, rtol, None, loaders or ("python", "cpp"))
        return verify.verify(self.directory, {"serving_default": self.signature}, options)

    def messages(self, *loaders, **options):
        return [(f.loader, f.example, f.message) for f in self.verify(*loaders, **options).failures]


VECTOR = tf.TensorSpec([None], tf.float32, "x")


def floats(*values):
    return np.array(values, np.float32)


def test_a_model_with_the_expected_outputs_passes(tmp_path):
    cases = [
        ({"x": floats(1)}, {"output_0": floats(2)}),
        ({"x": floats(2, 3)}, {"output_0": floats(4, 6)}),
    ]

    record = Model(tmp_path, lambda x: x * 2, VECTOR, cases).verify()

    assert record.failures == ()
    assert record.loaders == ("python", "cpp")
    assert record.examples == {"serving_default": 2}


def test_each_loader_reports_the_example_that_differs(tmp_path):
    cases = [
        ({"x": floats(1)}, {"output_0": floats(2)}),
        ({"x": floats(2, 3)}, {"output_0": floats(4, 7)}),
    ]
    model = Model(tmp_path, lambda x: x * 2, VECTOR, cases)

    message = "output_0[1] is 6.0, expected 7.0 within rtol 0.0001, atol 1e-05"
    assert model.messages() == [("python", 1, message), ("cpp", 1, message)]
    assert model.messages(rtol=0.5) == []


@pytest.mark.parametrize(
    ("dtype", "expected", "hint"),
    [
        (tf.float32, 2.002, ""),
        (
            tf.float16,
            2.002,
            "{rtol: 0.01, atol: 0.001}: set verify.tolerances.serving_default.y to it",
        ),
        (
            tf.bfloat16,
            2.002,
            "{rtol: 0.05, atol: 0.01}: set verify.tolerances.serving_default.y to it",
        ),
        (tf.float16, 2.5, "{rtol: 0.01, atol: 0.001}"),
    ],
)
def test_a_difference_that_16_bits_explain_has_a_hint_at_its_tolerance(
    tmp_path, dtype, expected, hint
):
    def call(x):
        return {"y": tf.cast(tf.cast(x, dtype) * 2, tf.float32)}

    case = ({"x": floats(1)}, {"y": floats(expected)})
    model = Model(tmp_path, call, VECTOR, [case])

    message = f"y[0] is 2.0, expected {expected} within rtol 0.0001, atol 1e-05"
    if hint:
        message += f"; serving_default computes in {dtype.name}, whose tolerance is {hint}"
    assert model.messages("python") == [("python", 0, message)]
    # A tolerance of the config is what the user wants.
    (_, _, own) = model.messages("python", rtol=1e-6)[0]
    assert own.endswith("within rtol 1e-06, atol 1e-05")


def test_casting_weights_of_16_bits_is_no_computation_in_16_bits(tmp_path):
    weight = tf.Variable(tf.cast(2.0, tf.float16))
    case = ({"x": floats(1)}, {"y": floats(2.002)})

    model = Model(
        tmp_path, lambda x: {"y": x * tf.cast(weight, tf.float32)}, VECTOR, [case], weight=weight
    )

    assert "16" not in model.messages("python")[0][2]


def test_unexpected_output_names_are_reported(tmp_path):
    model = Model(
        tmp_path,
        lambda x: {"a": x, "b": x},
        VECTOR,
        [({"x": floats(1)}, {"a": floats(1), "c": floats(1)})],
    )

    assert model.messages("cpp") == [("cpp", 0, "returns a, b; expected a, c")]


@pytest.mark.parametrize("output", ["y", "x"])
def test_an_output_with_a_different_batch_size_is_reported(tmp_path, output):
    spec = {"dtype": "float32", "shape": ["batch"]}
    model = Model(
        tmp_path,
        lambda x: {output: x[:1]},
        VECTOR,
        [({"x": floats(1)}, {output: floats(1)}), ({"x": floats(1, 2, 3)}, {output: floats(1)})],
        {"x": spec},
        {output: spec},
    )

    message = f"dim 'batch' is 3 in input x and 1 in output {output}"
    assert model.messages() == [("python", 1, message), ("cpp", 1, message)]


def test_a_failing_example_is_reported_and_the_next_one_runs(tmp_path):
    def positive(x):
        tf.debugging.assert_positive(x, message="only more than nothing")
        return x

    cases = [
        ({"x": floats(-1)}, {"output_0": floats(-1)}),
        ({"x": floats(1)}, {"output_0": floats(2)}),
    ]
    messages = Model(tmp_path, positive, VECTOR, cases).messages()

    assert [(loader, example) for loader, example, _ in messages] == [
        ("python", 0), ("python", 1), ("cpp", 0), ("cpp", 1),
    ]  # fmt: skip
    assert messages[0][2].startswith("fails: InvalidArgumentError: ")
    assert messages[2][2].startswith("fails: LoaderError: ")
    assert "only more than nothing" in messages[2][2]


@pytest.fixture
def scaler(tmp_path):
    factor = tf.Variable(2.0)
    return Model(
        tmp_path,
        lambda x: x * factor,
        VECTOR,
        [({"x": floats(3)}, {"output_0": floats(6)})],
        factor=factor,
    )


def test_without_the_c_api_a_session_replaces_the_cpp_loader(scaler, tmp_path, monkeypatch):
    monkeypatch.setattr(tf.sysconfig, "get_lib", lambda: str(tmp_path))

    record = scaler.verify()
    (data,) = (scaler.directory / "variables").glob("variables.data*")
    data.write_bytes(data.read_bytes()[:2])

    assert (record.loaders, record.failures) == (("python", "session"), ())
    assert [failure.loader for failure in scaler.verify().failures] == ["python", "session"]


@pytest.fixture(params=["a[b]", "a*", "a?", "a\\b"])
def moved(scaler, request, tmp_path_factory):
    """A model at a path that TensorFlow mistakes for a glob pattern."""
    place = tmp_path_factory.mktemp("moved") / request.param / "1"
    scaler.directory = shutil.copytree(scaler.directory, place)
    return scaler


def test_a_model_whose_path_is_a_glob_pattern_passes(moved, monkeypatch):
    other = shutil.copytree(
        moved.directory, moved.directory.parent.with_name("ab") / "1"
    )  # what each pattern matches
    (data,) = (other / "variables").glob("variables.data*")
    data.write_bytes(np.float32(7).tobytes())
    record = moved.verify()
    monkeypatch.chdir(moved.directory.parent.parent)
    moved.directory = moved.directory.relative_to(Path.cwd())

    assert (record.loaders, record.failures) == (("python", "cpp"), ())
    assert moved.verify() == record


def test_failures_name_a_path_that_is_a_glob_pattern(moved):
    (data,) = (moved.directory / "variables").glob("variables.data*")
    data.unlink()

    failures = moved.verify().failures

    assert [failure.loader for failure in failures] == ["python", "cpp"]
    assert all(f"{moved.directory}/variables/variables" in failure.message for failure in failures)


def test_a_temporary_directory_whose_path_is_a_glob_pattern_is_not_used(
    moved, tmp_path, monkeypatch
):
    (tmp_path / "t[m]p").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "t[m]p"))

    assert moved.verify().failures == ()


def test_missing_variables_are_a_failure_of_each_loader(scaler):
    for path in (scaler.directory / "variables").iterdir():
        path.unlink()
    (scaler.directory / "variables").rmdir()

    failures = scaler.verify().failures

    assert [failure.loader for failure in failures] == ["python", "cpp"]
    assert failures[0].message.startswith("cannot load it: ")
    assert (
        "factor" in failures[1].message
        or "Variable" in failures[1].message
        or "variable" in failures[1].message
    )


def test_truncated_variables_are_a_failure_of_each_loader(scaler):
    (data,) = (scaler.directory / "variables").glob("variables.data*")
    data.write_bytes(data.read_bytes()[:2])

    failures = scaler.verify().failures

    assert [failure.loader for failure in failures] == ["python", "cpp"]
    assert all(failure.message.startswith("cannot load it: ") for failure in failures)


def test_an_edited_asset_is_a_failure(tmp_path):
    vocabulary = tmp_path / "words.txt"
    vocabulary.write_text("a\nb\n")
    index, line = tf.lookup.TextFileIndex.LINE_NUMBER, tf.lookup.TextFileIndex.WHOLE_LINE
    table = tf.lookup.StaticHashTable(
        tf.lookup.TextFileInitializer(str(vocabulary), tf.string, line, tf.int64, index), -1
    )
    words = np.array([b"a", b"b"], dtype=object)
    model = Model(
        tmp_path / "saved",
        table.lookup,
        tf.TensorSpec([None], tf.string, "x"),
        [({"x": words}, {"output_0": np.array([0, 1])})],
        table=table,
    )
    assert model.messages() == []

    (model.directory / "assets" / "words.txt").write_text("a\nc\n")

    message = "output_0[1] is -1, expected 1 exactly"
    assert model.messages() == [("python", 0, message), ("cpp", 0, message)]


def peak_mebibytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def peaks_of_verifying(directory, loaders) -> tuple[float, float]:
    """Returns the peak of memory before and after a verification, in MiB."""
    options = Verify({}, 0, None, None, tuple(loaders))
    before = peak_mebibytes()
    assert verify.verify(directory, {}, options).failures == ()
    return before, peak_mebibytes()


@pytest.mark.parametrize("loaders", [["python", "cpp"], ["cpp", "python"]])
def test_only_one_loader_at_a_time_holds_the_variables(tmp_path, loaders):
    mebibytes = 128
    module = tf.Module()
    module.weight = tf.Variable(tf.zeros([mebibytes, 1 << 18]))
    module.ask = tf.function(lambda x: x + module.weight[0, 0])
    spec = tf.TensorSpec([], tf.float32)
    tf.saved_model.save(module, str(tmp_path), module.ask.get_concrete_function(spec))
    stored_examples.write([], tmp_path)

    before, after = children.run(
        peaks_of_verifying, tmp_path, loaders, failure=VerificationError, doing="verifying"
    )

    assert after - before < 1.5 * mebibytes
