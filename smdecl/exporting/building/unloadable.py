"""Explains why `smdecl.models.load_keras` cannot load a whole model."""

from __future__ import annotations

from smdecl.config.frameworks import LOAD_KERAS
from smdecl.errors import ConfigError, KeyPath, Problem, SmdeclError
from smdecl.exporting import keras_errors, user_code
from smdecl.exporting.types import ConfigNode
from smdecl.resources import PACKAGE

_LOADER = str(PACKAGE / "models.py")


def failure(
    path: KeyPath, node: ConfigNode, error: BaseException
) -> SmdeclError:
    """Returns the error to raise if a node whose target is `load_keras` fails.

    Args:
        path: The key of the node.
        node: The target and its arguments.
        error: What Keras raised, or code of the project that Keras called, such as a layer.
    """
    for frame in user_code.extracted(error):
        is_loader = frame.filename == _LOADER
        if not is_loader and user_code.is_users(frame.filename):
            return user_code.failure(path, f"building {LOAD_KERAS}", error)
    return ConfigError(Problem((*path, "path"), _message(node, error)))


def _message(node: ConfigNode, error: BaseException) -> str:
    positional = [*node.get("_args_", ()), None]
    file = repr(node.get("path", positional[0]))
    unknown = keras_errors.unknown(error)
    if unknown:
        found = (
            f"the {unknown.kind} {unknown.name!r}, which Keras does not know"
        )
        entry = f"{{_target_: {unknown.target}, _partial_: true}}"
        return f"{file} contains {found}; expected it in custom_objects, as {entry}"
    if keras_errors.holds_code(error):
        expected = (
            "expected a layer class of the project instead, or a _target_ that builds"
            " the model, with its weights in the format keras_weights"
        )
        return f"{file} contains {keras_errors.CODE}; {expected}"
    return f"cannot read {file}: {user_code.summary(error)}"
