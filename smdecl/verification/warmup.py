"""Warm-up: the examples of a release as the requests that TensorFlow Serving runs before it serves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice, zip_longest
from pathlib import Path
from typing import Any

import tensorflow as tf

from smdecl.checks import serving_apis
from smdecl.errors import ConfigError, Problem
from smdecl.names import PREDICT, WARMUP_FILE
from smdecl.verification.stored_examples import Example

_MAX_RECORDS = (
    1000  # TensorFlow Serving refuses a model with more (saved_model_warmup_util.h)
)


def write(
    examples: Sequence[Example],
    name: str,
    method_names: Mapping[str, str],
    directory: Path,
) -> None:
    """Writes a TFRecord of PredictionLog into a SavedModel.

    Args:
        examples: Of all signatures.
        name: Of the model.
        method_names: Signature key to the API that is to answer its examples.
        directory: Of the SavedModel.

    Raises:
        ConfigError: Where there is no example to warm up with, or one that its API cannot send.
    """
    examples = [
        example
        for example in examples
        if not _is_unsendable(example, method_names[example.signature])
    ]
    _require_tf_examples(examples, method_names)
    if not examples:
        message = "got true, but there is no example to warm up with; give some under verify.examples"
        raise ConfigError(Problem(("publish", "warmup"), message))
    path = directory / WARMUP_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for example in islice(_in_turn(examples), _MAX_RECORDS):
            writer.write(_LOGS[method_names[example.signature]](name, example))


def _in_turn(examples: Sequence[Example]) -> Iterator[Example]:
    """Yields one example of each signature, then the second of each, so that the limit leaves out no signature."""
    by_signature: dict[str, list[Example]] = {}
    for example in examples:
        by_signature.setdefault(example.signature, []).append(example)
    return (
        example
        for example in chain(*zip_longest(*by_signature.values()))
        if example is not None
    )


def _is_unsendable(example: Example, method_name: str) -> bool:
    """Tells whether an example is a batch of no tf.Examples, which TensorFlow Serving refuses."""
    return (
        serving_apis.takes_examples(method_name)
        and not example.inputs[serving_apis.INPUT].size
    )


def _require_tf_examples(
    examples: Sequence[Example], method_names: Mapping[str, str]
) -> None:
    problems = []
    for example in examples:
        if not serving_apis.takes_examples(method_names[example.signature]):
            continue
        try:
            for serialized in example.inputs[serving_apis.INPUT].ravel():
                tf.train.Example.FromString(serialized)
        except (
            Exception
        ):  # protobuf's DecodeError, whose place differs between implementations
            message = (
                f"an example of {example.signature} is no serialized tf.Example, which"
            )
            hint = f"give some under verify.examples.{example.signature}"
            what = f"{message} {method_names[example.signature]} sends; {hint}"
            problems.append(Problem(("publish", "warmup"), what))
    if problems:
        raise ConfigError(list(dict.fromkeys(problems)))


# The classes of a PredictionLog come with tensorflow-serving-api, which is not worth a dependency for a few fields:
# PredictionLog.classify_log = 2, .regress_log = 3 and .predict_log = 6, each with request = 1; .model_spec = 1 of every
# request, ModelSpec.name = 1 and .signature_name = 3.


def _predict_log(name: str, example: Example) -> bytes:
    """Returns a log with a PredictRequest: inputs = 2; a map is a repeated message of key = 1 and value = 2."""
    return _field(
        6, _field(1, _model_spec(name, example) + b"".join(_inputs(example.inputs)))
    )


def _classify_log(name: str, example: Example) -> bytes:
    return _field(2, _field(1, _model_spec(name, example) + _example_list(example)))


def _regress_log(name: str, example: Example) -> bytes:
    return _field(3, _field(1, _model_spec(name, example) + _example_list(example)))


_LOGS = {
    PREDICT: _predict_log,
    serving_apis.CLASSIFY: _classify_log,
    serving_apis.REGRESS: _regress_log,
}


def _model_spec(name: str, example: Example) -> bytes:
    return _field(1, _field(1, name.encode()) + _field(3, example.signature.encode()))


def _example_list(example: Example) -> bytes:
    """Returns the input = 2 of a request: Input.example_list = 1, ExampleList.examples = 1."""
    serialized = example.inputs[serving_apis.INPUT].ravel()
    return _field(2, _field(1, b"".join(_field(1, bytes(one)) for one in serialized)))


def _inputs(inputs: Mapping[str, Any]) -> Iterator[bytes]:
    for key, value in inputs.items():
        tensor = tf.make_tensor_proto(value).SerializeToString(deterministic=True)
        yield _field(2, _field(1, key.encode()) + _field(2, tensor))


def _field(number: int, payload: bytes) -> bytes:
    return (
        _varint(number << 3 | 2) + _varint(len(payload)) + payload
    )  # wire type 2: length-delimited


def _varint(value: int) -> bytes:
    low, rest = value % 128, value // 128
    return bytes([low | 128]) + _varint(rest) if rest else bytes([low])
