"""Names of inputs that TensorFlow would not keep are refused, with a name that it keeps."""

import pytest
from smdecl.checks.signatures import input_names
from smdecl.config.settings import Spec

DENSE = Spec((None,), "float32")
RAGGED = Spec((None, None), "float32", kind="ragged")
SPARSE = Spec((None, 3), "float32", kind="sparse")


@pytest.mark.parametrize(
    ("inputs", "place", "reason", "similar"),
    [
        ({"a": DENSE, "A": DENSE}, "A", "TensorFlow treats 'A' and 'a' as equal", "A_2"),
        ({"x": RAGGED, "x_1": DENSE}, "x_1", "a part of the ragged input 'x'", "x_1_2"),
        ({"X_2": DENSE, "x": SPARSE}, "X_2", "a part of the sparse input 'x'", "X_2_2"),
        ({"x": SPARSE, "X": DENSE}, "X", "TensorFlow treats 'X' and 'x' as equal", "X_3"),
        ({"a b": DENSE}, "a b", "TensorFlow would rename 'a b' to 'a_b'", "a_b"),
        ({"a": (DENSE, DENSE)}, ("a", 0), "is missing", None),
    ],
)
def test_a_name_that_is_not_kept(inputs, place, reason, similar):
    refused = next(input_names.refused(inputs))

    assert refused.place == (place if isinstance(place, tuple) else (place,))
    assert reason in refused.reason
    assert refused.similar == similar


def test_names_that_are_kept():
    inputs = {"x": RAGGED, "x_2": DENSE, "y": {"a": Spec((), "int8", "z")}}

    assert list(input_names.refused(inputs)) == []
