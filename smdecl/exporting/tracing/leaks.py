"""Finds tensors that a model keeps in Python after the call in which they have a value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import tensorflow as tf

from smdecl.errors import KeyPath, ModelError, Problem
from smdecl.exporting import user_code
from smdecl.exporting.live_objects import objects
from smdecl.exporting.types import ConcreteFunction, Trackable

_OUT_OF_SCOPE = "is out of scope and cannot be used here"
_HINT = "keep the value in a tf.Variable that is an attribute of the model, and assign to that"


def captured(
    obj: Trackable,
    methods: Mapping[str, str],
    functions: Mapping[str, ConcreteFunction],
) -> Iterator[Problem]:
    """Yields a problem for each tensor of a different trace that a signature uses.

    Args:
        obj: The model.
        methods: Signature key to the name of its method.
        functions: Signature key to its concrete function.
    """
    used = []
    for key, function in functions.items():
        for tensor in function.captured_inputs:
            if tf.is_symbolic_tensor(tensor):
                used.append((key, tensor))
    if not used:
        return
    places = objects.places(obj, [tensor for _, tensor in used])
    makers = {
        id(function.graph): methods[key] for key, function in functions.items()
    }
    for key, tensor in used:
        place = places.get(id(tensor), tensor.name)
        maker = makers.get(id(tensor.graph), "a different call")
        message = (
            f"{methods[key]} uses the tensor {place}, which {maker} kept in Python and"
            f" which has a value only there; {_HINT}"
        )
        yield Problem(("signatures", key), message)


def failure(
    obj: Trackable, path: KeyPath, doing: str, error: BaseException
) -> ModelError | None:
    """Returns the error for a call that failed on such a tensor; None for other failures.

    Args:
        obj: The model, which is searched for the tensor.
        path: The config key of the call.
        doing: What the call was for, such as "tracing predict".
        error: What the call raised.
    """
    if _OUT_OF_SCOPE not in str(error):
        return None
    message = f"{doing} failed: it uses a tensor that a different call kept in Python"
    kept = [
        place
        for item, place in objects.reachable(obj)
        if tf.is_symbolic_tensor(item)
    ]
    if len(kept) == 1:
        message += f", {kept[0]}"
    elif kept:
        message += f", one of {', '.join(kept)}"
    problem = Problem(path, f"{message}; {_HINT}")
    return ModelError(problem, user_code.traceback_text(error))
