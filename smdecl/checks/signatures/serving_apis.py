"""Rules of TensorFlow Serving's Classify and Regress APIs for signatures, without TensorFlow.

They come from `classifier.cc` and `regressor.cc` of Serving, where a signature that breaks them
fails at its first request.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from smdecl.checks.types import Problems
from smdecl.config.settings import Spec
from smdecl.errors import KeyPath, Problem, nearest
from smdecl.names import PREDICT
from smdecl.savedmodel.records import TensorRecord
from smdecl.tensor_texts import Dim, tensor_text

CLASSIFY = "tensorflow/serving/classify"
REGRESS = "tensorflow/serving/regress"
INPUT = "inputs"  # the input to which both APIs send serialized tf.Examples

Tensor = Spec | TensorRecord
Tensors = Mapping[str, tuple[KeyPath, Tensor]]


@dataclass(frozen=True)
class Form:
    """A tensor that an API sends or returns: its dtype and its possible shapes."""

    dtype: str
    shapes: tuple[tuple[Dim, ...], ...]

    def __str__(self) -> str:
        return " or ".join(
            tensor_text(self.dtype, shape) for shape in self.shapes
        )


@dataclass(frozen=True)
class Api:
    """An API that sends tf.Examples.

    Attributes:
        name: The name in TensorFlow Serving.
        outputs: The outputs that it returns, by name; a signature needs at least one of them.
    """

    name: str
    outputs: dict[str, Form]


_EXAMPLES = Form("string", (("batch",),))
_APIS = {
    CLASSIFY: Api(
        "Classify",
        {
            "classes": Form("string", (("batch", "n"),)),
            "scores": Form("float32", (("batch", "n"),)),
        },
    ),
    REGRESS: Api(
        "Regress", {"outputs": Form("float32", (("batch",), ("batch", 1)))}
    ),
}
METHOD_NAMES = (PREDICT, *_APIS)


def takes_examples(method_name: str) -> bool:
    """Returns whether the API of a method name sends tf.Examples."""
    return method_name in _APIS


def problems(
    path: KeyPath,
    method_name: str,
    inputs: Tensors | None,
    outputs: Tensors | None,
) -> Problems:
    """Yields the tensors of a signature that its API does not support, and those that it needs.

    Args:
        path: The key path of the signature.
        method_name: The method name, which selects the API.
        inputs: Key path and tensor of each input by name; None if they are unknown yet.
        outputs: The same for the outputs.
    """
    if method_name not in _APIS:
        return
    api = _APIS[method_name]
    if inputs is not None:
        yield from _compare(
            (*path, "inputs"), api, "input", inputs, {INPUT: _EXAMPLES}
        )
    if outputs is not None:
        yield from _compare(
            (*path, "outputs"), api, "output", outputs, api.outputs
        )
        yield from _compare_classes(api, outputs)
    if inputs is not None and outputs is not None and INPUT in inputs:
        _, examples = inputs[INPUT]
        yield from _compare_batches(api, examples, outputs)


def _compare(
    path: KeyPath,
    api: Api,
    kind: str,
    tensors: Tensors,
    wanted: Mapping[str, Form],
) -> Problems:
    forms = " and ".join(f"{name!r}, {form}" for name, form in wanted.items())
    either = "one or both of " if len(wanted) > 1 else ""
    expected = f"expected {either}{forms}"
    for name, (place, tensor) in tensors.items():
        if name not in wanted:
            message = f"the {api.name} API has no {kind} {name!r}"
            yield Problem(
                place, f"{message}; {expected}{nearest(name, wanted)}"
            )
        elif not _fits(tensor, wanted[name]):
            form = wanted[name]
            message = f"expected {form} for the {api.name} API, got {tensor}"
            yield Problem(place, message)
    if not tensors:
        yield Problem(path, f"the {api.name} API needs an {kind}; {expected}")


def _fits(tensor: Tensor, form: Form) -> bool:
    if tensor.dtype != form.dtype or _kind(tensor) != "dense":
        return False
    if tensor.shape is None:
        return True
    return any(_fits_shape(tensor.shape, shape) for shape in form.shapes)


def _kind(tensor: Tensor) -> str:
    return tensor.kind or "dense"


def _fits_shape(found: tuple[Dim, ...], wanted: tuple[Dim, ...]) -> bool:
    if len(found) != len(wanted):
        return False
    return all(
        _may_equal(size, other)
        for size, other in zip(found, wanted, strict=True)
    )


def _may_equal(one: Dim, other: Dim) -> bool:
    is_fixed = isinstance(one, int) and isinstance(other, int)
    return not is_fixed or one == other


def _compare_classes(api: Api, outputs: Tensors) -> Problems:
    """Yields the first output whose number of classes differs from those before it."""
    counts: dict[str, int] = {}
    for name, (place, tensor) in outputs.items():
        classes = _size(tensor, 1)
        if classes is None:
            continue
        counts[name] = classes
        if len(set(counts.values())) > 1:
            got = " and ".join(
                f"{count} in {each}" for each, count in counts.items()
            )
            expected = (
                f"expected the same number of classes for the {api.name} API"
            )
            yield Problem(place, f"{expected}, got {got}")
            return


def _compare_batches(api: Api, examples: Tensor, outputs: Tensors) -> Problems:
    """Yields the outputs with a fixed number of rows that differs from that of the examples."""
    batch = _size(examples, 0)
    for place, tensor in outputs.values():
        rows = _size(tensor, 0)
        if rows is not None and rows != batch:
            expected = (
                f"expected a row for each example for the {api.name} API"
            )
            yield Problem(place, f"{expected}, got {tensor}")


def _size(tensor: Tensor, axis: int) -> int | None:
    """Returns the fixed size of an axis; None if the size is unknown or the axis does not exist."""
    shape = tensor.shape or ()
    size = shape[axis] if axis < len(shape) else None
    return size if isinstance(size, int) else None
