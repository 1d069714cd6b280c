"""Every tensor is written in one way."""

import pytest
from smdecl.config.settings import Spec
from smdecl.savedmodel.records import TensorRecord
from smdecl.tensor_texts import tensor_text


@pytest.mark.parametrize(
    ("tensor", "text"),
    [
        (tensor_text("float32", ["batch", 4]), "float32 [batch, 4]"),
        (TensorRecord("float32", (None, 4)), "float32 [?, 4]"),
        (TensorRecord("float32", None), "float32 (unknown rank)"),
        (
            TensorRecord("float32", None, kind="ragged", detail="rank 1"),
            "ragged float32 (unknown rank, rank 1)",
        ),
        (Spec(("batch", None), "int64"), "int64 [batch, ?]"),
        (Spec((), "string"), "string []"),
        (Spec(None, "int64", kind="sparse"), "sparse int64 (unknown rank)"),
    ],
)
def test_a_tensor_in_text(tensor, text):
    assert str(tensor) == text
