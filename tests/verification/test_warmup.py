"""Warm-up requests, parsed with TensorFlow Serving's own message classes."""

import pytest
import tensorflow as tf
from smdecl.errors import ConfigError
from smdecl.names import WARMUP_FILE
from tensorflow_serving.apis import prediction_log_pb2

from tests.conftest import tree
from tests.serving import serve


def requests(path):
    """Returns the predict requests of a release and checks that they have no unknown fields."""
    records = [record.numpy() for record in tf.data.TFRecordDataset(str(path / WARMUP_FILE))]
    logs = [prediction_log_pb2.PredictionLog.FromString(record) for record in records]
    assert [log.SerializeToString(deterministic=True) for log in logs] == records
    assert {log.WhichOneof("log_type") for log in logs} == {"predict_log"}
    return [log.predict_log.request for log in logs]


def test_examples_become_requests_that_the_release_answers(project):
    release = project.export(
        "model=scaler", "signatures=[scalar_float,vector_float]", "publish.warmup=true"
    )

    found = requests(release.path)
    assert [request.model_spec.name for request in found] == ["scaler"] * 6
    assert [request.model_spec.signature_name for request in found] == [
        "serving_default",
        "vector",
    ] * 3
    for request in found:
        inputs = {name: tf.make_ndarray(tensor) for name, tensor in request.inputs.items()}
        assert (
            serve(release.path, request.model_spec.signature_name, **inputs)["output_0"].shape
            == inputs["x"].shape
        )


def test_text_and_given_examples_are_written(project):
    project.write(
        "mynet.py",
        "import tensorflow as tf\n"
        "class Net(tf.Module):\n"
        "    def join(self, texts, times):\n"
        "        return tf.strings.join([texts, tf.strings.as_string(times)])\n",
    )
    signature = "{method: join, inputs: {texts: {shape: [n], dtype: string}, times: {shape: [n], dtype: int64}}}"
    examples = '[{inputs: {texts: [a, "grüß"], times: [1, 300]}}]'

    release = project.export(
        "model._target_=mynet.Net",
        "signatures=none",
        f"+signatures.serving_default={signature}",
        f"+verify.examples.serving_default={examples}",
        "publish.warmup=true",
    )

    (request,) = requests(release.path)
    assert request.model_spec.name == "adder"
    assert tf.make_ndarray(request.inputs["texts"]).tolist() == [b"a", "grüß".encode()]
    assert tf.make_ndarray(request.inputs["times"]).tolist() == [1, 300]


def test_the_number_of_records_is_limited_and_each_signature_has_some(project):
    release = project.export(
        "model=scaler",
        "signatures=[scalar_float,vector_float]",
        "verify.generate=600",
        "publish.warmup=true",
    )

    names = [request.model_spec.signature_name for request in requests(release.path)]
    assert {name: names.count(name) for name in set(names)} == {
        "serving_default": 500,
        "vector": 500,
    }


def test_the_same_config_makes_the_same_requests(project):
    first, second = (project.export("publish.warmup=true") for _ in range(2))

    assert tree(first.path) == tree(second.path)
    assert WARMUP_FILE in tree(first.path)


def test_without_publish_warmup_there_are_none(project):
    assert WARMUP_FILE not in tree(project.export().path)


def test_a_warmup_without_examples_is_an_error(project):
    with pytest.raises(ConfigError) as error:
        project.export("verify=load", "publish.warmup=true")

    assert str(error.value) == (
        "override 'publish.warmup=true': publish.warmup: no example can be sent as a warmup request; add one"
        " under verify.examples"
    )
