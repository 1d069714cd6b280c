"""Stage 5, save: writes the object and its signatures by `tf.saved_model.save`, and makes the bytes repeatable."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

from smdecl import keras_models, options, settling, tracking, usercode
from smdecl.building import Built
from smdecl.errors import ModelError, PublishError, disk_errors
from smdecl.tracing import Traced


def save(built: Built, traced: Mapping[str, Traced], values: Mapping[str, Any], directory: Path) -> None:
    """Writes a SavedModel into `directory`, which exists and is empty.

    Raises:
        ConfigError: Where an option is not one of the installed TensorFlow, or names no function of the object.
        ModelError: Where TensorFlow cannot save the object: a signature uses what nothing tracks, or a variable has no
            value.
    """
    tracking.require_initialized(built.obj)
    functions = {key: signature.function for key, signature in traced.items()}
    save_options = options.save_options(built.obj, values)
    try:
        used = {id(resource) for function in functions.values() for resource in function.captured_inputs}
        with keras_models.saved_as_documented(used), disk_errors(directory):
            # None leaves the choice of a signature to TensorFlow's own search; an empty mapping would export none.
            tf.saved_model.save(built.obj, str(directory), signatures=functions or None, options=save_options)
    except PublishError:
        raise
    except Exception as error:  # what user code, the object graph and the file system raise here is of many types
        if problems := tracking.untracked(built.obj, traced):
            raise ModelError(problems) from error
        raise usercode.failure(("model",), "saving", error) from error
    settling.settle(directory, {key: signature.signature.method_name for key, signature in traced.items()})
