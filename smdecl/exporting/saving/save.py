"""Stage 5, save: writes the object and its signatures as a SavedModel with repeatable bytes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import tensorflow as tf

from smdecl.errors import ModelError, PublishError, disk_errors
from smdecl.exporting import keras_patches, user_code
from smdecl.exporting.building.build import Built
from smdecl.exporting.saving import (
    canonical,
    cheaper_saving,
    expose,
    options,
    unnamed_types,
    untracked,
)
from smdecl.exporting.signatures import input_defaults
from smdecl.exporting.tracing.traced import Traced
from smdecl.exporting.types import ConcreteFunction, PythonValue
from smdecl.isolation import reports


def save(
    built: Built,
    traced: Mapping[str, Traced],
    functions: Mapping[str, str],
    values: Mapping[str, PythonValue],
    directory: Path,
) -> None:
    """Writes a SavedModel.

    Args:
        built: The object.
        traced: Signature key to signature.
        functions: Name to signature key: what `tf.saved_model.load` returns as functions.
        values: The save options.
        directory: Where to write; it exists and is empty.

    Raises:
        ConfigError: If a save option is not supported, or names what does not exist.
        ModelError: If TensorFlow cannot save the object: a signature uses an untracked resource, or
            a variable has no value.
        PublishError: If the directory cannot be written to.
    """
    untracked.require_initialized(built.obj)
    reports.running(("model",), "saving")
    save_options = options.save_options(built.obj, values)
    with _errors_of_saving(built, traced):
        used = expose.used_resources(traced)
        with (
            keras_patches.saved_as_documented(used),
            expose.exposed(built, traced, functions),
            cheaper_saving.cheaper(values),
            disk_errors(directory),
        ):
            tf.saved_model.save(
                built.obj,
                str(directory),
                signatures=_functions(traced),
                options=save_options,
            )
    canonical.settle(directory, _facts(traced))


@contextlib.contextmanager
def _errors_of_saving(
    built: Built, traced: Mapping[str, Traced]
) -> Iterator[None]:
    """Turns what user code and TensorFlow raise within the block into a ModelError.

    Raises:
        ModelError: With every untracked resource that a signature uses; if there is none, with what
            was raised.
    """
    try:
        yield
    except PublishError:
        raise
    except user_code.FAILURES as error:
        problems = untracked.untracked(built.obj, traced)
        if problems:
            raise ModelError(problems) from error
        unnamed = unnamed_types.failure(error)
        if unnamed is not None:
            raise unnamed from error
        raise user_code.failure(("model",), "saving", error) from error


def _facts(traced: Mapping[str, Traced]) -> dict[str, canonical.Facts]:
    """Returns what TensorFlow does not write of each signature, by its key."""
    facts = {}
    for key, one in traced.items():
        defaults = {
            name: input_defaults.proto(default)
            for name, default in one.defaults.items()
        }
        facts[key] = canonical.Facts(one.signature.method_name, defaults)
    return facts


def _functions(
    traced: Mapping[str, Traced],
) -> dict[str, ConcreteFunction] | None:
    """Returns the functions of the signatures, by their keys.

    None lets TensorFlow search for a signature; an empty mapping would save none.
    """
    return {key: one.function for key, one in traced.items()} or None
