"""How a signature calls its method: finds the method, and puts specs or tensors in the places of its arguments."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import tensorflow as tf

from smdecl.config.settings import Nest, Spec
from smdecl.errors import KeyPath, Problem, nearest
from smdecl.exporting import keras_models, structures


def find_method(obj: Any, dotted_path: str) -> Any:
    """Follows a dotted path from `obj`; None where it leads to nothing that can be called."""
    found = obj
    for name in dotted_path.split("."):
        # The signatures of a loaded SavedModel are a mapping.
        inner = found.get(name) if isinstance(found, Mapping) else None
        found = getattr(found, name, inner)
    return found if callable(found) else None


def concrete_inputs(method: Any) -> dict[str, Nest] | None:
    """Returns the inputs of a signature of a loaded SavedModel, by their names; None for every other method."""
    if not isinstance(method, tf.types.experimental.ConcreteFunction):
        return None
    positional, keywords = method.structured_input_signature
    if positional:
        return None
    return {name: _declared(spec) for name, spec in keywords.items()}


def _declared(spec: Any) -> Spec:
    shape = None if spec.shape.rank is None else tuple(spec.shape.as_list())
    return Spec(shape, spec.dtype.name)


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
    if (concrete := concrete_inputs(method)) is not None:
        return tuple(concrete)
    method = call_of(method)
    spec = getattr(method, "function_spec", None)
    if spec is not None:
        return tuple(name for name in spec.arg_names if name != "self")
    try:
        return tuple(
            name for name in inspect.signature(method).parameters if name != "self"
        )
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
        return self.kind in (
            inspect.Parameter.VAR_POSITIONAL,
            inspect.Parameter.VAR_KEYWORD,
        )


def parameters(method: Any, inputs: Mapping[str, Nest]) -> list[Parameter]:
    """Returns the parameters of a method that the inputs of a signature are given to."""
    own = _own_parameters(method)
    if (graph := _graph_with(method, inputs)) is None:
        return own
    named = [_input_parameter(name, graph) for name in graph.inputs]
    return named + [
        parameter for parameter in own[1:] if parameter.name not in graph.inputs
    ]


def _input_parameter(name: str, graph: keras_models.Graph) -> Parameter:
    if name in graph.optional:
        return Parameter(name, inspect.Parameter.KEYWORD_ONLY, None)
    return Parameter(name, inspect.Parameter.KEYWORD_ONLY)


def _graph_with(method: Any, inputs: Mapping[str, Nest]) -> keras_models.Graph | None:
    """Returns the graph whose Inputs a signature names; it may as well name the arguments of the model's `call`."""
    graph = graph_of(method)
    known = {parameter.name for parameter in _own_parameters(method)}
    return (
        None
        if graph is None or (inputs and set(inputs) <= known - set(graph.inputs))
        else graph
    )


def _python_function(method: Any) -> Any:
    return call_of(getattr(method, "python_function", method))


def _own_parameters(method: Any) -> list[Parameter]:
    if (concrete := concrete_inputs(method)) is not None:
        return [Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in concrete]
    try:
        known = inspect.signature(_python_function(method)).parameters.values()
    except (TypeError, ValueError):
        return [Parameter(name) for name in argument_names(method)]
    return [Parameter(p.name, p.kind, p.default) for p in known if p.name != "self"]


def argument_problems(
    path: KeyPath, name: str, method: Any, inputs: Mapping[str, Nest]
) -> list[Problem]:
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
        if not p.is_variadic
        and p.default is inspect.Parameter.empty
        and p.name not in inputs
    ]
    kinds = _kinds(method, inputs)
    for argument, nest in inputs.items():
        problems += structures.problems((*path, argument), nest, kinds.get(argument))
        if any(
            map(structures.is_opaque, structures.records(nest, kinds.get(argument)))
        ) and _is_function(method):
            message = f"{name} is a tf.function, which cannot be saved with a dataclass or attrs class as an argument"
            problems.append(
                Problem(
                    (*path, argument),
                    f"{message}; leave out @tf.function, which smdecl adds",
                )
            )
    return problems


def _is_function(method: Any) -> bool:
    return isinstance(method, tf.types.experimental.GenericFunction)


def _kinds(method: Any, inputs: Mapping[str, Nest]) -> dict[str, structures.Kind]:
    """Returns the classes that a method expects its arguments, or parts of them, to be of."""
    if _graph_with(method, inputs) is not None:
        return {}
    own = getattr(method, "input_signature", None)
    names = [parameter.name for parameter in _own_parameters(method)]
    return structures.kinds(_python_function(method), names, own)


def is_opaque(method: Any, inputs: Mapping[str, Nest]) -> bool:
    """Tells whether a method takes or returns what a `tf.function` cannot: it is called from within one then."""
    if _is_function(method) or graph_of(method) is not None:
        return False
    kinds = _kinds(method, inputs)
    found = [
        record
        for name, nest in inputs.items()
        for record in structures.records(nest, kinds.get(name))
    ]
    result = structures.returned(_python_function(method))
    return any(
        map(
            structures.is_opaque,
            [*found, result.record if result is not None else None],
        )
    )


def in_order(method: Any, inputs: Mapping[str, Nest]) -> dict[str, Nest]:
    """Returns inputs in the order of the method's arguments, and nests in the order that TensorFlow flattens them in.

    The order in a config must not affect the result.
    """
    kinds = _kinds(method, inputs)
    graph = _graph_with(method, inputs)
    known = (
        [parameter.name for parameter in parameters(method, inputs)]
        if graph is None
        else [*graph.inputs]
    )
    names = [name for name in known if name in inputs]
    names += sorted(inputs.keys() - {*names})
    return {name: structures.in_order(inputs[name], kinds.get(name)) for name in names}


def arguments(
    method: Any, inputs: Mapping[str, Nest], on_spec: Callable[[Spec], Any]
) -> tuple[list[Any], dict[str, Any]]:
    """Returns positional and keyword arguments with `on_spec(spec)` for each spec, which has its name by then."""
    graph = _graph_with(method, inputs)
    kinds = _kinds(method, inputs)
    given: dict[str, Any] = {}
    for argument, nest in inputs.items():

        def leaf(place: KeyPath, spec: Spec, argument: str = argument) -> Any:
            return on_spec(_named(spec, None if place else argument))

        given[argument] = structures.pack(nest, kinds.get(argument), leaf)
    if graph is not None:
        values = [given.pop(name, None) for name in graph.inputs]
        return [tf.nest.pack_sequence_as(graph.structure, values)], given
    own = _own_parameters(method)
    if _is_layers_call(method) and any(
        parameter.name == "training" for parameter in own
    ):
        given.setdefault("training", False)
    return _by_position(own, given)


def _is_layers_call(method: Any) -> bool:
    """Tells whether a method is a layer's `call`, which Keras tells nothing of training where it is called directly."""
    owner = getattr(method, "__self__", None)
    return (
        getattr(method, "__name__", "") == "call"
        and owner is not None
        and keras_models.is_layer(owner)
    )


def _named(spec: Spec, default: str | None) -> Spec:
    return spec if spec.name is not None else replace(spec, name=default)


def _by_position(
    known: list[Parameter], given: dict[str, Any]
) -> tuple[list[Any], dict[str, Any]]:
    """Gives by position what can be given in no other way: `*args`, what stands before them, and what `/` closes."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.VAR_POSITIONAL)
    last = max(
        (index for index, p in enumerate(known) if p.name in given and p.kind in kinds),
        default=-1,
    )
    positional: list[Any] = []
    for parameter in known[: last + 1]:
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            several = given.pop(parameter.name)
            positional += several if isinstance(several, list) else [several]
        else:
            positional.append(
                given.pop(parameter.name)
                if parameter.name in given
                else parameter.default
            )
    return positional, given


def type_spec(spec: Spec) -> Any:
    """Returns the `tf.TypeSpec` of a declared spec; a named dim is an unknown size to TensorFlow."""
    shape = (
        None
        if spec.shape is None
        else [None if isinstance(dim, str) else dim for dim in spec.shape]
    )
    if spec.kind == "ragged":
        splits = tf.as_dtype(spec.row_splits_dtype)
        return tf.RaggedTensorSpec(
            shape, spec.dtype, ragged_rank=spec.ragged_rank, row_splits_dtype=splits
        )
    if spec.kind == "sparse":
        return tf.SparseTensorSpec(shape, spec.dtype)
    return tf.TensorSpec(shape, spec.dtype, name=spec.name)
