"""How a signature calls its method: finds the method, and puts specs or tensors in the places of its arguments."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import tensorflow as tf

from smdecl import keras_models
from smdecl.config import Nest, Spec, map_nest
from smdecl.errors import KeyPath, Problem, nearest


def find_method(obj: Any, dotted_path: str) -> Any:
    """Follows a dotted path from `obj`; None where it leads to nothing that can be called."""
    found = obj
    for name in dotted_path.split("."):
        found = getattr(found, name, None)
    return found if callable(found) else None


def call_of(method: Any) -> Any:
    """Returns a layer's own `call` in the place of its `__call__`, which takes anything."""
    owner = _owner(method)
    return owner.call if owner is not None and keras_models.is_layer(owner) else method


def _owner(method: Any) -> Any:
    """Returns the object whose `__call__` a method is; an object that can be called is its own."""
    if getattr(method, "__name__", "") == "__call__":
        return getattr(method, "__self__", None)
    return method if keras_models.is_layer(method) else None


def graph_of(method: Any) -> keras_models.Graph | None:
    """Returns the inputs and outputs of a functional or sequential model, where the method is its forward pass."""
    return keras_models.graph_of(_owner(method))


def argument_names(method: Any) -> tuple[str, ...]:
    """Returns the names of the arguments of a method, of a `tf.function`, or of a function of a loaded SavedModel."""
    if (graph := graph_of(method)) is not None:
        return tuple(graph.inputs)
    method = call_of(method)
    spec = getattr(method, "function_spec", None)
    if spec is not None:
        return tuple(name for name in spec.arg_names if name != "self")
    try:
        return tuple(name for name in inspect.signature(method).parameters if name != "self")
    except (TypeError, ValueError):  # some builtins and extension classes have none
        return ()


@dataclass(frozen=True)
class Parameter:
    """A parameter of a method; its name need not be a word of Python, for Keras takes any name for an Input."""

    name: str
    kind: Any = inspect.Parameter.POSITIONAL_OR_KEYWORD
    default: Any = inspect.Parameter.empty

    @property
    def is_variadic(self) -> bool:
        """Whether it is `*args` or `**kwargs`."""
        return self.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def parameters(method: Any, inputs: Mapping[str, Nest]) -> list[Parameter]:
    """Returns the parameters of a method that the inputs of a signature are given to."""
    own = _own_parameters(method)
    if (graph := _graph_with(method, inputs)) is None:
        return own
    named = [Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in graph.inputs]
    return named + [parameter for parameter in own[1:] if parameter.name not in graph.inputs]


def _graph_with(method: Any, inputs: Mapping[str, Nest]) -> keras_models.Graph | None:
    """Returns the graph whose Inputs a signature names; it may as well name the arguments of the model's `call`."""
    graph = graph_of(method)
    known = {parameter.name for parameter in _own_parameters(method)}
    return None if graph is None or (inputs and set(inputs) <= known - set(graph.inputs)) else graph


def _own_parameters(method: Any) -> list[Parameter]:
    python_function = call_of(getattr(method, "python_function", method))
    try:
        known = inspect.signature(python_function).parameters.values()
    except (TypeError, ValueError):
        return [Parameter(name) for name in argument_names(method)]
    return [Parameter(p.name, p.kind, p.default) for p in known if p.name != "self"]


def argument_problems(path: KeyPath, name: str, method: Any, inputs: Mapping[str, Nest]) -> list[Problem]:
    """Says which declared arguments a method does not take, and which it lacks; `name` is the method's."""
    known = parameters(method, inputs)
    named = [p.name for p in known if p.kind is not inspect.Parameter.VAR_KEYWORD]
    problems = []
    if len(named) == len(known):
        problems += [
            Problem(
                (*path, given),
                f"{name} has no argument {given!r}; it has: {', '.join(named) or 'none'}{nearest(given, named)}",
            )
            for given in inputs
            if given not in named
        ]
    problems += [
        Problem((*path, p.name), f"is missing: {name} needs the argument {p.name!r}")
        for p in known
        if not p.is_variadic and p.default is inspect.Parameter.empty and p.name not in inputs
    ]
    return problems


def arguments(
    method: Any, inputs: Mapping[str, Nest], on_spec: Callable[[Spec], Any]
) -> tuple[list[Any], dict[str, Any]]:
    """Returns positional and keyword arguments with `on_spec(spec)` for each spec, which has its name by then."""
    graph = _graph_with(method, inputs)
    given = {
        argument: map_nest(nest, lambda place, spec, a=argument: on_spec(_named(spec, None if place else a)))  # type: ignore[misc]
        for argument, nest in inputs.items()
    }
    if graph is not None:
        values = [given.pop(name) for name in graph.inputs]
        return [tf.nest.pack_sequence_as(graph.structure, values)], given
    return _by_position(_own_parameters(method), given)


def _named(spec: Spec, default: str | None) -> Spec:
    return spec if spec.name is not None else replace(spec, name=default)


def _by_position(known: list[Parameter], given: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """Gives by position what can be given in no other way: `*args`, what stands before them, and what `/` closes."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.VAR_POSITIONAL)
    last = max((index for index, p in enumerate(known) if p.name in given and p.kind in kinds), default=-1)
    positional: list[Any] = []
    for parameter in known[: last + 1]:
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            several = given.pop(parameter.name)
            positional += several if isinstance(several, list) else [several]
        else:
            positional.append(given.pop(parameter.name) if parameter.name in given else parameter.default)
    return positional, given


def type_spec(spec: Spec) -> Any:
    """Returns the `tf.TypeSpec` of a declared spec; a named dim is an unknown size to TensorFlow."""
    shape = None if spec.shape is None else [None if isinstance(dim, str) else dim for dim in spec.shape]
    if spec.kind == "ragged":
        splits = tf.as_dtype(spec.row_splits_dtype)
        return tf.RaggedTensorSpec(shape, spec.dtype, ragged_rank=spec.ragged_rank, row_splits_dtype=splits)
    if spec.kind == "sparse":
        return tf.SparseTensorSpec(shape, spec.dtype)
    return tf.TensorSpec(shape, spec.dtype, name=spec.name)
