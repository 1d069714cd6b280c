"""The examples that a config gives under `verify.examples`, as arrays."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TypeAlias

import tensorflow as tf

from smdecl.checks.examples import example_rules
from smdecl.config import named_dims
from smdecl.config.settings import Spec, Verify, parts
from smdecl.errors import ConfigError, KeyPath, Problem
from smdecl.savedmodel.comparing.array_distances import Array
from smdecl.verification import example_values

GivenExample: TypeAlias = Mapping[str, Mapping[str, object]]
"""The values of `inputs`, and of `outputs` if they are given, by name."""


def check_names(
    key: str,
    verify: Verify,
    specs: Mapping[str, Spec],
    outputs: Collection[str],
) -> None:
    """Checks the names of tolerances and ranges, and the ranges against the dtypes of inputs.

    Args:
        key: The key of the signature.
        verify: The ranges and tolerances.
        specs: The specs of the inputs by name.
        outputs: The names of the outputs.

    Raises:
        ConfigError: With every unknown name, or the first range that does not fit.
    """
    tolerances = verify.tolerances.get(key, {})
    ranges = verify.ranges.get(key, {})
    problems = []
    for part, kind, names, known in (
        ("tolerances", "output", tolerances, outputs),
        ("ranges", "input", ranges, specs),
    ):
        for name in names:
            if name not in known:
                message = example_rules.unknown(kind, name, known)
                problems.append(Problem(("verify", part, key, name), message))
    if problems:
        raise ConfigError(problems)
    for name, limits in ranges.items():
        spec = Spec((2,), specs[name].dtype)
        example_values.to_array(("verify", "ranges", key, name), limits, spec)


def inputs(
    path: KeyPath,
    example: GivenExample,
    specs: Mapping[str, Spec],
) -> dict[str, Array]:
    """Returns the dense arrays that the inputs of an example are sent as.

    Args:
        path: The key path of the example.
        example: The example.
        specs: The specs of the signature's inputs by name.

    Raises:
        ConfigError: If an input is missing or unknown, a value does not fit its spec, or the sizes
            of a named dim disagree.
    """
    path = (*path, "inputs")
    values = example["inputs"]
    # `check` does not know the names if the inputs are the function's own.
    problems = list(example_rules.check_names(path, values, "input", specs))
    if problems:
        raise ConfigError(problems)
    arrays: dict[str, Array] = {}
    declared: dict[str, Spec] = {}
    for name, spec in specs.items():
        value_path = (*path, name)
        arrays |= example_values.input_arrays(
            value_path, name, values[name], spec
        )
        declared |= parts(name, spec)
    shapes = {name: array.shape for name, array in arrays.items()}
    disagreeing = list(named_dims.disagreeing(declared, shapes))
    if disagreeing:
        raise ConfigError([Problem(path, message) for message in disagreeing])
    return arrays


def outputs(
    path: KeyPath,
    example: GivenExample,
    computed: Mapping[str, Array],
) -> dict[str, Array]:
    """Returns the outputs that an example expects; empty if it gives none.

    Args:
        path: The key path of the example.
        example: The example.
        computed: The outputs that the object computes, which determine dtypes and shapes.

    Raises:
        ConfigError: If an output is unknown, or a value does not fit.
    """
    path = (*path, "outputs")
    expected: dict[str, Array] = {}
    for name, value in example.get("outputs", {}).items():
        if name not in computed:
            message = example_rules.unknown("output", name, computed)
            raise ConfigError(Problem((*path, name), message))
        dtype = tf.as_dtype(computed[name].dtype).name
        spec = Spec(computed[name].shape, dtype)
        expected[name] = example_values.to_array((*path, name), value, spec)
    return expected
