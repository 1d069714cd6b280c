"""Traces functions of named tensors, and describes the concrete functions that tracing returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import tensorflow as tf

from smdecl.exporting.live_objects.tensors import tensor_record
from smdecl.exporting.types import (
    ConcreteFunction,
    GenericFunction,
    Structure,
    Tensor,
    TypeSpec,
)
from smdecl.savedmodel.records import TensorRecord


def traces(function: GenericFunction) -> list[ConcreteFunction]:
    """Returns the traces of a `tf.function`; none for a function of a loaded SavedModel."""
    listed = getattr(function, "_list_all_concrete_functions", None)
    return [] if listed is None else list(listed())


def trace_named(
    call: Callable[[dict[str, Tensor]], Mapping[str, Tensor]],
    specs: Mapping[str, TypeSpec],
) -> ConcreteFunction:
    """Traces a function of named tensors; the names need not be Python identifiers.

    Args:
        call: Receives the tensors by name and returns the outputs by name.
        specs: The spec of each tensor. It has the tensor's name.
    """
    words = {name: f"input_{index}" for index, name in enumerate(specs)}

    # The name of this function is part of the SavedModel.
    def named(**tensors: Tensor) -> Structure:
        return call({name: tensors[word] for name, word in words.items()})

    function = tf.function(named, autograph=False)
    keywords = {words[name]: spec for name, spec in specs.items()}
    return function.get_concrete_function(**keywords)


def name_arguments(
    concrete: ConcreteFunction, names: Sequence[str]
) -> ConcreteFunction:
    """Makes a concrete function callable by position, and by `names`, after it is loaded.

    If its trace has the same names in a different order, it becomes callable by name only.
    """
    count = _count_inputs(concrete)
    own = list(concrete._arg_keywords)
    if own != list(names) and sorted(own) == sorted(names):
        concrete._num_positional_args = 0
        return concrete
    if count == len(names):
        concrete._arg_keywords = list(names)
        concrete._num_positional_args = count
    return concrete


def input_records(concrete: ConcreteFunction) -> dict[str, TensorRecord]:
    """Returns the inputs of a concrete function by the names that TensorFlow saves."""
    inputs = concrete.inputs[: _count_inputs(concrete)]
    records = {}
    for name, tensor in zip(concrete._arg_keywords, inputs, strict=True):
        records[name] = tensor_record(tensor.dtype, tensor.shape)
    return records


def _count_inputs(concrete: ConcreteFunction) -> int:
    """Returns the number of inputs without the captured ones, which come last."""
    return len(concrete.inputs) - len(concrete.captured_inputs)
