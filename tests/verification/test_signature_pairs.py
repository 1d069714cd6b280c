"""The tensors of two signatures are paired by name, or a single one with a single one."""

import pytest
from smdecl.savedmodel.records import SignatureRecord, TensorRecord
from smdecl.verification.signature_pairs import Pairs, pair

ROWS = TensorRecord("float32", (None, 3))
ROW = TensorRecord("float32", (1, 3))
ANY = TensorRecord("float32", None)
WIDE = TensorRecord("float32", (None, 4))
IDS = TensorRecord("int64", (None, 3))
SPARSE = TensorRecord("float32", (None, 3), kind="sparse")


def signature(inputs, outputs):
    return SignatureRecord(inputs, outputs)


OWN = signature({"x": ROWS}, {"y": ROWS})
TWO = signature({"a": ROWS, "b": ROWS}, {"y": ROWS, "z": ROWS})


@pytest.mark.parametrize("tensor", [ROWS, ROW, ANY])
def test_single_tensors_are_paired_whatever_their_names(tensor):
    other = signature({"keras_tensor_3": tensor}, {"output_0": WIDE})

    assert pair(OWN, other) == Pairs({"x": "keras_tensor_3"}, {"y": "output_0"})


def test_several_tensors_are_paired_by_name():
    other = signature({"b": ROWS, "a": ROWS}, {"y": ROWS, "other": ROWS})

    assert pair(TWO, other) == Pairs({"a": "a", "b": "b"}, {"y": "y"}, ("z",))


@pytest.mark.parametrize(
    ("own", "other", "reason"),
    [
        (OWN, None, "it has no such signature"),
        (
            OWN,
            signature({"x": WIDE}, {"y": ROWS}),
            "its inputs are x float32 [?, 4]; expected x float32 [?, 3]",
        ),
        (
            OWN,
            signature({"x": IDS}, {"y": ROWS}),
            "its inputs are x int64 [?, 3]; expected x float32 [?, 3]",
        ),
        (
            OWN,
            signature({"x": SPARSE}, {"y": ROWS}),
            "its inputs are x sparse float32 [?, 3]; expected x float32 [?, 3]",
        ),
        (
            TWO,
            signature({"a": ROWS, "c": ROWS}, {"y": ROWS}),
            "its inputs are a float32 [?, 3], c float32 [?, 3];"
            " expected a float32 [?, 3], b float32 [?, 3]",
        ),
        (
            OWN,
            signature({"x": ROWS, "training": ROWS}, {"y": ROWS}),
            "its inputs are x float32 [?, 3], training float32 [?, 3]; expected x float32 [?, 3]",
        ),
        (
            OWN,
            signature({"x": ROWS}, {"a": ROWS, "b": ROWS}),
            "its outputs are a float32 [?, 3], b float32 [?, 3]; expected y float32 [?, 3]",
        ),
        (
            OWN,
            signature({"x": ROWS}, {"y": SPARSE}),
            "its outputs are y sparse float32 [?, 3]; expected y float32 [?, 3]",
        ),
    ],
)
def test_signatures_that_cannot_be_compared_have_a_reason(own, other, reason):
    assert pair(own, other) == reason
