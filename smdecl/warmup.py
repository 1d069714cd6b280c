"""Warm-up: the examples of a release as the requests that TensorFlow Serving runs before it serves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice, zip_longest
from pathlib import Path
from typing import Any

import tensorflow as tf

from smdecl.errors import ConfigError, Problem
from smdecl.examples import Example

FILE = "assets.extra/tf_serving_warmup_requests"
_MAX_RECORDS = 1000  # TensorFlow Serving refuses a model with more (saved_model_warmup_util.h)


def write(examples: Sequence[Example], name: str, directory: Path) -> None:
    """Writes a TFRecord of PredictionLog into a SavedModel; `name` is the model's.

    Raises:
        ConfigError: Where there is no example to warm up with.
    """
    if not examples:
        message = "got true, but there is no example to warm up with; give some under verify.examples"
        raise ConfigError(Problem(("publish", "warmup"), message))
    path = directory / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for example in islice(_in_turn(examples), _MAX_RECORDS):
            writer.write(_prediction_log(name, example))


def _in_turn(examples: Sequence[Example]) -> Iterator[Example]:
    """Yields one example of each signature, then the second of each, so that the limit leaves out no signature."""
    by_signature: dict[str, list[Example]] = {}
    for example in examples:
        by_signature.setdefault(example.signature, []).append(example)
    return (example for example in chain(*zip_longest(*by_signature.values())) if example is not None)


def _prediction_log(name: str, example: Example) -> bytes:
    """Returns a serialized `tensorflow.serving.PredictionLog` with a predict request.

    Its classes come with tensorflow-serving-api, which is not worth a dependency for five fields:
    PredictionLog.predict_log = 6, PredictLog.request = 1, PredictRequest.model_spec = 1 and .inputs = 2,
    ModelSpec.name = 1 and .signature_name = 3; a map is a repeated message of key = 1 and value = 2.
    """
    model_spec = _field(1, name.encode()) + _field(3, example.signature.encode())
    return _field(6, _field(1, _field(1, model_spec) + b"".join(_inputs(example.inputs))))


def _inputs(inputs: Mapping[str, Any]) -> Iterator[bytes]:
    for key, value in inputs.items():
        tensor = tf.make_tensor_proto(value).SerializeToString(deterministic=True)
        yield _field(2, _field(1, key.encode()) + _field(2, tensor))


def _field(number: int, payload: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(payload)) + payload  # wire type 2: length-delimited


def _varint(value: int) -> bytes:
    low, rest = value % 128, value // 128
    return bytes([low | 128]) + _varint(rest) if rest else bytes([low])
