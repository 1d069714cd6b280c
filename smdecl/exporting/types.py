"""Names for the types of TensorFlow and Keras, which ship no type information.

To a type checker each of these is Any. The names say what a function expects, for the reader.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

# Objects that TensorFlow saves

Trackable: TypeAlias = Any
"""An object that TensorFlow can save: a `tf.Module`, Keras model, variable or table, or a list."""

Variable: TypeAlias = Any
"""A `tf.Variable` or a `keras.Variable`."""

Table: TypeAlias = Any
"""A lookup table, such as `tf.lookup.StaticHashTable`."""

SaveOptions: TypeAlias = Any
"""A `tf.saved_model.SaveOptions`."""

# Keras

Layer: TypeAlias = Any
"""A layer of Keras 3 or of the legacy tf_keras. A model is a layer too."""

Model: TypeAlias = Any
"""A model of Keras 3 or of the legacy tf_keras."""

KerasPackage: TypeAlias = Any
"""The module `keras` or `tf_keras`."""

WeightsStore: TypeAlias = Any
"""The mapping of names to arrays in Keras's `save_own_variables` and `load_own_variables`."""

# Tensors

Tensor: TypeAlias = Any
"""A `tf.Tensor`, `tf.RaggedTensor`, `tf.SparseTensor` or Keras's symbolic tensor."""

DType: TypeAlias = Any
"""Anything that `tf.as_dtype` accepts."""

Shape: TypeAlias = Any
"""Anything that `tf.TensorShape` accepts."""

TypeSpec: TypeAlias = Any
"""A `tf.TypeSpec`, such as a `tf.TensorSpec` or a `tf.RaggedTensorSpec`."""

TensorSpec: TypeAlias = Any
"""A `tf.TensorSpec`."""

Structure: TypeAlias = Any
"""A nest of tensors, or of their specs, as `tf.nest` flattens it; a single one is a nest too."""

ResourceHandle: TypeAlias = Any
"""The scalar `tf.Tensor` of dtype `tf.resource` through which ops use a variable or a table."""

# Functions and graphs

Method: TypeAlias = Any
"""What a signature can call: a method, a layer, a `tf.function` or a `ConcreteFunction`."""

GenericFunction: TypeAlias = Any
"""What `tf.function` returns."""

ConcreteFunction: TypeAlias = Any
"""A function traced for one set of specs, as `get_concrete_function` returns it."""

Function: TypeAlias = Callable[..., Any]
"""A function of TensorFlow's or Keras's own Python code."""

Graph: TypeAlias = Any
"""A `tf.Graph`."""

Operation: TypeAlias = Any
"""A `tf.Operation`, a node of a graph."""

# Devices

DeviceSpec: TypeAlias = Any
"""A `tf.DeviceSpec`."""

Strategy: TypeAlias = Any
"""A `tf.distribute.Strategy`."""

# Values that a config or user code decides about

ConfigNode: TypeAlias = Mapping[str, Any]
"""A node of a config that builds an object: `_target_` and its arguments."""

RecordClass: TypeAlias = Any
"""A class with named fields: a NamedTuple, dataclass, attrs class or `tf.ExtensionType`."""

Target: TypeAlias = Callable[..., Any]
"""The class or function that a `_target_` names."""

PythonValue: TypeAlias = Any
"""A value of the user's code that can be of any type: an attribute, a default, an annotation."""
