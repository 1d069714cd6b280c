"""Finds what cannot be saved: resources that are not tracked or have no value."""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

from smdecl.errors import ModelError, Problem
from smdecl.exporting import user_code
from smdecl.exporting.live_objects import variable_paths
from smdecl.exporting.live_objects.objects import (
    handle_of,
    reachable,
    tracked,
    variable_of,
)
from smdecl.exporting.live_objects.tensors import is_variable, variable_record
from smdecl.exporting.restoring import keras_state
from smdecl.exporting.tracing.traced import Traced
from smdecl.exporting.types import ResourceHandle, Table, Trackable, Variable

_MODEL = ("model",)
_NO_STATE = (
    "has no value yet; expected its constructor, adapt() in the model's own code,"
    " or weights of format keras to give it one"
)


def require_initialized(obj: Trackable) -> None:
    """Checks that all variables and tables of an object have a value.

    Others would be saved, and fail when they are used.

    Raises:
        ModelError: If some have no value; lists all of them.
    """
    everything = tracked(obj)
    layers = keras_state.layers_of(obj, everything)
    lacking = [match.name for match in keras_state.lacking(layers)]
    problems = [Problem(_MODEL, f"{name} {_NO_STATE}") for name in lacking]
    for item in everything:
        if isinstance(item, tf.Variable) and not _has_value(item):
            name = variable_paths.names(obj).get(id(item), item.name)
            message = f"the variable {name} has no value yet; expected the model to initialize it"
            problems.append(Problem(_MODEL, message))
        is_table = isinstance(item, tf.lookup.StaticHashTable)
        # The tables of layers without state belong to the problems above.
        if is_table and not lacking and not _is_initialized(item):
            message = (
                f"the table {item.name} is never initialized;"
                " expected the model to give it an initializer"
            )
            problems.append(Problem(_MODEL, message))
    if problems:
        raise ModelError(problems)


def _has_value(variable: Variable) -> bool:
    return bool(tf.raw_ops.VarIsInitializedOp(resource=variable.handle))


def _is_initialized(table: Table) -> bool:
    if _has_content(table):
        return True
    try:
        # Loading calls this too, also for a table that was created while a function was traced.
        table._initialize()
    except Exception:
        # User code raises many types; saving and loading report the failure.
        return True
    return _has_content(table)


def _has_content(table: Table) -> bool:
    if tf.is_symbolic_tensor(table.resource_handle):
        # Created in a graph, which initializes it when it is loaded.
        return True
    keys = tf.constant([], table.key_dtype)
    default = tf.zeros([], table.value_dtype)
    try:
        tf.raw_ops.LookupTableFindV2(
            table_handle=table.resource_handle,
            keys=keys,
            default_value=default,
        )
    except tf.errors.FailedPreconditionError:
        return False
    return True


def untracked(obj: Trackable, traced: Mapping[str, Traced]) -> list[Problem]:
    """Returns a problem for each resource that signatures use and the object does not track."""
    handles = {id(handle_of(item)) for item in tracked(obj)}
    problems = []
    for key, signature in traced.items():
        for resource in signature.function.captured_inputs:
            if resource.dtype == tf.resource and id(resource) not in handles:
                message = _message(obj, signature, resource)
                problems.append(Problem(("signatures", key), message))
    return problems


def _message(
    obj: Trackable, signature: Traced, resource: ResourceHandle
) -> str:
    kind = type(obj).__name__
    method = signature.signature.method
    owner, place = _holder(obj, resource)
    what = _described(owner)
    where = f", held by {place}" if place else _used_at(signature, resource)
    hint = f"assign it to an attribute of {kind}, or of a tf.Module in it"
    return f"{method} uses {what}{where}, which {kind} does not track; {hint}"


def _holder(
    obj: Trackable, resource: ResourceHandle
) -> tuple[Trackable | None, str | None]:
    """Returns the owner of a resource and the place where Python finds it, as far as known."""
    for item, place in reachable(obj):
        if handle_of(item) is resource:
            return item, place
    return variable_of(resource), None


def _described(owner: Trackable | None) -> str:
    if owner is None:
        return "a resource"
    if is_variable(owner):
        return f"the variable {variable_record(owner).name}"
    return type(owner).__name__


def _used_at(signature: Traced, resource: ResourceHandle) -> str:
    """Returns the line of the user's code that uses a resource."""
    for outer, inner in signature.function.graph.captures:
        if outer is not resource:
            continue
        for operation in inner.consumers():
            line = user_code.source_line(operation.traceback)
            if line is not None:
                return f", used at {line}"
        break
    return ""
