"""Says why `smdecl.models.load_keras` cannot load a whole model, and what a config can do about it."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from typing import Any

from smdecl.config.frameworks import LOAD_KERAS
from smdecl.errors import ConfigError, KeyPath, Problem, SmdeclError
from smdecl.exporting import keras_errors, user_code

_NAME = LOAD_KERAS.rpartition(".")[2]


def failure(
    path: KeyPath, node: Mapping[str, Any], error: BaseException
) -> SmdeclError:
    """Returns what to raise if a node that names `load_keras` fails.

    Args:
        path: Of the node in the config.
        node: The target and its arguments.
        error: What Keras raised, or code of the project that it called, such as that of a layer.
    """
    frames = traceback.extract_tb(error.__traceback__)
    if any(
        user_code.is_users(frame.filename) and frame.name != _NAME for frame in frames
    ):
        return user_code.failure(path, f"building {LOAD_KERAS}", error)
    return ConfigError(Problem((*path, "path"), _message(node, error)))


def _message(node: Mapping[str, Any], error: BaseException) -> str:
    file = repr(node.get("path", next(iter(node.get("_args_", ())), None)))
    if unknown := keras_errors.unknown(error):
        expected = f"expected it in custom_objects, as {{_target_: {unknown.target}, _partial_: true}}"
        return f"{file} holds the {unknown.kind} {unknown.name!r}, which Keras does not know; {expected}"
    if keras_errors.holds_code(error):
        expected = "expected a layer class of the project in its place, or a _target_ that builds the model"
        return f"{file} holds {keras_errors.CODE}; {expected}, with its weights in the format keras_weights"
    return f"{file} cannot be read: {user_code.summary(error)}"
