"""Puts TensorFlow's shapes and dtypes into records."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from smdecl.savedmodel.records import TensorRecord, VariableRecord


def tensor_record(dtype: Any, shape: Any) -> TensorRecord:
    """Returns the record of a dtype (anything `tf.as_dtype` takes) and a shape (anything `tf.TensorShape` takes)."""
    sizes = tf.TensorShape(shape)
    return TensorRecord(
        tf.as_dtype(dtype).name, None if sizes.rank is None else tuple(sizes.as_list())
    )


_VARIABLES = (tf.Variable, keras.Variable)  # Keras 3 has a class of its own


def is_variable(found: object) -> bool:
    """Tells whether something is a variable, of TensorFlow or of Keras."""
    return isinstance(found, _VARIABLES)


def variable_record(variable: Any) -> VariableRecord:
    """Returns the record of a `tf.Variable` or a Keras variable."""
    tensor = tensor_record(variable.dtype, variable.shape)
    name = getattr(variable, "path", None) or str(variable.name).removesuffix(":0")
    return VariableRecord(name, tensor.dtype, tensor.shape)
