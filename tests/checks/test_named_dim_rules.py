"""A misspelt name of a dim is reported where it is misspelt."""

import pytest
from smdecl.checks.signatures import named_dim_rules
from smdecl.config import parsing
from smdecl.errors import dotted


def problems(inputs, outputs):
    def specs(shapes):
        return {name: {"shape": shape, "dtype": "int8"} for name, shape in shapes.items()}

    signature = parsing.parse_signature({"inputs": specs(inputs), "outputs": specs(outputs)})
    found = named_dim_rules.check(("s",), signature)
    return [(dotted(problem.path), problem.message) for problem in found]


@pytest.mark.parametrize(
    ("inputs", "outputs", "expected"),
    [
        ({"x": ["batch", 3]}, {"y": ["batch"]}, None),
        ({"x": ["btach", 3]}, {"y": ["batch"]}, ("s.inputs.x.shape[0]", "unknown dim 'btach'; the outputs have 'batch', which no input has (did you mean 'batch'?)")),
        ({"x": ["rowz", 3]}, {"y": ["rows"], "z": ["rows"]}, ("s.inputs.x.shape[0]", "unknown dim 'rowz'; the outputs have 'rows', which no input has (did you mean 'rows'?)")),
        ({"x": ["batch", 3]}, {"y": ["btach"]}, ("s.outputs.y.shape[0]", "no input has a dim named 'btach'; expected one of batch (did you mean 'batch'?)")),
        ({"x": ["n"], "z": ["rows"]}, {"y": ["rowz"]}, ("s.outputs.y.shape[0]", "no input has a dim named 'rowz'; expected one of n, rows (did you mean 'rows'?)")),
        ({"x": ["n"]}, {"y": ["found"], "z": ["found"]}, None),
        ({"x": ["time"]}, {"y": ["batch"]}, ("s.outputs.y.shape[0]", "no input has a dim named 'batch'; expected one of time")),
        ({"x": ["btach"], "z": ["btach"]}, {"y": ["batch"]}, ("s.outputs.y.shape[0]", "no input has a dim named 'batch'; expected one of btach (did you mean 'btach'?)")),
        ({"x": [3]}, {"y": ["batch"]}, ("s.outputs.y.shape[0]", "no input has a dim named 'batch'; expected a size or null, because the inputs name no dims")),
    ],
)  # fmt: skip
def test_the_dim_that_looks_misspelt_is_reported(inputs, outputs, expected):
    assert problems(inputs, outputs) == ([] if expected is None else [expected])
