"""Describes the inputs and outputs that functional and sequential Keras models are made of."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import tensorflow as tf

from smdecl.config.settings import Spec
from smdecl.exporting.live_objects import derived_specs, keras_models
from smdecl.exporting.live_objects.derived_specs import DerivedSpec
from smdecl.exporting.types import Layer, Structure, Tensor, Trackable

_GRAPH_CLASSES = ("Functional", "Sequential")


@dataclass(frozen=True)
class Graph:
    """The inputs and outputs of a functional or sequential model.

    Attributes:
        inputs: The spec of each Input by name, in the order of the flattened `structure`.
        unclear: Why a config must declare the spec of an Input, by name. The spec in `inputs` is
            then incomplete.
        structure: The nest that the model is called with.
        output_names: The names of the flattened outputs, for a result without names.
        optional: Names of the Inputs that may be omitted.
    """

    inputs: dict[str, Spec]
    unclear: dict[str, str]
    structure: Structure
    output_names: tuple[str, ...]
    optional: frozenset[str] = frozenset()


def graph_of(obj: Trackable) -> Graph | None:
    """Returns the inputs and outputs of a model; None if only its `call` knows them."""
    if not keras_models.is_model(obj):
        return None
    try:
        inputs, outputs = list(obj.inputs), list(obj.outputs)
    except (AttributeError, TypeError, ValueError):
        return None  # a subclass, or a Sequential without a known input
    # A legacy subclass lists the inputs of its calls.
    if not inputs or not getattr(obj, "_is_graph_network", True):
        return None
    # A Sequential has one Input, and no nest.
    structure = getattr(obj, "input", inputs[0])
    tensors = _named_inputs(structure)
    optional = [
        name for name, tensor in tensors.items() if _is_optional(tensor)
    ]
    output_names = _unique([_layer_name(output) for output in outputs])
    specs: dict[str, Spec] = {}
    unclear: dict[str, str] = {}
    for name, tensor in tensors.items():
        derived = _derived(obj, tensor)
        specs[name] = derived.spec
        if derived.unclear is not None:
            unclear[name] = derived.unclear
    return Graph(specs, unclear, structure, output_names, frozenset(optional))


def layers_in_graph(obj: Layer) -> list[Layer]:
    """Returns the layers in the graph of a functional or sequential model, in its order.

    Empty for a subclass, whose `call` decides what its layers mean, and for other layers.
    """
    is_keras = type(obj).__module__.partition(".")[0] in ("keras", "tf_keras")
    if type(obj).__name__ not in _GRAPH_CLASSES or not is_keras:
        return []
    # A Sequential of Keras 3 has its graph in a functional model.
    graph = getattr(obj, "_functional", None) or obj
    nodes = itertools.chain(*getattr(graph, "_nodes_by_depth", {}).values())
    found = {
        id(getattr(node, "operation", None) or node.layer) for node in nodes
    }
    # Legacy Keras lists the layers in attributes too.
    return [layer for layer in obj.layers if id(layer) in found]


def _named_inputs(structure: Structure) -> dict[str, Tensor]:
    flat = tf.nest.flatten(structure)
    names = [_input_name(tensor) for tensor in flat]
    if isinstance(structure, dict) and len(structure) == len(flat):
        # TensorFlow flattens a dict in this order.
        names = sorted(structure)
    return {
        str(name): tensor for name, tensor in zip(names, flat, strict=True)
    }


def _input_name(tensor: Tensor) -> str:
    """Returns the name that Keras accepts for an Input in a mapping."""
    layer = _layer_of(tensor)
    # The tensors of legacy Keras may have no name, or that of a different tensor.
    named = layer if keras_models.is_legacy_layer(layer) else tensor
    return str(named.name)


def _derived(model: Layer, tensor: Tensor) -> DerivedSpec:
    """Returns the spec of an Input of a model.

    Keras adds a dense Input to a Sequential without one, also if its first layer is a model with a
    ragged or sparse Input.
    """
    derived = derived_specs.of_input(tensor)
    inside = _composite_inside(model)
    if derived.spec.kind != "dense" or inside is None:
        return derived
    found = f"the first layer expects {inside}, but Keras has a dense Input before it"
    return derived_specs.unclear(inside, found)


def _composite_inside(model: Layer) -> Spec | None:
    """Returns the ragged or sparse spec of the model with which a Sequential begins."""
    package = keras_models.package_of(model)
    if not isinstance(model, package.Sequential) or not model.layers:
        return None
    graph = graph_of(model.layers[0])
    if graph is None or len(graph.inputs) > 1:
        return None
    (spec,) = graph.inputs.values()
    # Keras 3 makes sparse tensors dense.
    is_passed_on = spec.kind == "ragged" or keras_models.is_legacy(model)
    return spec if spec.kind != "dense" and is_passed_on else None


def _layer_of(tensor: Tensor) -> Layer:
    history = tensor._keras_history
    return getattr(history, "operation", None) or history.layer


def _is_optional(tensor: Tensor) -> bool:
    return bool(getattr(_layer_of(tensor), "optional", False))


def _layer_name(output: Tensor) -> str:
    return str(_layer_of(output).name)


def _unique(names: Sequence[str]) -> tuple[str, ...]:
    """Numbers repeated names, as Keras 2 does: a layer with two outputs names both."""
    unique = []
    for index, name in enumerate(names):
        count = names[:index].count(name)
        unique.append(f"{name}_{count}" if count else name)
    return tuple(unique)
