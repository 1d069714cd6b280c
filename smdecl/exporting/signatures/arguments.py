"""Turns the declared inputs of a signature into the arguments of its method."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import keras
import tensorflow as tf

from smdecl.config.settings import Nest, Spec
from smdecl.errors import KeyPath, Problem, closest, did_you_mean
from smdecl.exporting.live_objects import keras_models
from smdecl.exporting.signatures import record_kinds, structures
from smdecl.exporting.signatures.parameters import (
    Parameter,
    calls_layer,
    graph_of,
    input_graph,
    is_function,
    own_parameters,
    parameters,
    python_function,
)
from smdecl.exporting.types import Method, PythonValue, Structure, TypeSpec

_BY_POSITION = (
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.VAR_POSITIONAL,
)
_TENSOR_SPECS = (tf.TensorSpec, tf.RaggedTensorSpec, tf.SparseTensorSpec)


def problems(
    path: KeyPath, name: str, method: Method, inputs: Mapping[str, Nest]
) -> list[Problem]:
    """Returns the inputs that a method does not accept, and those that it lacks.

    Args:
        path: The key of the inputs.
        name: The method's name, for the messages.
        method: The method.
        inputs: The declared inputs by argument.
    """
    return [
        *_misnamed(path, name, method, inputs),
        *_unfit_records(path, name, method, inputs),
    ]


def _misnamed(
    path: KeyPath, name: str, method: Method, inputs: Mapping[str, Nest]
) -> Iterator[Problem]:
    """Yields the inputs that a method does not accept, and those that it lacks.

    An input whose name is misspelt is one problem, not two.
    """
    accepted = parameters(method, inputs)
    accepts_any = any(
        parameter.kind is inspect.Parameter.VAR_KEYWORD
        for parameter in accepted
    )
    named = [
        parameter.name
        for parameter in accepted
        if parameter.kind is not inspect.Parameter.VAR_KEYWORD
    ]
    missing = [
        parameter.name
        for parameter in accepted
        if parameter.is_required and parameter.name not in inputs
    ]
    expected = (
        f"expected one of {', '.join(named)}" if named else "expected none"
    )
    for given in inputs:
        meant = closest(given, missing)
        if given in named or (accepts_any and meant is None):
            continue
        missing = [other for other in missing if other != meant]
        hint = did_you_mean(meant or closest(given, named))
        message = f"unknown argument {given!r} of {name}; {expected}{hint}"
        yield Problem((*path, given), message)
    for argument in missing:
        message = f"missing required argument {argument!r} of {name}"
        yield Problem((*path, argument), message)


def _unfit_records(
    path: KeyPath, name: str, method: Method, inputs: Mapping[str, Nest]
) -> Iterator[Problem]:
    """Yields the nests that do not match the record classes that the method expects."""
    kinds = _kinds(method, inputs)
    for argument, nest in inputs.items():
        kind = kinds.get(argument)
        yield from structures.problems((*path, argument), nest, kind)
        if is_function(method) and _has_opaque(nest, kind):
            message = (
                f"{name} is a tf.function, and TensorFlow cannot save one that has a"
                " dataclass or attrs class as an argument;"
                " remove @tf.function, because smdecl adds it"
            )
            yield Problem((*path, argument), message)
        if is_function(method):
            for record in structures.records(nest, kind):
                reason = record_kinds.refuse_unnamed(record)
                if reason is not None:
                    message = f"{name} is a tf.function with {reason}"
                    yield Problem((*path, argument), message)


def _has_opaque(nest: Nest, kind: record_kinds.Kind | None) -> bool:
    records = structures.records(nest, kind)
    return any(record_kinds.is_opaque(record) for record in records)


def _kinds(
    method: Method, inputs: Mapping[str, Nest]
) -> dict[str, record_kinds.Kind]:
    """Returns the record classes that a method expects in its arguments."""
    if input_graph(method, inputs) is not None:
        return {}
    specs = getattr(method, "input_signature", None)
    names = [parameter.name for parameter in own_parameters(method)]
    return record_kinds.kinds(python_function(method), names, specs)


def uses_opaque_records(method: Method, inputs: Mapping[str, Nest]) -> bool:
    """Returns whether a method accepts or returns records that a `tf.function` cannot.

    Such a method must be called from inside a `tf.function`, not be one.
    """
    if is_function(method) or graph_of(method) is not None:
        return False
    result = record_kinds.returned(python_function(method))
    if result is not None and record_kinds.is_opaque(result.record):
        return True
    kinds = _kinds(method, inputs)
    return any(
        _has_opaque(nest, kinds.get(name)) for name, nest in inputs.items()
    )


def in_order(method: Method, inputs: Mapping[str, Nest]) -> dict[str, Nest]:
    """Returns inputs in the order of the method's parameters, and their nests in TensorFlow's.

    The order in a config must not affect the result.
    """
    kinds = _kinds(method, inputs)
    graph = input_graph(method, inputs)
    if graph is None:
        known = [parameter.name for parameter in parameters(method, inputs)]
    else:
        known = list(graph.inputs)
    names = [name for name in known if name in inputs]
    names += sorted(inputs.keys() - {*names})
    return {
        name: structures.in_order(inputs[name], kinds.get(name))
        for name in names
    }


def arguments(
    method: Method,
    inputs: Mapping[str, Nest],
    on_spec: Callable[[Spec], Structure],
) -> tuple[list[PythonValue], dict[str, PythonValue]]:
    """Returns the positional and the keyword arguments of a call.

    Args:
        method: The method to call.
        inputs: The declared inputs by argument.
        on_spec: Returns the value to pass for a spec. The spec has a name by then.
    """
    graph = input_graph(method, inputs)
    given = _packed(method, inputs, on_spec)
    if graph is not None:
        values = [given.pop(name, None) for name in graph.inputs]
        return [tf.nest.pack_sequence_as(graph.structure, values)], given
    own = own_parameters(method)
    names = [parameter.name for parameter in own]
    if _is_call_of_layer(method) and "training" in names:
        given.setdefault("training", False)
    if not is_function(method) and calls_layer(method):
        own = _in_place(own, given)
    return _by_position(own, given)


def _in_place(
    own: list[Parameter], given: Mapping[str, PythonValue]
) -> list[Parameter]:
    """Makes tensors positional that TensorFlow would put into a different order.

    The `__call__` of a Keras layer accepts any keywords, which TensorFlow sorts. By position, Keras
    accepts only tensors and None, also inside of lists and mappings.
    """
    places = [
        index
        for index, parameter in enumerate(own)
        if _has_only_tensors(given.get(parameter.name))
    ]
    names = [own[index].name for index in places]
    if names == sorted(names):
        return own
    count = places[-1] + 1
    for index, parameter in enumerate(own[:count]):
        if parameter.kind is not inspect.Parameter.POSITIONAL_OR_KEYWORD:
            return own
        is_accepted = index in places or _is_none(parameter, given)
        if not is_accepted:
            return own
    kind = inspect.Parameter.POSITIONAL_ONLY
    first = [replace(parameter, kind=kind) for parameter in own[:count]]
    return [*first, *own[count:]]


def _has_only_tensors(value: PythonValue) -> bool:
    """Returns whether Keras finds tensors, or their specs, and None in an argument, but no record.

    For Keras, a dataclass, an attrs class or an ExtensionType is one value.
    """
    if value is None:
        return False
    leaves = [leaf for leaf in keras.tree.flatten(value) if leaf is not None]
    return all(
        tf.is_tensor(leaf) or isinstance(leaf, _TENSOR_SPECS)
        for leaf in leaves
    )


def _is_none(parameter: Parameter, given: Mapping[str, PythonValue]) -> bool:
    return given.get(parameter.name, parameter.default) is None


def _packed(
    method: Method,
    inputs: Mapping[str, Nest],
    on_spec: Callable[[Spec], Structure],
) -> dict[str, PythonValue]:
    kinds = _kinds(method, inputs)
    packed: dict[str, PythonValue] = {}
    for argument, nest in inputs.items():

        def leaf(
            place: KeyPath, spec: Spec, argument: str = argument
        ) -> Structure:
            is_whole_argument = not place
            if spec.name is None and is_whole_argument:
                spec = replace(spec, name=argument)
            return on_spec(spec)

        packed[argument] = structures.pack(nest, kinds.get(argument), leaf)
    return packed


def _is_call_of_layer(method: Method) -> bool:
    """Returns whether a method is a layer's `call`.

    Keras sets `training` only for `__call__`.
    """
    if getattr(method, "__name__", "") != "call":
        return False
    owner = getattr(method, "__self__", None)
    return owner is not None and keras_models.is_layer(owner)


def _by_position(
    known: list[Parameter], given: Mapping[str, PythonValue]
) -> tuple[list[PythonValue], dict[str, PythonValue]]:
    """Splits arguments into positional and keyword ones.

    Positional are those that cannot be passed by keyword, `*args` included, and all before them.
    """
    count = 0
    for index, parameter in enumerate(known):
        if parameter.name in given and parameter.kind in _BY_POSITION:
            count = index + 1
    keywords = dict(given)
    positional: list[PythonValue] = []
    for parameter in known[:count]:
        value = keywords.pop(parameter.name, parameter.default)
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            positional += value if isinstance(value, list) else [value]
        else:
            positional.append(value)
    return positional, keywords


def type_spec(spec: Spec) -> TypeSpec:
    """Returns the `tf.TypeSpec` of a declared spec; a named dim becomes an unknown size."""
    shape = None
    if spec.shape is not None:
        shape = [None if isinstance(dim, str) else dim for dim in spec.shape]
    if spec.kind == "ragged":
        return tf.RaggedTensorSpec(
            shape,
            spec.dtype,
            ragged_rank=spec.ragged_rank,
            row_splits_dtype=tf.as_dtype(spec.row_splits_dtype),
        )
    if spec.kind == "sparse":
        return tf.SparseTensorSpec(shape, spec.dtype)
    return tf.TensorSpec(shape, spec.dtype, name=spec.name)
