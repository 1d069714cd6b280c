"""Lists the variables of a traced object that an export saves, before it saves them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from smdecl.exporting import keras_patches
from smdecl.exporting.building.build import Built
from smdecl.exporting.live_objects import variable_paths
from smdecl.exporting.live_objects.tensors import variable_record
from smdecl.exporting.saving import expose
from smdecl.exporting.tracing.traced import Traced
from smdecl.savedmodel.records import VariableRecord


def records(
    built: Built, traced: Mapping[str, Traced], functions: Mapping[str, str]
) -> tuple[VariableRecord, ...]:
    """Returns the variables that an export saves, by the names that `inspect` shows.

    Args:
        built: The object.
        traced: Signature key to signature.
        functions: Name to signature key: what `tf.saved_model.load` returns as functions.
    """
    used = expose.used_resources(traced)
    with (
        keras_patches.saved_as_documented(used),
        expose.exposed(built, traced, functions),
    ):
        variables = variable_paths.named(built.obj)
    return tuple(
        replace(variable_record(item), name=name) for name, item in variables
    )
