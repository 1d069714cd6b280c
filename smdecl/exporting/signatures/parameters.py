"""Finds the method of a signature and the parameters that it accepts."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import tensorflow as tf

from smdecl.config.settings import Nest, Spec
from smdecl.exporting.live_objects import (
    derived_specs,
    keras_graphs,
    keras_models,
)
from smdecl.exporting.types import (
    Layer,
    Method,
    PythonValue,
    Trackable,
)

_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def find_method(obj: Trackable, dotted_path: str) -> Method | None:
    """Follows a dotted path from `obj`; None if it leads to nothing callable."""
    found = obj
    for name in dotted_path.split("."):
        # The signatures of a loaded SavedModel are a mapping.
        item = found.get(name) if isinstance(found, Mapping) else None
        found = getattr(found, name, item)
    return found if callable(found) else None


def is_function(method: Method) -> bool:
    """Returns whether a method is a `tf.function`."""
    return isinstance(method, tf.types.experimental.GenericFunction)


def concrete_inputs(method: Method) -> dict[str, Spec] | None:
    """Returns the inputs of a loaded SavedModel's signature by name; None for any other method."""
    if not isinstance(method, tf.types.experimental.ConcreteFunction):
        return None
    positional, keywords = method.structured_input_signature
    if positional:
        return None
    return {
        name: derived_specs.of_type_spec(spec).spec
        for name, spec in keywords.items()
    }


def graph_of(method: Method) -> keras_graphs.Graph | None:
    """Returns the inputs and outputs of a functional or sequential model.

    None if the method is not the forward pass of such a model.
    """
    return keras_graphs.graph_of(_owner(method))


def specs_of_graph(
    method: Method, inputs: Mapping[str, Nest]
) -> Iterator[tuple[str, Spec, Spec]]:
    """Yields the name and the declared spec of each input, and the spec of its Keras Input.

    Nests, and inputs that the model does not have, are skipped.
    """
    graph = graph_of(method)
    if graph is None:
        return
    for name, declared in inputs.items():
        own = graph.inputs.get(name)
        if isinstance(own, Spec) and isinstance(declared, Spec):
            yield name, declared, own


def _owner(method: Method) -> Layer | None:
    """Returns the object whose `__call__` a method is; a layer is its own owner."""
    if getattr(method, "__name__", "") == "__call__":
        return getattr(method, "__self__", None)
    return method if keras_models.is_layer(method) else None


def calls_layer(method: Method) -> bool:
    """Returns whether a method is the `__call__` of a Keras layer, which accepts any arguments."""
    owner = _owner(method)
    return owner is not None and keras_models.is_layer(owner)


def python_function(method: Method) -> Callable[..., PythonValue]:
    """Returns the Python function that has the signature and annotations of a method."""
    function: Callable[..., PythonValue]
    function = _call_of(getattr(method, "python_function", method))
    return function


def _call_of(method: Method) -> Method:
    """Returns a layer's own `call` instead of its `__call__`, whose signature accepts anything."""
    if not calls_layer(method):
        return method
    owner: Layer = _owner(method)
    return owner.call


def argument_names(method: Method) -> tuple[str, ...]:
    """Returns the names of the arguments of a method, without `self`."""
    graph = graph_of(method)
    if graph is not None:
        return tuple(graph.inputs)
    concrete = concrete_inputs(method)
    if concrete is not None:
        return tuple(concrete)
    callee = _call_of(method)
    function_spec = getattr(callee, "function_spec", None)
    if function_spec is not None:
        names = function_spec.arg_names
    else:
        try:
            names = inspect.signature(callee).parameters
        except (TypeError, ValueError):
            # Some builtins and extension classes have no signature.
            return ()
    return tuple(name for name in names if name != "self")


@dataclass(frozen=True)
class Parameter:
    """A parameter of a method.

    Attributes:
        name: Its name. It may be no Python identifier, because Keras accepts any name for an Input.
        kind: How arguments are passed to it.
        default: Its default, or `inspect.Parameter.empty`.
    """

    name: str
    kind: inspect._ParameterKind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    default: PythonValue = inspect.Parameter.empty

    @property
    def is_required(self) -> bool:
        """Whether a call must pass it."""
        has_default = self.default is not inspect.Parameter.empty
        return not has_default and self.kind not in _VARIADIC


def own_parameters(method: Method) -> list[Parameter]:
    """Returns the parameters of the Python function, without `self`."""
    concrete = concrete_inputs(method)
    if concrete is not None:
        return [
            Parameter(name, inspect.Parameter.KEYWORD_ONLY)
            for name in concrete
        ]
    try:
        known = inspect.signature(python_function(method)).parameters.values()
    except (TypeError, ValueError):
        # Some builtins and extension classes have no signature.
        return [Parameter(name) for name in argument_names(method)]
    return [
        Parameter(p.name, p.kind, p.default) for p in known if p.name != "self"
    ]


def named_arguments(method: Method) -> dict[str, str]:
    """Returns the argument of each name in the `input_signature` of a method."""
    specs = getattr(method, "input_signature", None) or ()
    names = [parameter.name for parameter in own_parameters(method)]
    return {
        spec.name: argument
        for argument, spec in zip(names, specs, strict=False)
        if isinstance(spec, tf.TensorSpec) and spec.name is not None
    }


def parameters(method: Method, inputs: Mapping[str, Nest]) -> list[Parameter]:
    """Returns the parameters that receive the inputs of a signature.

    For a functional or sequential Keras model these are its Inputs, and the other arguments of its
    `call`, such as `training`.
    """
    own = own_parameters(method)
    graph = input_graph(method, inputs)
    if graph is None:
        return own
    named = [_input_parameter(name, graph) for name in graph.inputs]
    rest = [
        parameter
        for parameter in own[1:]
        if parameter.name not in graph.inputs
    ]
    return named + rest


def _input_parameter(name: str, graph: keras_graphs.Graph) -> Parameter:
    is_optional = name in graph.optional
    default = None if is_optional else inspect.Parameter.empty
    return Parameter(name, inspect.Parameter.KEYWORD_ONLY, default)


def input_graph(
    method: Method, inputs: Mapping[str, Nest]
) -> keras_graphs.Graph | None:
    """Returns the Keras graph whose Inputs a signature declares.

    None if the method has no graph, or the signature declares the arguments of the model's `call`.
    """
    graph = graph_of(method)
    if graph is None:
        return None
    arguments = {parameter.name for parameter in own_parameters(method)}
    if inputs and set(inputs) <= arguments - set(graph.inputs):
        return None
    return graph
