"""Lists the variables of a traced object that an export saves, before it saves them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import keras
from tensorflow.python.checkpoint import trackable_view
from tensorflow.python.trackable import autotrackable, base

from smdecl.exporting import expose, keras_models, keras_patches
from smdecl.exporting.build import Built
from smdecl.exporting.tensors import is_variable, variable_record
from smdecl.exporting.traced import Traced
from smdecl.exporting.types import PythonValue, Trackable, Variable
from smdecl.savedmodel import object_keys, variable_names
from smdecl.savedmodel.records import VariableRecord


class _View(trackable_view.TrackableView):  # type: ignore[misc]
    """The objects that `tf.saved_model.save` finds; a checkpoint may have fewer."""

    @classmethod
    def children(
        cls,
        obj: Trackable,
        save_type: str = base.SaveType.SAVEDMODEL,
        **keywords: PythonValue,
    ) -> dict[str, Trackable]:
        if keras_models.is_legacy_layer(obj):  # it would trace its calls
            save_type = base.SaveType.CHECKPOINT
        found: dict[str, Trackable] = super().children(
            obj, save_type, **keywords
        )
        return found


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
        # Its own method traces all functions of an object.
        keras_patches.attribute_set(
            autotrackable.AutoTrackable,
            "_trackable_children",
            base.Trackable._trackable_children,
        ),
    ):
        _, paths = expose.descendants_with_paths(_View(built.obj))
    keys = []
    found = []
    for item, path in paths.items():
        if is_variable(item):
            keys.append(object_keys.key_of(step.name for step in path))
            found.append(item)
    own_names = [_saved_name(item) for item in found]
    names = variable_names.names(keys, own_names)
    return tuple(
        replace(variable_record(item), name=name)
        for name, item in zip(names, found, strict=True)
    )


def _saved_name(variable: Variable) -> str:
    """Returns the name that is saved of a variable; Keras may know it by a different one."""
    is_keras = isinstance(variable, keras.Variable)
    return str(variable.value.name if is_keras else variable.name)
