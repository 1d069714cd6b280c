"""What a function uses has to be tracked by the object: finds what is not, and who holds it instead."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from smdecl.errors import ModelError, Problem
from smdecl.exporting import keras_state, user_code
from smdecl.exporting.objects import handle_of, reachable, tracked, variable_of
from smdecl.exporting.tensors import is_variable, variable_record
from smdecl.exporting.traced import Traced


def require_initialized(obj: Any) -> None:
    """Raises where a variable or a table of the object has no value: it would be saved, and fail when it is used.

    Raises:
        ModelError: With every such variable and table.
    """
    everything = tracked(obj)
    layers = keras_state.layers_of(obj, everything)
    lacking = [match.name for match in keras_state.lacking(layers)]
    problems = [
        Problem(("model",), f"{name} has no value yet; {_GIVES}") for name in lacking
    ]
    for item in everything:
        if isinstance(item, tf.Variable) and not tf.raw_ops.VarIsInitializedOp(
            resource=item.handle
        ):
            message = f"the variable {variable_record(item).name} has no value yet; takes a model that initializes it"
            problems.append(Problem(("model",), message))
        if (
            not lacking
            and isinstance(item, tf.lookup.StaticHashTable)
            and not _is_initialized(item)
        ):
            message = f"the table {item.name} is never initialized; expected a model that gives it an initializer"
            problems.append(Problem(("model",), message))
    if problems:
        raise ModelError(problems)


_GIVES = "expected its constructor, adapt() in the model's own code, or weights of format keras to give it one"


def _is_initialized(table: Any) -> bool:
    if _answers(table):
        return True
    try:
        table._initialize()  # what loading calls, also for a table that was made while a function was traced
    except (
        Exception
    ):  # of any initializer; where it fails here, saving and loading say so
        return True
    return _answers(table)


def _answers(table: Any) -> bool:
    if tf.is_symbolic_tensor(
        table.resource_handle
    ):  # made in a graph, which initializes it as it is loaded
        return True
    keys = tf.constant([], table.key_dtype)
    default = tf.zeros([], table.value_dtype)
    try:
        tf.raw_ops.LookupTableFindV2(
            table_handle=table.resource_handle, keys=keys, default_value=default
        )
    except tf.errors.FailedPreconditionError:
        return False
    return True


def untracked(obj: Any, traced: Mapping[str, Traced]) -> list[Problem]:
    """Says which variables, tables and other resources signatures use that nothing of the object tracks."""
    handles = {id(handle_of(item)) for item in tracked(obj)}
    problems = []
    for key, signature in traced.items():
        for resource in signature.function.captured_inputs:
            if resource.dtype == tf.resource and id(resource) not in handles:
                problems.append(
                    Problem(("signatures", key), _told(obj, signature, resource))
                )
    return problems


def _told(obj: Any, signature: Traced, resource: Any) -> str:
    kind, method = type(obj).__name__, signature.signature.method
    holder = next(
        (
            (item, place)
            for item, place in reachable(obj)
            if handle_of(item) is resource
        ),
        None,
    )
    owner, place = holder if holder is not None else (variable_of(resource), None)
    if owner is None:
        what = "a resource"
    else:
        what = (
            f"the variable {variable_record(owner).name}"
            if is_variable(owner)
            else type(owner).__name__
        )
    held = f", held by {place}" if place is not None else _used_at(signature, resource)
    track = f"assign it to an attribute of {kind}, or of a tf.Module in it"
    return f"{method} uses {what}{held}, which {kind} does not track; {track}"


def _used_at(signature: Traced, resource: Any) -> str:
    """Returns the line of the user's code that uses a resource, for one that nothing known holds."""
    inner = next(
        (
            inside
            for outside, inside in signature.function.graph.captures
            if outside is resource
        ),
        None,
    )
    lines = (
        [user_code.source_line(operation.traceback) for operation in inner.consumers()]
        if inner is not None
        else []
    )
    line = next((line for line in lines if line is not None), None)
    return f", used at {line}" if line is not None else ""
