"""Turns TensorFlow's shapes, dtypes and variables into records."""

from __future__ import annotations

import keras
import tensorflow as tf

from smdecl.exporting.types import DType, Shape, Variable
from smdecl.savedmodel.records import TensorRecord, VariableRecord

# A Keras 3 variable does not inherit from tf.Variable.
_VARIABLES = (
    tf.Variable,
    keras.Variable,
)


def tensor_record(dtype: DType, shape: Shape) -> TensorRecord:
    """Returns the record of a dtype and a shape."""
    sizes = tf.TensorShape(shape)
    dims = None if sizes.rank is None else tuple(sizes.as_list())
    return TensorRecord(tf.as_dtype(dtype).name, dims)


def is_variable(found: object) -> bool:
    """Returns True for a variable of TensorFlow or Keras."""
    return isinstance(found, _VARIABLES)


def tensorflow_name(variable: Variable) -> str:
    """Returns the name that TensorFlow gave to a variable; one of Keras 3 holds that variable."""
    if not isinstance(variable, tf.Variable):
        variable = variable.value
    return str(variable.name).removesuffix(":0")


def variable_record(variable: Variable) -> VariableRecord:
    """Returns the record of a variable."""
    tensor = tensor_record(variable.dtype, variable.shape)
    path = getattr(variable, "path", None)
    name = path or str(variable.name).removesuffix(":0")
    return VariableRecord(name, tensor.dtype, tensor.shape)
