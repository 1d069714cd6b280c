"""Gives the ops that TensorFlow itself adds while it saves one Python stack.

Only debug info and the text of errors have the stack of an op. The ops of functions that are traced
meanwhile have their own: an object may trace functions to save them, or to run them.
"""

from __future__ import annotations

import inspect

from tensorflow.python.checkpoint import functional_saver
from tensorflow.python.util import tf_decorator, tf_stack

from smdecl.exporting import patches
from smdecl.exporting.types import Function, PythonValue

_extract_stack: Function = tf_stack.extract_stack


def shared(own: Function) -> Function:
    """Returns an `extract_stack` that always returns the stack of this call."""
    stack = own()

    def extract_stack(*_levels: int, **_keywords: int) -> PythonValue:
        return stack

    return extract_stack


def traced_with_own(own: Function) -> Function:
    """Returns a `func_graph_from_py_func` that gives ops their own stacks.

    The functions that save and restore all variables keep the shared one. They have most of the
    ops.
    """

    def func_graph_from_py_func(
        name: str,
        python_func: Function,
        *arguments: PythonValue,
        **keywords: PythonValue,
    ) -> PythonValue:
        if _is_savers(python_func):
            return own(name, python_func, *arguments, **keywords)
        with patches.attribute_set(tf_stack, "extract_stack", _extract_stack):
            return own(name, python_func, *arguments, **keywords)

    return func_graph_from_py_func


def _is_savers(function: Function) -> bool:
    _, inner = tf_decorator.unwrap(function)
    return inspect.getmodule(inner) is functional_saver
