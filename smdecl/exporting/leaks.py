"""Finds tensors that a model keeps in Python from one call for another, in which they have no value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import tensorflow as tf

from smdecl.errors import KeyPath, ModelError, Problem
from smdecl.exporting import objects, user_code

_OUT_OF_SCOPE = "is out of scope and cannot be used here"
_HINT = "keep the value in a tf.Variable that is an attribute of the model, and assign to that"


def captured(
    obj: Any, methods: Mapping[str, str], functions: Mapping[str, Any]
) -> Iterator[Problem]:
    """Yields a problem for each tensor of another trace that a signature uses.

    Args:
        obj: The model.
        methods: Signature key to the name of its method.
        functions: Signature key to its concrete function.
    """
    used = [
        (key, tensor)
        for key, function in functions.items()
        for tensor in function.captured_inputs
    ]
    used = [(key, tensor) for key, tensor in used if tf.is_symbolic_tensor(tensor)]
    if not used:
        return
    places = objects.places(obj, [tensor for _, tensor in used])
    makers = {id(function.graph): methods[key] for key, function in functions.items()}
    for key, tensor in used:
        place = places.get(id(tensor), tensor.name)
        maker = makers.get(id(tensor.graph), "another call")
        message = f"{methods[key]} uses the tensor {place}, which {maker} kept in Python and which has a value only there"
        yield Problem(("signatures", key), f"{message}; {_HINT}")


def failure(
    obj: Any, path: KeyPath, doing: str, error: BaseException
) -> ModelError | None:
    """Returns the error for a call that failed on such a tensor; None for one that failed on anything else.

    Args:
        obj: Where the tensor is looked for.
        path: The config key of the call.
        doing: What the call was for, such as "tracing predict".
        error: What the call raised.
    """
    if _OUT_OF_SCOPE not in str(error):
        return None
    kept = [
        place for item, place in objects.reachable(obj) if tf.is_symbolic_tensor(item)
    ]
    named = (
        f", one of {', '.join(kept)}"
        if len(kept) > 1
        else "".join(f", {place}" for place in kept)
    )
    message = f"{doing} failed: it uses a tensor that was kept in Python from another call{named}"
    return ModelError(
        Problem(path, f"{message}; {_HINT}"), user_code.traceback_text(error)
    )
