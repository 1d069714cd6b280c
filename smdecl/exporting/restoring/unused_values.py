"""Finds the values that a checkpoint has for an object, but that the object has no variable for.

A model that leaves out a part of the trained one computes something else, such as one with a layer
less, or without the adapters of a LoRA.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from smdecl.exporting.live_objects import keras_models
from smdecl.exporting.live_objects.tensors import is_variable
from smdecl.exporting.restoring.checkpoint_graph import (
    ROOT_NODE,
    Contents,
    TrackedObjects,
)
from smdecl.exporting.restoring.matching import Match, not_in_model
from smdecl.exporting.types import Trackable

_SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"
# What only optimizers have; the names of Keras 3 and of tf_keras.
_OF_OPTIMIZERS = {"_learning_rate", "learning_rate"}
_OF_SAVING = {"save_counter", "keras_api", "signatures"}
_SEED = "seed_generator"


def find(
    tracked: TrackedObjects, contents: Contents, root: int
) -> Iterator[Match]:
    """Yields a match for each value below a node that the object has no variable for.

    It leaves out the states of optimizers, which do not change what a model computes, and objects
    that create their variables later.

    Args:
        tracked: The object.
        contents: The checkpoint.
        root: The node of the object.
    """
    pairs = list(_pairs(tracked, contents, root))
    known = {node for _, node in pairs}
    for item, node in pairs:
        own = tracked.children(item)
        left = [
            child
            for name, child in contents.children(node).items()
            if name not in own and name not in _OF_SAVING
        ]
        if not left or not _has_variables(tracked, item):
            continue
        # A script often puts its step, a scalar, beside the object.
        is_root = item is tracked.obj and root == ROOT_NODE
        for key in _variables(contents, left, known):
            shape = contents.shape(key)
            if shape or not is_root:
                yield not_in_model(key.removesuffix(_SUFFIX), shape)


def _pairs(
    tracked: TrackedObjects, contents: Contents, root: int
) -> Iterator[tuple[Trackable, int]]:
    """Yields the objects that the checkpoint has too, each with its node."""
    pending: list[tuple[Trackable, int]] = [(tracked.obj, root)]
    seen: set[tuple[int, int]] = set()
    while pending:
        item, node = pending.pop()
        if (id(item), node) in seen:
            continue
        seen.add((id(item), node))
        # A compiled model has an optimizer, which may have no variables yet.
        if keras_models.is_optimizer(item):
            continue
        yield item, node
        nodes = contents.children(node)
        for name, child in tracked.children(item).items():
            if name in nodes:
                pending.append((child, nodes[name]))


def _has_variables(tracked: TrackedObjects, item: Trackable) -> bool:
    pending = [item]
    seen: set[int] = set()
    while pending:
        found = pending.pop()
        if is_variable(found):
            return True
        if id(found) not in seen:
            seen.add(id(found))
            pending += tracked.children(found).values()
    # An empty list has lost its elements; any other object may create its variables later.
    return isinstance(item, (list, dict))


def _variables(
    contents: Contents, nodes: Iterable[int], known: set[int]
) -> Iterator[str]:
    """Yields the keys of variables at and below nodes, and adds these to the known ones."""
    pending = list(nodes)
    while pending:
        node = pending.pop()
        children = contents.children(node)
        if node in known or _OF_OPTIMIZERS & children.keys():
            continue
        known.add(node)
        key = contents.saved_variable(node)
        if key is not None and _SEED not in key:
            yield key
        pending += children.values()
