"""What the APIs of TensorFlow Serving ask of a signature; knows no TensorFlow.

The rules are those of Serving's `classifier.cc` and `regressor.cc`, which a signature would otherwise break in
production, at the first request.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from smdecl.config.settings import Spec
from smdecl.errors import KeyPath, Problem, nearest
from smdecl.names import PREDICT
from smdecl.savedmodel.records import TensorRecord
from smdecl.tensor_texts import Dim, tensor_text

CLASSIFY = "tensorflow/serving/classify"
REGRESS = "tensorflow/serving/regress"
INPUT = "inputs"  # what both APIs send their serialized tf.Examples by

Tensor = Spec | TensorRecord
Tensors = Mapping[str, tuple[KeyPath, Tensor]]


@dataclass(frozen=True)
class Form:
    """A tensor that an API sends or returns: its dtype and the shapes that it may have, as a person writes them."""

    dtype: str
    shapes: tuple[tuple[Dim, ...], ...]

    def __str__(self) -> str:
        return " or ".join(tensor_text(self.dtype, shape) for shape in self.shapes)


@dataclass(frozen=True)
class Api:
    """An API that takes tf.Examples.

    Attributes:
        name: As TensorFlow Serving calls it.
        outputs: What it returns, by the names of outputs; at least one of them.
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
    REGRESS: Api("Regress", {"outputs": Form("float32", (("batch",), ("batch", 1)))}),
}
METHOD_NAMES = (PREDICT, *_APIS)


def takes_examples(method_name: str) -> bool:
    """Tells whether the API of a method name sends tf.Examples."""
    return method_name in _APIS


def problems(
    path: KeyPath, method_name: str, inputs: Tensors | None, outputs: Tensors | None
) -> Iterator[Problem]:
    """Yields where the tensors of a signature are not those that the API of its method name asks for.

    Args:
        path: Of the signature.
        method_name: Of the signature.
        inputs: Name to key path and tensor; None where they are not known yet.
        outputs: Likewise.
    """
    if method_name not in _APIS:
        return
    api = _APIS[method_name]
    if inputs is not None:
        yield from _compare((*path, "inputs"), api, "input", inputs, {INPUT: _EXAMPLES})
    if outputs is not None:
        yield from _compare((*path, "outputs"), api, "output", outputs, api.outputs)
        yield from _disagreeing(api, outputs)
    if inputs is not None and outputs is not None and INPUT in inputs:
        yield from _other_batches(api, inputs[INPUT][1], outputs)


def _compare(
    path: KeyPath, api: Api, kind: str, tensors: Tensors, wanted: Mapping[str, Form]
) -> Iterator[Problem]:
    expected = " and ".join(f"{name!r}, {form}" for name, form in wanted.items())
    either = "one or both of " if len(wanted) > 1 else ""
    for name, (place, tensor) in tensors.items():
        if name not in wanted:
            message = f"the {api.name} API has no {kind} {name!r}; expected {either}{expected}{nearest(name, wanted)}"
            yield Problem(place, message)
        elif not _fits(tensor, wanted[name]):
            yield Problem(
                place, f"expected {wanted[name]} for the {api.name} API, got {tensor}"
            )
    if not tensors:
        yield Problem(
            path, f"the {api.name} API needs an {kind}; expected {either}{expected}"
        )


def _fits(tensor: Tensor, form: Form) -> bool:
    if tensor.dtype != form.dtype or _kind(tensor) != "dense":
        return False
    return tensor.shape is None or any(
        _fits_shape(tensor.shape, shape) for shape in form.shapes
    )


def _kind(tensor: Tensor) -> str:
    return tensor.kind or "dense"


def _fits_shape(found: tuple[Dim, ...], wanted: tuple[Dim, ...]) -> bool:
    if len(found) != len(wanted):
        return False
    sizes = zip(found, wanted, strict=True)
    return all(
        not isinstance(size, int) or not isinstance(other, int) or size == other
        for size, other in sizes
    )


def _disagreeing(api: Api, outputs: Tensors) -> Iterator[Problem]:
    """Yields where one output has more classes than another."""
    known: dict[str, int] = {}
    for name, (place, tensor) in outputs.items():
        for size in (tensor.shape or ())[1:2]:
            if isinstance(size, int):
                known[name] = size
        if len(set(known.values())) > 1:
            told = " and ".join(f"{count} in {each}" for each, count in known.items())
            yield Problem(
                place,
                f"expected the same number of classes for the {api.name} API, got {told}",
            )
            return


def _other_batches(api: Api, examples: Tensor, outputs: Tensors) -> Iterator[Problem]:
    batch = (examples.shape or (None,))[0]
    for place, tensor in outputs.values():
        size = (tensor.shape or (None,))[0]
        if isinstance(size, int) and size != batch:
            message = (
                f"expected a row for each example for the {api.name} API, got {tensor}"
            )
            yield Problem(place, message)
