"""Frees the tensors between the layers of functional Keras models as soon as no layer needs them.

Keras itself keeps all of them until the end of a call, which takes 1.8 GiB for EfficientNetB4 and
three images.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from functools import partial
from typing import TypeAlias

import keras

from smdecl.exporting.patches import Patch
from smdecl.exporting.types import Function, Model, PythonValue, Tensor

_LastUses: TypeAlias = Mapping[int, list[int]]
"""The identity of the arguments of a node to those of the tensors that no later node needs."""


class _Calls(threading.local):
    """The calls of functional models that run in a thread, the innermost last."""

    def __init__(self) -> None:
        self.last_uses: list[_LastUses] = []


@contextlib.contextmanager
def freeing() -> Iterator[None]:
    """Frees tensors early while the context is active, if Keras is as expected."""
    patches = list(_patches(_Calls()))
    with contextlib.ExitStack() as stack:
        if all(patch.fits() for patch in patches):
            for patch in patches:
                stack.enter_context(patch.applied())
        yield


def _patches(calls: _Calls) -> Iterator[Patch]:
    try:
        from keras.src.ops.symbolic_arguments import SymbolicArguments
    except ImportError:  # it is not public
        return
    yield Patch(
        keras.Function,
        "_run_through_graph",
        ("self", "inputs", "operation_fn", "call_fn"),
        partial(_noting_last_uses, calls),
    )
    yield Patch(
        SymbolicArguments,
        "fill_in",
        ("self", "tensor_dict"),
        partial(_dropping, calls),
    )


def _noting_last_uses(calls: _Calls, own: Function) -> Function:
    """Wraps what runs the nodes of a model."""

    def run_through_graph(
        self: Model, *arguments: object, **keywords: object
    ) -> PythonValue:
        calls.last_uses.append(_last_uses(self))
        try:
            return own(self, *arguments, **keywords)
        finally:
            calls.last_uses.pop()

    return run_through_graph


def _dropping(calls: _Calls, own: Function) -> Function:
    """Wraps what gets the arguments of one node from the tensors of a call, by identity."""

    def fill_in(self: object, tensor_dict: dict[int, Tensor]) -> PythonValue:
        filled = own(self, tensor_dict)
        if calls.last_uses:
            for key in calls.last_uses[-1].get(id(self), ()):
                tensor_dict.pop(key, None)
        return filled

    return fill_in


def _last_uses(model: Model) -> _LastUses:
    last: dict[int, int] = {}
    by_depth = model._nodes_by_depth
    for depth in sorted(by_depth, reverse=True):  # the order in which they run
        for node in by_depth[depth]:
            for tensor in node.input_tensors:
                last[id(tensor)] = id(node.arguments)
    for output in model.outputs:
        last.pop(id(output), None)
    found: dict[int, list[int]] = {}
    for tensor_id, arguments_id in last.items():
        found.setdefault(arguments_id, []).append(tensor_id)
    return found
