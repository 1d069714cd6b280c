"""What Keras models say of themselves: Keras 3, and the legacy tf_keras where a model is made of it."""

from __future__ import annotations

import contextlib
import re
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from smdecl.config.settings import Nest, Spec
from smdecl.names import LEGACY_KERAS_FUNCTIONS
from smdecl.savedmodel.object_graph import VARIABLE_LISTS

# What tf_keras calls the functions of a layer, and of a model, that it exports.
_NUMBER = re.compile(r"_\d+$")


def is_model(obj: Any) -> bool:
    """Tells whether an object is a Keras model."""
    return isinstance(obj, tuple(package.Model for package in _packages()))


def is_layer(obj: Any) -> bool:
    """Tells whether an object is a Keras layer, as models are too."""
    return isinstance(obj, tuple(package.layers.Layer for package in _packages()))


def package_of(model: Any) -> Any:
    """Returns the Keras that a model is made of."""
    return next(package for package in _packages() if isinstance(model, package.Model))


def is_legacy(model: Any) -> bool:
    """Tells whether a model is one of Keras 2, which tf_keras goes on with."""
    return str(package_of(model).__version__).startswith("2.")


def is_legacy_layer(layer: Any) -> bool:
    """Tells whether a layer is one of Keras 2."""
    return any(
        isinstance(layer, package.layers.Layer)
        for package in _packages()
        if package is not keras
    )


def is_optimizer(obj: Any) -> bool:
    """Tells whether an object is an optimizer of Keras."""
    packages = _packages()
    legacy = [package.optimizers.legacy for package in packages if package is not keras]
    kinds = [package.optimizers.Optimizer for package in packages] + [
        package.Optimizer for package in legacy
    ]
    return isinstance(obj, tuple(kinds))


def is_a(layer: Any, *names: str) -> bool:
    """Tells whether a layer is one of the classes that some names stand for in the `layers` of its Keras."""
    return any(
        isinstance(layer, getattr(package.layers, name))
        for package in _packages()
        for name in names
    )


def _packages() -> list[Any]:
    # Not tf.keras, which is the one or the other, as TF_USE_LEGACY_KERAS says.
    legacy = sys.modules.get("tf_keras")
    return [keras] if legacy is None else [keras, legacy]


def use_defaults() -> None:
    """Sets what Keras takes from a file in the home directory, keras.json, to what it is where there is none."""
    for package in _packages():
        package.backend.set_floatx("float32")
        package.backend.set_epsilon(1e-7)
        package.backend.set_image_data_format("channels_last")


@dataclass(frozen=True)
class Graph:
    """The inputs and outputs that a functional or sequential model was made of.

    Attributes:
        inputs: Name of the Input to its spec, in the order of `structure` when it is flattened.
        structure: The nest that the model is called with.
        output_names: Names of its outputs in the order of the flattened result, where that has no names of its own.
        optional: Names of the Inputs that may be left out.
    """

    inputs: dict[str, Nest]
    structure: Any
    output_names: tuple[str, ...]
    optional: frozenset[str] = frozenset()


def graph_of(obj: Any) -> Graph | None:
    """Returns what a model was made of; None where it is a class whose `call` alone knows."""
    if not is_model(obj):
        return None
    try:
        inputs, outputs = list(obj.inputs), list(obj.outputs)
    except (
        AttributeError,
        TypeError,
        ValueError,
    ):  # a subclass, or a Sequential that does not know its input yet
        return None
    if not inputs or not getattr(
        obj, "_is_graph_network", True
    ):  # a legacy subclass lists what it was called with
        return None
    structure = getattr(
        obj, "input", inputs[0]
    )  # a Sequential has one Input, and no nest of them
    names = (
        list(structure)
        if isinstance(structure, dict)
        else [tensor.name for tensor in inputs]
    )
    # A dict is flattened by its sorted keys, and listed in them.
    names = sorted(names) if isinstance(structure, dict) else names
    tensors = {
        str(name): tensor
        for name, tensor in zip(names, tf.nest.flatten(structure), strict=True)
    }
    specs: dict[str, Nest] = {name: _spec(tensor) for name, tensor in tensors.items()}
    optional = frozenset(
        name for name, tensor in tensors.items() if _is_optional(tensor)
    )
    return Graph(
        specs, structure, _unique([_layer_name(output) for output in outputs]), optional
    )


def _spec(tensor: Any) -> Spec:
    shape = (
        None if tensor.shape is None else tuple(tf.TensorShape(tensor.shape).as_list())
    )
    kind = (
        "sparse"
        if getattr(tensor, "sparse", False)
        else "ragged"
        if getattr(tensor, "ragged", False)
        else "dense"
    )
    return Spec(shape, tf.as_dtype(tensor.dtype).name, kind=kind)  # type: ignore[arg-type]


def _layer_of(tensor: Any) -> Any:
    history = tensor._keras_history
    return getattr(history, "operation", None) or history.layer


def _is_optional(tensor: Any) -> bool:
    return bool(getattr(_layer_of(tensor), "optional", False))


def _layer_name(output: Any) -> str:
    return str(_layer_of(output).name)


def _unique(names: Sequence[str]) -> tuple[str, ...]:
    """Numbers what recurs, as Keras 2 did: a layer that makes two outputs names both."""
    return tuple(
        f"{name}_{count}" if (count := names[:index].count(name)) else name
        for index, name in enumerate(names)
    )


def variable_lists(obj: Any, used: set[int]) -> dict[str, Any]:
    """Returns the lists of variables that Keras's own export has, trackable; empty where Keras makes them itself.

    Args:
        obj: To be saved.
        used: Identities of the resources that signatures capture.
    """
    if not is_model(obj) or is_legacy(obj):
        return {}
    # What no signature uses of the state of metrics and of random numbers is not saved.
    weights = {id(variable) for variable in obj.weights}
    saved = {
        id(one)
        for one in obj.variables
        if id(one) in weights or id(one.value.handle) in used
    }
    return {
        name: tf.__internal__.tracking.wrap(
            [one for one in getattr(obj, name) if id(one) in saved]
        )
        for name in VARIABLE_LISTS
    }


class LayerNames:
    """The names of the layers of an object, to find in the names that they give to nodes of a graph."""

    def __init__(self, obj: Any) -> None:
        layers = [
            item for item in tf.train.TrackableView(obj).descendants() if is_layer(item)
        ]
        self._keras = {
            layer.name for layer in layers if isinstance(layer, keras.layers.Layer)
        }
        self._legacy = {layer.name for layer in layers} - self._keras

    def find(self, node: str) -> str | None:
        """Returns the innermost layer whose scope a node such as `model/flip_1/mul` is in; None where it is in none."""
        *scopes, _ = node.split("/")
        found = (self._layer(scope) for scope in reversed(scopes))
        return next((name for name in found if name is not None), None)

    def _layer(self, scope: str) -> str | None:
        # Keras 3 opens a scope to build a layer before the one to call it in, which TensorFlow gives a number then.
        unnumbered = _NUMBER.sub("", scope)
        if unnumbered != scope and unnumbered in self._keras:
            return unnumbered
        names = self._keras | self._legacy
        return next((name for name in (scope, unnumbered) if name in names), None)


def is_inner_function(obj: Any, path: str) -> bool:
    """Tells whether a dotted path from an object leads to a function of Keras's own in a layer."""
    *names, last = path.split(".")
    holder = obj
    for name in names:
        holder = _child(holder, name)
    if (
        is_layer(holder)
        and last in LEGACY_KERAS_FUNCTIONS
        and not isinstance(holder, keras.layers.Layer)
    ):
        return True
    function = _child(holder, last)
    defined = getattr(function, "python_function", function)
    return str(getattr(defined, "__module__", "")).partition(".")[0] in (
        "keras",
        "tf_keras",
    )


def _child(obj: Any, name: str) -> Any:
    if isinstance(obj, tf.__internal__.tracking.Trackable):
        children = tf.train.TrackableView(obj).children(obj)
        if name in children:
            return children[name]
    return getattr(obj, name, None)


@contextlib.contextmanager
def inference() -> Iterator[None]:
    """Calls layers with `training=False`, unless the call or a layer around it says otherwise.

    Without it, layers whose `call` has the default `training=True`, such as RandomFlip, train wherever a model is
    called without the argument.
    """
    own_context = keras.layers.Layer._get_call_context

    def context_of(self: Any) -> Any:
        context = own_context(self)
        if getattr(context, "training", None) is None:
            context.training = False
        return context

    with contextlib.ExitStack() as stack:
        stack.enter_context(
            attribute_set(keras.layers.Layer, "_get_call_context", context_of)
        )
        legacy = sys.modules.get("tf_keras")
        # Where no layer of it was made, nothing needs the phase, and to set it would shift the numbers of functions.
        if legacy is not None and legacy.src.backend.PER_GRAPH_OBJECT_NAME_UIDS:
            with warnings.catch_warnings():
                warnings.simplefilter(
                    "ignore"
                )  # it is deprecated, without anything in its place
                stack.enter_context(legacy.backend.learning_phase_scope(0))
        yield


@contextlib.contextmanager
def saved_as_documented(used: set[int]) -> Iterator[None]:
    """Makes a Keras 3 variable one variable of the export, tracked where signatures use it, and traced once.

    Keras shows TensorFlow no state of the random numbers that layers draw, so that what draws them cannot be saved;
    `used` has the identities of the resources that signatures capture. And every model, and model in a model, would be
    traced once more for a signature of Keras's own that nobody asked for.

    Keras maps each of its variables to a copy of what the functions read. The checkpoint then goes into the copy, and
    where the graph is all that is loaded, in TensorFlow Serving, the functions read what nobody has initialised:
    "Could not find variable" (tensorflow/serving issue 2250). `tf.saved_model.load` does not notice.
    """

    def export(
        variable: Any, object_map: Any, tensor_map: Any, options: Any, **keywords: Any
    ) -> Any:
        resources = variable.value._export_to_saved_model_graph(
            object_map, tensor_map, options, **keywords
        )
        object_map[variable] = object_map[variable.value]
        return resources

    layer = keras.layers.Layer
    own_children = layer._trackable_children

    def children(
        self: Any, save_type: str = "checkpoint", **keywords: Any
    ) -> dict[str, Any]:
        found: dict[str, Any] = own_children(self, save_type, **keywords)
        for index, generator in enumerate(getattr(self, "_seed_generators", ())):
            if id(generator.state.value.handle) in used:
                found.setdefault(f"seed_generator_{index}", generator.state)
        return found

    with (
        attribute_set(keras.Variable, "_export_to_saved_model_graph", export),
        attribute_set(layer, "_default_save_signature", None),
        attribute_set(layer, "_trackable_children", children),
    ):
        yield


@contextlib.contextmanager
def shapes_in_file(model: Any) -> Iterator[dict[int, dict[str, Any]]]:
    """Gathers the shapes that a file has for the variables of each layer while they are loaded, by their positions.

    Keras tells them of the first variable that does not fit, and passes over the rest.
    """
    shapes: dict[int, dict[str, Any]] = {}

    def noting(own: Any) -> Any:
        def load_own_variables(self: Any, store: Any) -> None:
            shapes.setdefault(id(self), {key: store[key].shape for key in store.keys()})  # noqa: SIM118 - no dict
            own(self, store)

        return load_own_variables

    with contextlib.ExitStack() as stack:
        for kind in dict.fromkeys(type(layer) for layer in model._flatten_layers()):
            stack.enter_context(
                attribute_set(
                    kind, "load_own_variables", noting(kind.load_own_variables)
                )
            )
        yield shapes


@contextlib.contextmanager
def replaced(kinds: Iterable[type], name: str, value: Any) -> Iterator[None]:
    """Sets an attribute of some classes for a while."""
    with contextlib.ExitStack() as stack:
        for kind in dict.fromkeys(kinds):
            stack.enter_context(attribute_set(kind, name, value))
        yield


@contextlib.contextmanager
def attribute_set(kind: Any, name: str, value: Any) -> Iterator[None]:
    """Sets an attribute of a class for a while."""
    own = vars(kind).get(name)
    setattr(kind, name, value)
    try:
        yield
    finally:
        if own is None:
            delattr(kind, name)
        else:
            setattr(kind, name, own)
