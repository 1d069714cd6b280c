"""Stage 5, save: writes the object and its signatures by `tf.saved_model.save`, and makes the bytes repeatable."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

from smdecl.errors import ModelError, PublishError, disk_errors
from smdecl.exporting import (
    canonical,
    expose,
    keras_patches,
    options,
    untracked,
    user_code,
)
from smdecl.exporting.build import Built
from smdecl.exporting.traced import Traced


def save(
    built: Built,
    traced: Mapping[str, Traced],
    functions: Mapping[str, str],
    values: Mapping[str, Any],
    directory: Path,
) -> None:
    """Writes a SavedModel into `directory`, which exists and is empty.

    Args:
        built: The object.
        traced: Signature key to signature.
        functions: Name to signature key: what `tf.saved_model.load` gives as functions.
        values: The save options.
        directory: To write into.

    Raises:
        ConfigError: Where an option is not one of the installed TensorFlow, or names no function of the object.
        ModelError: Where TensorFlow cannot save the object: a signature uses what nothing tracks, or a variable has no
            value.
    """
    untracked.require_initialized(built.obj)
    signatures = {key: signature.function for key, signature in traced.items()}
    save_options = options.save_options(built.obj, values)
    try:
        used = expose.used_resources(traced)
        with (
            keras_patches.saved_as_documented(used),
            expose.exposed(built, traced, functions),
            disk_errors(directory),
        ):
            # None leaves the choice of a signature to TensorFlow's own search; an empty mapping would export none.
            tf.saved_model.save(
                built.obj,
                str(directory),
                signatures=signatures or None,
                options=save_options,
            )
    except PublishError:
        raise
    except Exception as error:  # what user code, the object graph and the file system raise here is of many types
        if problems := untracked.untracked(built.obj, traced):
            raise ModelError(problems) from error
        raise user_code.failure(("model",), "saving", error) from error
    canonical.settle(
        directory,
        {key: signature.signature.method_name for key, signature in traced.items()},
    )
