"""Writes the examples of a release as warm-up requests, which TensorFlow Serving runs first."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice, zip_longest
from pathlib import Path

import tensorflow as tf

from smdecl.checks.signatures import serving_apis
from smdecl.errors import ConfigError, Problem
from smdecl.names import PREDICT, WARMUP_FILE
from smdecl.savedmodel.comparing.array_distances import Array
from smdecl.verification.stored_examples import Example

_KEY = ("publish", "warmup")
# TensorFlow Serving rejects a model with more (saved_model_warmup_util.h).
_MAX_RECORDS = 1000


def write(
    examples: Sequence[Example],
    name: str,
    method_names: Mapping[str, str],
    directory: Path,
) -> None:
    """Writes a TFRecord of PredictionLogs into a SavedModel.

    Args:
        examples: The examples of all signatures.
        name: The name of the model.
        method_names: The API that answers the examples of each signature, by its key.
        directory: The directory of the SavedModel.

    Raises:
        ConfigError: If there are no examples, or its API cannot send one.
    """
    sendable = [
        example
        for example in examples
        if not _is_empty_list(example, method_names[example.signature])
    ]
    _require_tf_examples(sendable, method_names)
    if not sendable:
        message = "no example can be sent as a warmup request; add one under verify.examples"
        raise ConfigError(Problem(_KEY, message))
    path = directory / WARMUP_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for example in islice(_in_turn(sendable), _MAX_RECORDS):
            log = _LOGS[method_names[example.signature]]
            writer.write(log(name, example))


def _in_turn(examples: Sequence[Example]) -> Iterator[Example]:
    """Yields the first example of each signature, then the second of each, and so on.

    The limit then omits no signature.
    """
    by_signature: dict[str, list[Example]] = {}
    for example in examples:
        by_signature.setdefault(example.signature, []).append(example)
    for turn in zip_longest(*by_signature.values()):
        yield from (example for example in turn if example is not None)


def _is_empty_list(example: Example, method_name: str) -> bool:
    """Returns whether an example is an empty list of tf.Examples, which Serving rejects."""
    if not serving_apis.takes_examples(method_name):
        return False
    return example.inputs[serving_apis.INPUT].size == 0


def _require_tf_examples(
    examples: Sequence[Example],
    method_names: Mapping[str, str],
) -> None:
    """Raises a ConfigError if an API of tf.Examples would send something else."""
    problems: list[Problem] = []
    for example in examples:
        key = example.signature
        method_name = method_names[key]
        if not serving_apis.takes_examples(method_name):
            continue
        try:
            for serialized in example.inputs[serving_apis.INPUT].ravel():
                tf.train.Example.FromString(serialized)
        except Exception:
            # It is protobuf's DecodeError, whose module differs between versions.
            message = (
                f"an example of {key} is not a serialized tf.Example, which {method_name}"
                f" requires; give some under verify.examples.{key}"
            )
            problems.append(Problem(_KEY, message))
    if problems:
        raise ConfigError(list(dict.fromkeys(problems)))


# tensorflow-serving-api, which has the classes of a PredictionLog, is not worth a dependency for
# these few fields:
# - PredictionLog: classify_log = 2, regress_log = 3, predict_log = 6; each has request = 1
# - every request: model_spec = 1, with ModelSpec.name = 1 and ModelSpec.signature_name = 3


def _predict_log(name: str, example: Example) -> bytes:
    """Returns a log with a PredictRequest, whose inputs = 2 are a map."""
    inputs = b"".join(_inputs(example.inputs))
    return _field(6, _field(1, _model_spec(name, example) + inputs))


def _classify_log(name: str, example: Example) -> bytes:
    return _field(
        2, _field(1, _model_spec(name, example) + _example_list(example))
    )


def _regress_log(name: str, example: Example) -> bytes:
    return _field(
        3, _field(1, _model_spec(name, example) + _example_list(example))
    )


_LOGS: dict[str, Callable[[str, Example], bytes]] = {
    PREDICT: _predict_log,
    serving_apis.CLASSIFY: _classify_log,
    serving_apis.REGRESS: _regress_log,
}


def _model_spec(name: str, example: Example) -> bytes:
    signature_name = _field(3, example.signature.encode())
    return _field(1, _field(1, name.encode()) + signature_name)


def _example_list(example: Example) -> bytes:
    """Returns the input = 2 of a request: Input.example_list = 1, ExampleList.examples = 1."""
    texts = example.inputs[serving_apis.INPUT].ravel()
    examples = b"".join(_field(1, bytes(text)) for text in texts)
    return _field(2, _field(1, examples))


def _inputs(inputs: Mapping[str, Array]) -> Iterator[bytes]:
    """Yields the entries of a map, which are messages of key = 1 and value = 2."""
    for name, array in inputs.items():
        tensor = tf.make_tensor_proto(array).SerializeToString(
            deterministic=True
        )
        yield _field(2, _field(1, name.encode()) + _field(2, tensor))


def _field(number: int, payload: bytes) -> bytes:
    """Returns a length-delimited field, which has the wire type 2."""
    return _varint(number << 3 | 2) + _varint(len(payload)) + payload


def _varint(value: int) -> bytes:
    rest, low = divmod(value, 128)
    if rest == 0:
        return bytes([low])
    return bytes([low | 128]) + _varint(rest)
