"""Changes how Keras calls, saves and loads models while a context is active."""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import keras

from smdecl.exporting.patches import attribute_set
from smdecl.exporting.types import (
    ConfigNode,
    Layer,
    Model,
    SaveOptions,
    Tensor,
    Trackable,
    Variable,
    WeightsStore,
)

_CallContext: TypeAlias = Any
"""What Keras knows of the call in progress; the class is private."""


@contextlib.contextmanager
def inference() -> Iterator[None]:
    """Calls layers with `training=False`, unless the call or an outer layer sets it.

    Otherwise layers whose `call` has the default `training=True`, such as RandomFlip, would train
    whenever a model is called without the argument.
    """
    own_context = keras.layers.Layer._get_call_context

    def context_of(self: Layer) -> _CallContext:
        context = own_context(self)
        if getattr(context, "training", None) is None:
            context.training = False
        return context

    with (
        attribute_set(keras.layers.Layer, "_get_call_context", context_of),
        _legacy_inference(),
    ):
        yield


@contextlib.contextmanager
def _legacy_inference() -> Iterator[None]:
    legacy = sys.modules.get("tf_keras")
    # Without a legacy layer the phase is not needed, and setting it would renumber functions.
    if legacy is None or not legacy.src.backend.PER_GRAPH_OBJECT_NAME_UIDS:
        yield
        return
    with contextlib.ExitStack() as stack:
        with warnings.catch_warnings():
            # It is deprecated without a replacement.
            warnings.simplefilter("ignore")
            stack.enter_context(legacy.backend.learning_phase_scope(0))
        yield


@contextlib.contextmanager
def saved_as_documented(used: set[int]) -> Iterator[None]:
    """Changes how TensorFlow saves Keras 3 models.

    - A variable is exported once. Keras maps each variable to a copy of the one that functions
      read. The checkpoint is then restored into the copy. If only the graph is loaded, as by
      TensorFlow Serving, functions read an uninitialised variable: "Could not find variable"
      (tensorflow/serving issue 2250). `tf.saved_model.load` does not notice.
    - The states of seed generators that signatures use are tracked. Keras hides them from
      TensorFlow, which then cannot save layers that draw random numbers.
    - No model is traced again for Keras's own default signature, which is not declared.

    Args:
        used: Identities of the resources that signatures capture.
    """

    def export(
        variable: Variable,
        object_map: dict[Trackable, Trackable],
        tensor_map: dict[Tensor, Tensor],
        options: SaveOptions,
        **keywords: object,
    ) -> list[Tensor]:
        resources: list[Tensor] = variable.value._export_to_saved_model_graph(
            object_map, tensor_map, options, **keywords
        )
        object_map[variable] = object_map[variable.value]
        return resources

    layer = keras.layers.Layer
    own_children = layer._trackable_children

    def children(
        self: Layer,
        save_type: str = "checkpoint",
        **keywords: object,
    ) -> dict[str, Trackable]:
        found: dict[str, Trackable] = own_children(self, save_type, **keywords)
        for index, generator in enumerate(
            getattr(self, "_seed_generators", ())
        ):
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
def unbuilt_in_file() -> Iterator[list[Layer]]:
    """Collects the layers of Keras 3 that a file has variables for, but that are not built.

    Loading such a layer fails. Keras forgets the failure if it then finds the layer at a second
    path that the file has nothing for, and nearly every layer of a model has one.
    """
    received: list[Layer] = []

    def recording(
        own: Callable[[Layer, WeightsStore], None],
    ) -> Callable[..., None]:
        def check(self: Layer, store: WeightsStore) -> None:
            if not self.built and len(store.keys()) > 0:
                received.append(self)
            own(self, store)

        return check

    with _all_replaced("_check_load_own_variables", recording):
        yield received


@contextlib.contextmanager
def uncompiled() -> Iterator[None]:
    """Loads models of Keras 3 without the optimizers of models inside them.

    The argument `compile=False` of Keras leaves out only that of the outermost model.
    """
    models: list[Model] = []

    def leaving_out(_own: Callable[..., None]) -> Callable[..., None]:
        def compile_from_config(self: Model, _config: ConfigNode) -> None:
            models.append(self)

        return compile_from_config

    with _all_replaced("compile_from_config", leaving_out):
        yield
    for model in models:
        model.compiled = False


@contextlib.contextmanager
def _all_replaced(
    name: str, replace: Callable[[Callable[..., None]], Callable[..., None]]
) -> Iterator[None]:
    """Replaces a method of every class of layers or models that defines it."""
    with contextlib.ExitStack() as stack:
        for kind in _all_classes():
            own = vars(kind).get(name)
            if own is not None:
                stack.enter_context(attribute_set(kind, name, replace(own)))
        yield


def _all_classes() -> list[type]:
    """Returns the classes of layers and models, with those that they inherit from."""
    kinds: dict[type, None] = {}
    pending: list[type] = [keras.layers.Layer]
    while pending:
        kind = pending.pop()
        if kind not in kinds:
            kinds[kind] = None
            pending += kind.__subclasses__()
    return [*dict.fromkeys((*kinds, *keras.Model.__mro__))]
