"""Finds the class without a name that makes TensorFlow's encoder of functions fail."""

from __future__ import annotations

import traceback

from tensorflow.python.saved_model import nested_structure_coder

from smdecl.errors import ModelError, Problem
from smdecl.exporting import user_code
from smdecl.exporting.signatures import record_kinds
from smdecl.exporting.types import PythonValue


def failure(error: BaseException) -> ModelError | None:
    """Returns the error for an ExtensionType without `__name__`; None if that is not the cause.

    TensorFlow's own error does not say that the name is missing. Arguments of signatures are
    checked earlier, so this is for results, and for functions that signatures call.
    """
    if not isinstance(error, nested_structure_coder.NotEncodableError):
        return None
    spec = _innermost(error, "pyobj")
    kind = getattr(spec, "value_type", None)
    if not isinstance(kind, type):
        return None
    reason = record_kinds.refuse_unnamed(kind)
    if reason is None:
        return None
    function = _innermost(error, "concrete_function")
    message = f"saving {function.graph.name} failed: it is a tf.function with {reason}"
    return ModelError(
        Problem(("model",), message), user_code.traceback_text(error)
    )


def _innermost(error: BaseException, name: str) -> PythonValue:
    """Returns the local variable of the innermost frame that has it; None if none has."""
    found: PythonValue = None
    for frame, _ in traceback.walk_tb(error.__traceback__):
        found = frame.f_locals.get(name, found)
    return found
