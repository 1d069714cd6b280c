"""Records what Keras reads from a file of weights, and what it leaves there."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from smdecl.exporting.live_objects import keras_names
from smdecl.exporting.patches import attribute_set
from smdecl.exporting.types import Layer, Model, PythonValue, WeightsStore

Shape: TypeAlias = tuple[int, ...]

_OLD_LAYERS = "_layer_checkpoint_dependencies"
# Only training uses them.
_OF_TRAINING = re.compile(r"(^|/)(optimizer|metrics)(/|$)")
_SEED = "seed_generator"
_NUMBER = re.compile(r"_\d+$")


@dataclass
class Reading:
    """What Keras reads from a file.

    Attributes:
        shapes: The shapes of the values of each layer, by its identity and their key.
        values: The shapes of all values in the file, by the path of the layer and their key.
        names: The names of layers in the file, by path. Older releases of Keras write none.
        asked: The paths that Keras has read.
        receivers: The layer that received the values at each path.
    """

    shapes: dict[int, dict[str, Shape]] = field(default_factory=dict)
    values: dict[str, dict[str, Shape]] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    receivers: dict[str, Layer] = field(default_factory=dict)

    def unused(self) -> Iterator[tuple[str, Shape]]:
        """Yields the path and the shape of each value that nothing in the model has read."""
        asked = set(self.asked)
        for path, values in self.values.items():
            if path in asked or _OF_TRAINING.search(path) or _SEED in path:
                continue
            for key, shape in values.items():
                yield f"{path}/{key}", shape

    def exchanged(self) -> Iterator[tuple[str, str]]:
        """Yields the name of each layer that received the values of a sibling, and the sibling's.

        Only layers that Keras finds by their position, and not those of attributes, are compared.
        """
        siblings: dict[str, set[str]] = {}
        for path, layer in self.receivers.items():
            siblings.setdefault(_parent(path), set()).add(layer.name)
        for path, layer in self.receivers.items():
            saved = self.names.get(path, layer.name)
            is_known = saved in siblings[_parent(path)]
            if saved == layer.name or not is_known:
                continue
            if _is_placed(path, layer) and not keras_names.is_automatic(layer):
                yield layer.name, saved

    def begin(self, store: WeightsStore) -> None:
        """Lists what a file has, once."""
        file = getattr(store, "h5_file", None) or getattr(store, "file", None)
        if file is None or self.values:
            return
        file.visititems(self._list)

    def _list(self, place: str, item: PythonValue) -> None:
        path, is_in, key = f"/{place}".rpartition("/vars")
        if not is_in:
            return
        path = path.lstrip("/").replace(_OLD_LAYERS, "layers")
        name = item.attrs.get("name")
        if key.startswith("/") and hasattr(item, "shape"):
            self.values.setdefault(path, {})[key[1:]] = tuple(item.shape)
        elif not key and isinstance(name, str):
            self.names[path] = name


def _parent(path: str) -> str:
    return path.rpartition("/")[0]


def _is_placed(path: str, layer: Layer) -> bool:
    """Returns whether Keras numbers a layer in a file, by the name of its class."""
    name = _NUMBER.sub("", path.rpartition("/")[2])
    return name.replace("_", "") == type(layer).__name__.lower()


@contextlib.contextmanager
def recorded(model: Model) -> Iterator[Reading]:
    """Records what a model reads from a file of weights while the context is active.

    Keras itself reports only the first variable of a layer that does not fit, and skips the rest.
    """
    reading = Reading()

    def recording(
        own: Callable[[Layer, WeightsStore], None],
    ) -> Callable[..., None]:
        def load_own_variables(self: Layer, store: WeightsStore) -> None:
            path = _path(store, reading)
            reading.begin(store)
            if id(self) not in reading.shapes:
                # The store cannot be iterated itself.
                keys = list(store.keys())
                reading.shapes[id(self)] = {
                    key: store[key].shape for key in keys
                }
            if path is not None:
                reading.receivers.setdefault(path, self)
            own(self, store)

        return load_own_variables

    kinds = dict.fromkeys(type(layer) for layer in model._flatten_layers())
    with contextlib.ExitStack() as stack:
        for kind in kinds:
            load = recording(kind.load_own_variables)
            stack.enter_context(
                attribute_set(kind, "load_own_variables", load)
            )
        yield reading


def _path(store: WeightsStore, reading: Reading) -> str | None:
    """Returns the path in the file that a store is at; None if the file has nothing there."""
    if hasattr(store, "h5_file"):
        _record_paths(store, reading)
        return reading.asked[-1]
    # With tf_keras, a store is a group of the file, or an empty mapping.
    name = getattr(store, "name", None)
    if name is None:
        return None
    path = _parent(str(name).lstrip("/"))
    reading.asked.append(path)
    return path


def _record_paths(store: WeightsStore, reading: Reading) -> None:
    """Records the paths that a store of Keras 3 is moved to."""
    if reading.asked:
        return
    reading.asked.append("")  # a model comes first
    own = store.get

    def get(path: str) -> WeightsStore:
        reading.asked.append(path)
        return own(path)

    store.get = get
