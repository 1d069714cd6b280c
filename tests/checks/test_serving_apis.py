"""Rules of the Classify and Regress APIs of TensorFlow Serving, before and after tracing."""

import numpy as np
import pytest
import tensorflow as tf
from smdecl.checks.signatures import serving_apis, signature_rules
from smdecl.config.settings import Signature, Spec
from smdecl.errors import ConfigError, ContractError
from smdecl.names import WARMUP_FILE
from smdecl.savedmodel import inspection
from smdecl.savedmodel.comparing import compatibility
from smdecl.verification import tf_examples
from tensorflow_serving.apis import prediction_log_pb2

from tests.conftest import tree

EXAMPLES = Spec(("batch",), "string", name="inputs")
CLASSES, SCORES = Spec(("batch", 2), "string"), Spec(("batch", 2), "float32")


def check(method_name, inputs, outputs):
    signature = Signature("f", inputs, outputs, method_name)
    return [str(problem) for problem in signature_rules.check(("s",), signature)]


@pytest.mark.parametrize(
    ("method_name", "outputs"),
    [
        (serving_apis.CLASSIFY, {"classes": CLASSES, "scores": SCORES}),
        (serving_apis.CLASSIFY, {"classes": CLASSES}),
        (serving_apis.CLASSIFY, {"x": Spec((None, None), "float32", name="scores")}),
        (serving_apis.REGRESS, {"outputs": Spec(("batch",), "float32")}),
        (serving_apis.REGRESS, {"outputs": Spec(("batch", 1), "float32")}),
        (serving_apis.REGRESS, {"outputs": Spec(None, "float32")}),
        (serving_apis.REGRESS, None),
    ],
)
def test_tensors_that_the_apis_support_are_accepted(method_name, outputs):
    assert check(method_name, {"x": EXAMPLES}, outputs) == []
    assert check(method_name, None, outputs) == []


@pytest.mark.parametrize(
    ("method_name", "inputs", "outputs", "message"),
    [
        (serving_apis.CLASSIFY, {"x": Spec((None,), "string")}, None,
         "s.inputs.x: the Classify API has no input 'x'; expected 'inputs', string [batch]"),
        (serving_apis.CLASSIFY, {"x": Spec((None, 1), "string", name="inputs")}, None,
         "s.inputs.x: expected string [batch] for the Classify API, got string [?, 1]"),
        (serving_apis.REGRESS, {}, None,
         "s.inputs: the Regress API needs an input; expected 'inputs', string [batch]"),
        (serving_apis.CLASSIFY, None, {},
         "s.outputs: the Classify API needs an output; expected one or both of 'classes', string [batch, n] and"
         " 'scores', float32 [batch, n]"),
        (serving_apis.CLASSIFY, None, {"score": SCORES},
         "s.outputs.score: the Classify API has no output 'score'; expected one or both of 'classes', string [batch, n]"
         " and 'scores', float32 [batch, n] (did you mean 'scores'?)"),
        (serving_apis.CLASSIFY, None, {"scores": Spec((None, 2), "float64")},
         "s.outputs.scores: expected float32 [batch, n] for the Classify API, got float64 [?, 2]"),
        (serving_apis.CLASSIFY, None, {"classes": CLASSES, "scores": Spec((None, 3), "float32")},
         "s.outputs.scores: expected the same number of classes for the Classify API, got 2 in classes and 3 in scores"),
        (serving_apis.REGRESS, None, {"outputs": SCORES},
         "s.outputs.outputs: expected float32 [batch] or float32 [batch, 1] for the Regress API, got float32 [batch, 2]"),
        (serving_apis.REGRESS, {"inputs": Spec((None,), "string")}, {"outputs": Spec((1,), "float32")},
         "s.outputs.outputs: expected a row for each example for the Regress API, got float32 [1]"),
    ],
)  # fmt: skip
def test_tensors_that_the_apis_refuse_are_reported_before_the_build(
    method_name, inputs, outputs, message
):
    if inputs is None:
        outputs = {
            name: Spec((None, *(spec.shape or ())[1:]), spec.dtype)
            for name, spec in outputs.items()
        }
        message = message.replace("[batch, 2]", "[?, 2]") if "got" in message else message

    assert message in check(method_name, inputs, outputs)


MODEL = """
import tensorflow as tf

class Sorter(tf.Module):
    def __init__(self):
        super().__init__()
        self.weights = tf.Variable([[1.0, -1.0], [0.5, 0.25]])

    def _parsed(self, examples):
        return tf.io.parse_example(examples, {"f": tf.io.FixedLenFeature([2], tf.float32)})["f"]

    def classify(self, examples):
        scores = self._parsed(examples) @ self.weights
        return {"classes": tf.tile(tf.constant([["cat", "dog"]]), [tf.shape(scores)[0], 1]), "scores": scores}

    def regress(self, examples):
        return {"outputs": tf.reduce_sum(self._parsed(examples), axis=1)}

    def wrong(self, examples):
        return {"outputs": tf.ones([1, 2])}
"""
INPUTS = "inputs: {examples: {shape: [batch], dtype: string, name: inputs}}"


def serialized(*values):
    feature = {"f": tf.train.Feature(float_list=tf.train.FloatList(value=values))}
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()


@pytest.fixture
def sorter(project):
    project.write("sorter.py", MODEL)
    np.save(project.root / "examples.npy", np.array([serialized(1.0, 2.0), serialized(3.0, 4.0)]))
    return project


def overrides(key="s", method="classify", api="classify"):
    signature = f"{{method: {method}, method_name: tensorflow/serving/{api}, {INPUTS}}}"
    return [
        "model._target_=sorter.Sorter",
        "signatures=none",
        f"+signatures.{key}={signature}",
        "name=sorter",
    ]


def test_classify_and_regress_are_saved_and_warmed_up_by_their_own_requests(sorter):
    given = [
        f"+verify.examples.{key}=[{{inputs: {{inputs: {{file: examples.npy}}}}}}]"
        for key in ("c", "r", "p")
    ]
    declared = [
        *overrides("c"),
        overrides("r", "regress", "regress")[2],
        overrides("p", "regress", "predict")[2],
    ]
    releases = [sorter.export(*declared, *given, "publish.warmup=true") for _ in range(2)]
    path = releases[0].path

    assert tree(path) == tree(releases[1].path)
    names = {
        key: signature.method_name for key, signature in inspection.load(path)[1].signatures.items()
    }
    assert names == {"c": serving_apis.CLASSIFY, "r": serving_apis.REGRESS, "p": None}
    assert (
        list(compatibility.changes(*(inspection.load(release.path)[1] for release in releases)))
        == []
    )
    text = sorter.run("plan", *declared).stdout
    assert "signature c: tensorflow/serving/classify\n" in text and "signature p\n" in text
    records = [record.numpy() for record in tf.data.TFRecordDataset(str(path / WARMUP_FILE))]
    logs = [prediction_log_pb2.PredictionLog.FromString(record) for record in records]
    assert [log.SerializeToString(deterministic=True) for log in logs] == records
    assert [log.WhichOneof("log_type") for log in logs] == [
        "classify_log",
        "predict_log",
        "regress_log",
    ]
    for log, key in ((logs[0].classify_log, "c"), (logs[2].regress_log, "r")):
        assert (log.request.model_spec.name, log.request.model_spec.signature_name) == (
            "sorter",
            key,
        )
        sent = [example.SerializeToString() for example in log.request.input.example_list.examples]
        assert sent == [serialized(1.0, 2.0), serialized(3.0, 4.0)]


def test_examples_are_generated_from_the_features_that_the_method_parses(sorter):
    release = sorter.export(*overrides(), "verify.generate=2", "publish.warmup=true")

    assert inspection.load(release.path)[1].signatures["s"].method_name == serving_apis.CLASSIFY
    (record,) = (
        record.numpy()
        for record in tf.data.TFRecordDataset(str(release.path / WARMUP_FILE)).take(1)
    )
    request = prediction_log_pb2.PredictionLog.FromString(record).classify_log.request
    (example, *_) = request.input.example_list.examples
    assert len(example.features.feature["f"].float_list.value) == 2


def test_the_features_of_every_kind_are_found():
    kinds = {
        "fixed": tf.io.FixedLenFeature([2, 2], tf.float32),
        "series": tf.io.FixedLenSequenceFeature([], tf.int64, allow_missing=True),
        "words": tf.io.VarLenFeature(tf.string),
        "rows": tf.io.RaggedFeature(tf.int64),
    }

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def parse(inputs):
        return {
            name: getattr(value, "values", value)
            for name, value in tf.io.parse_example(inputs, kinds).items()
        }

    found = tf_examples.features(
        tf.function(parse).get_concrete_function(tf.TensorSpec([None], tf.string))
    )
    assert [(one.key, one.dtype, one.shape) for one in found] == [
        ("fixed", "float32", (2, 2)),
        ("rows", "int64", (None,)),
        ("series", "int64", (None,)),
        ("words", "string", (None,)),
    ]
    draws = {"string": b"a", "float32": 0.5, "int64": 7}
    row = tf_examples.draw(found, lambda dtype, shape: np.full(shape, draws[dtype], object))
    made = tf_examples.serialize(found, [row] * 3)
    parsed = parse(tf.constant(made))
    assert {name: value.numpy().ravel()[0] for name, value in parsed.items()} == {
        "fixed": 0.5,
        "rows": 7,
        "series": 7,
        "words": b"a",
    }
    assert tf_examples.serialize(found, []).shape == (0,)


def test_a_traced_output_that_the_api_does_not_support_breaks_the_contract(sorter):
    with pytest.raises(
        ContractError,
        match="expected float32 .batch. or float32 .batch, 1. for the Regress API, got",
    ):
        sorter.export(*overrides(method="wrong", api="regress"))


def test_an_unknown_method_name_is_refused_with_the_known_ones(sorter):
    with pytest.raises(ConfigError) as error:
        sorter.export(*overrides(api="clasify"))

    (problem,) = error.value.problems
    assert problem.key == "signatures.s.method_name"
    assert all(name in problem.message for name in serving_apis.METHOD_NAMES)


def test_a_changed_method_name_breaks_callers():
    record = inspection.SignatureRecord({}, {})
    classify = inspection.SignatureRecord({}, {}, method_name=serving_apis.CLASSIFY)
    old, new = (
        inspection.SavedModelRecord(("serve",), {"s": signature}, (), {}, (), (), {})
        for signature in (record, classify)
    )

    (change,) = compatibility.changes(old, new)
    assert change.verdict == "breaking"
    assert str(change) == (
        "signatures s.method_name: changed from tensorflow/serving/predict to tensorflow/serving/classify"
    )
