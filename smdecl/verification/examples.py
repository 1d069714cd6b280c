"""Examples of a signature: given in the config or generated from its specs, run on the object, kept in the release."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import tensorflow as tf

from smdecl.checks import serving_apis
from smdecl.config.settings import Spec, Verify, input_names, parts
from smdecl.errors import ConfigError, Problem, VerificationError, nearest
from smdecl.exporting import contract, leaks, user_code
from smdecl.exporting.trace import Traced
from smdecl.tensor_texts import tensor_text
from smdecl.verification import example_values, tf_examples
from smdecl.verification.load import to_array
from smdecl.verification.stored_examples import Example

_Batches = list[
    tuple[dict[str, Any], bool]
]  # inputs, and whether an unknown dim has the size 0 there


def make(traced: Mapping[str, Traced], verify: Verify, seed: int) -> list[Example]:
    """Returns the examples of every signature, with the outputs that the object in memory computes.

    Raises:
        ConfigError: Where a given value does not fit its spec.
        VerificationError: Where the object fails on an example.
    """
    made = []
    for key, signature in traced.items():
        specs = _specs(signature)
        _require_names(key, verify, specs, signature.record.outputs)
        if given := verify.examples.get(key, []):
            batches = [
                (_given(key, index, example, specs), False)
                for index, example in enumerate(given)
            ]
        else:
            batches = _generated(
                specs, verify.generate, seed, verify.ranges.get(key, {})
            )
            if serving_apis.takes_examples(signature.signature.method_name):
                batches = _tf_examples(signature, batches, seed)
        for index, (inputs, is_empty) in enumerate(batches):
            try:
                outputs = _run(key, index, signature, inputs)
            except VerificationError:
                if is_empty:
                    continue  # that an object takes no empty batch is no fault
                raise
            outputs.update(_given_outputs(key, index, given, outputs))
            made.append(Example(key, inputs, outputs))
    return made


def _require_names(
    key: str, verify: Verify, specs: Mapping[str, Spec], outputs: Collection[str]
) -> None:
    """Raises where a tolerance or a range is of no output or input, or a range does not fit the dtype."""
    problems = []
    for part, kind, known in (
        ("tolerances", "output", outputs),
        ("ranges", "input", specs),
    ):
        for name in getattr(verify, part).get(key, {}):
            if name not in known:
                message = f"{name!r} is no {kind}; takes {', '.join(known)}{nearest(name, known)}"
                problems.append(Problem(("verify", part, key, name), message))
    if problems:
        raise ConfigError(problems)
    for name, limits in verify.ranges.get(key, {}).items():
        example_values.to_arrays(
            ("verify", "ranges", key, name), limits, Spec((2,), specs[name].dtype)
        )


def _specs(traced: Traced) -> dict[str, Spec]:
    """Returns the specs of a signature's inputs by their names, for the order that a config has them in is no part."""
    if (inputs := traced.signature.inputs) is not None:
        return dict(sorted((str(name), spec) for _, name, spec in input_names(inputs)))
    return {
        name: Spec(tensor.shape, tensor.dtype, name)
        for name, tensor in sorted(traced.record.inputs.items())
    }


def _given(
    key: str, index: int, example: Mapping[str, Any], specs: Mapping[str, Spec]
) -> dict[str, Any]:
    path = ("verify", "examples", key, index, "inputs")
    values = example["inputs"]
    # The check of the config knows no names where the inputs are the function's own.
    problems = [
        Problem((*path, name), "is missing: an example gives every input")
        for name in specs
        if name not in values
    ]
    problems += [
        Problem(
            (*path, name),
            f"{name!r} is no input; takes {', '.join(specs)}{nearest(name, specs)}",
        )
        for name in values
        if name not in specs
    ]
    if problems:
        raise ConfigError(problems)
    sent = {
        name: _sent(
            name, spec, example_values.to_arrays((*path, name), values[name], spec)
        )
        for name, spec in specs.items()
    }
    given = {name: array for arrays in sent.values() for name, array in arrays.items()}
    declared = {
        part: whole
        for name, spec in specs.items()
        for part, whole in parts(name, spec).items()
    }
    shapes = {name: array.shape for name, array in given.items()}
    if disagreeing := [
        Problem(path, message)
        for message in contract.disagreeing_dims(declared, shapes)
    ]:
        raise ConfigError(disagreeing)
    return given


def _sent(name: str, spec: Spec, value: Any) -> dict[str, Any]:
    """Returns the dense arrays that a value is sent as; a sparse one is given as the dense one that it stands for."""
    if spec.kind == "sparse":
        present = value != (
            b"" if spec.dtype == "string" else np.zeros((), value.dtype)
        )
        indices = np.argwhere(present)
        value = [indices, value[tuple(indices.T)], np.array(value.shape, np.int64)]
    return dict(
        zip(
            parts(name, spec),
            value if isinstance(value, list) else [value],
            strict=True,
        )
    )


def _given_outputs(
    key: str, index: int, given: Sequence[Mapping[str, Any]], outputs: Mapping[str, Any]
) -> Iterator[tuple[str, Any]]:
    path = ("verify", "examples", key, index, "outputs")
    for name, value in (
        given[index].get("outputs", {}) if index < len(given) else {}
    ).items():
        if name not in outputs:
            takes = f"takes {', '.join(outputs)}{nearest(name, outputs)}"
            raise ConfigError(Problem((*path, name), f"{name!r} is no output; {takes}"))
        dtype, shape = tf.as_dtype(outputs[name].dtype).name, outputs[name].shape
        yield (
            name,
            example_values.to_arrays((*path, name), value, Spec(tuple(shape), dtype)),
        )


def _generated(
    specs: Mapping[str, Spec],
    count: int,
    seed: int,
    ranges: Mapping[str, Sequence[float]],
) -> list[tuple[dict[str, Any], bool]]:
    """Returns the inputs of each example, and whether an unknown dim has the size 0 there."""
    random = np.random.default_rng(seed)
    made = []
    for sizes in _sizes(specs, count):
        sent = [
            _sent(
                name, spec, _random_value(random, _sized(spec, sizes), ranges.get(name))
            )
            for name, spec in specs.items()
        ]
        is_empty = any(
            sizes[dim] == 0 for spec in specs.values() for dim in _unknown_dims(spec)
        )
        made.append(
            (
                {name: array for arrays in sent for name, array in arrays.items()},
                is_empty,
            )
        )
    return made


def _tf_examples(traced: Traced, batches: _Batches, seed: int) -> _Batches:
    """Returns batches with serialized tf.Examples, as an API of TensorFlow Serving sends them, for the texts."""
    random = np.random.default_rng(seed)
    parsed = tf_examples.features(traced.function)

    def draw(dtype: str, shape: Sequence[int]) -> Any:
        return _random(random, dtype, shape, None)

    return [
        (
            {
                serving_apis.INPUT: tf_examples.make(
                    parsed, inputs[serving_apis.INPUT].size, draw
                )
            },
            is_empty,
        )
        for inputs, is_empty in batches
    ]


_Dim = (
    str | int
)  # a name, or the place of one that has none; those of one place mostly agree, as batches do


def _unknown_dims(spec: Spec) -> list[_Dim]:
    """Returns the dims that an example gives a size; the rows of a ragged tensor have lengths of their own."""
    rows = range(1, spec.ragged_rank + 1) if spec.kind == "ragged" else ()
    return [
        dim
        for place, dim in enumerate(_dims(spec))
        if dim is not None and place not in rows
    ]


def _dims(spec: Spec) -> list[_Dim | None]:
    """Returns the unknown dims of a shape, with None where a size is known."""
    shape = enumerate(spec.shape or ())
    return [
        None if isinstance(dim, int) else place if dim is None else dim
        for place, dim in shape
    ]


def _sizes(specs: Mapping[str, Spec], count: int) -> Iterator[dict[_Dim, int]]:
    """Yields the sizes that the unknown dims have in each example.

    One, several and none in turn; dims with names are unlike each other. One dim alone has the size 0, for what an
    object does with no rows is nothing of what it does with no columns. Where a third of the examples is too few for
    that, others follow, as many again at most: then several dims are empty at once.
    """
    known = dict.fromkeys(
        dim for spec in specs.values() for dim in _dims(spec) if dim is not None
    )
    names = [dim for dim in known if isinstance(dim, str)]
    turns = {dim: names.index(dim) if isinstance(dim, str) else 0 for dim in known}
    unknown = list(
        dict.fromkeys(dim for spec in specs.values() for dim in _unknown_dims(spec))
    )
    third = count // 3
    number = min(max(third, len(unknown)), third + count) if third else 0
    none = [unknown[index % (len(unknown) or 1) :: number] for index in range(number)]
    empty = iter([{dim: 0 if dim in dims else 2 for dim in known} for dims in none])
    for index in range(count):
        if index % 3 == 2:  # noqa: PLR2004 - the third of three kinds
            yield next(empty)
        else:
            yield {dim: (1, 3)[(index + turn) % 2] for dim, turn in turns.items()}
    yield from empty


def _sized(spec: Spec, sizes: Mapping[_Dim, int]) -> Spec:
    shape = zip(spec.shape or (), _dims(spec), strict=True)
    return replace(
        spec, shape=tuple(size if dim is None else sizes[dim] for size, dim in shape)
    )


def _random_value(
    random: np.random.Generator, spec: Spec, limits: Sequence[float] | None
) -> Any:
    shape: tuple[Any, ...] = spec.shape or ()
    if spec.kind == "dense":
        return _random(random, spec.dtype, shape, limits)
    if spec.kind == "sparse":
        value = _random(random, spec.dtype, shape, limits)
        value[random.integers(0, 2, shape).astype(bool)] = (
            b"" if spec.dtype == "string" else 0
        )
        return value
    rows, splits = shape[0], []
    for _ in range(spec.ragged_rank):
        splits.append(
            np.cumsum([0, *random.integers(0, 4, rows)]).astype(spec.row_splits_dtype)
        )
        rows = int(splits[-1][-1])
    return [
        _random(random, spec.dtype, (rows, *shape[spec.ragged_rank + 1 :]), limits),
        *splits,
    ]


def _random(
    random: np.random.Generator,
    name: str,
    shape: Sequence[int],
    limits: Sequence[float] | None,
) -> Any:
    dtype = tf.as_dtype(name)
    if dtype == tf.string:
        words = [b"a", b"to be", "gr\u00fc\u00df".encode()]
        return np.array(
            [words[i] for i in random.integers(0, len(words), int(np.prod(shape)))],
            dtype=object,
        ).reshape(shape)
    if dtype == tf.bool:
        return random.integers(0, 2, shape).astype(bool)
    if dtype.is_complex or dtype.is_floating:
        least, greatest = map(float, limits or (-1, 1))
        # By halves: no float may hold the width of a range. What is smaller than any float has no half.
        drawn = 2 * random.uniform(least / 2, greatest / 2, (2, *shape))
        real, imaginary = np.clip(drawn, least, greatest)
        return np.asarray(real + 1j * imaginary if dtype.is_complex else real).astype(
            dtype.as_numpy_dtype
        )
    # Small enough, where nothing is said, to be a valid id for almost any table or embedding.
    least, greatest = limits or (0, 1)
    wide = np.uint64 if dtype == tf.uint64 else np.int64
    drawn = random.integers(int(least), int(greatest), shape, wide, endpoint=True)
    return np.asarray(drawn).astype(dtype.as_numpy_dtype)


def _run(
    key: str, index: int, traced: Traced, inputs: Mapping[str, Any]
) -> dict[str, Any]:
    """Calls the object's own method, op by op: what is exported is measured against Python, not against its graph."""
    tensors = {name: tf.constant(value) for name, value in inputs.items()}
    tf.config.run_functions_eagerly(True)
    try:
        outputs = traced.call(tensors)
    except Exception as error:
        if leaked := leaks.failure(
            None, ("signatures", key), "calling it on an example", error
        ):
            raise leaked from error
        problem = Problem(
            ("verify", "examples", key, index),
            f"the object in memory fails on this example, {_shapes(inputs)}: {user_code.summary(error)}; give examples"
            f" that it takes under verify.examples.{key}{_form(inputs)}",
        )
        raise VerificationError(problem, user_code.traceback_text(error)) from error
    finally:
        tf.config.run_functions_eagerly(False)
    return {name: to_array(value) for name, value in outputs.items()}


def _form(inputs: Mapping[str, Any]) -> str:
    """Shows how encoded images and the like are given, for the first input that may take them."""
    name = next((name for name, value in inputs.items() if value.dtype == object), None)
    if name is None:
        return ""
    value = (
        "{file: a.jpg}" if inputs[name].ndim == 0 else "[{file: a.jpg}, {b64: TEXT}]"
    )
    return f", such as - inputs: {{{name}: {value}}}"


def _shapes(inputs: Mapping[str, Any]) -> str:
    texts = []
    for name, value in inputs.items():
        dtype = tf.as_dtype(value.dtype).name
        texts.append(f"{name} {tensor_text(dtype, value.shape)}")
    return ", ".join(texts)
