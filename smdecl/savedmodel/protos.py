"""TensorFlow's protobuf classes, without TensorFlow itself.

Importing TensorFlow takes seconds; importing these classes from its wheel takes a tenth of one.
"""

from __future__ import annotations

import importlib.util
import sys
import types
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TypeAlias


@contextmanager
def _without_runtime() -> Iterator[None]:
    """Puts an empty package in the place of TensorFlow, whose __init__ would load the runtime."""
    if "tensorflow" in sys.modules:
        yield
        return
    found = importlib.util.find_spec("tensorflow")
    package = types.ModuleType("tensorflow")
    package.__path__ = (
        list(found.submodule_search_locations or ()) if found else []
    )
    sys.modules["tensorflow"] = package
    try:
        yield
    finally:
        del sys.modules["tensorflow"]  # so that the real one can be imported


with _without_runtime():
    from tensorflow.core.framework import (
        attr_value_pb2,
        function_pb2,
        graph_pb2,
        node_def_pb2,
        tensor_pb2,
        tensor_shape_pb2,
        types_pb2,
    )
    from tensorflow.core.protobuf import (
        meta_graph_pb2,
        saved_model_pb2,
        saved_object_graph_pb2,
        struct_pb2,
        tensor_bundle_pb2,
    )

__all__ = [
    "dtype_name",
    "functions_of",
    "node_def_pb2",
    "saved_model_pb2",
    "tensor_bundle_pb2",
    "types_pb2",
]

AttrValue: TypeAlias = attr_value_pb2.AttrValue
NameAttrList: TypeAlias = attr_value_pb2.NameAttrList
AssetFileDef: TypeAlias = meta_graph_pb2.AssetFileDef
FunctionSpec: TypeAlias = saved_object_graph_pb2.FunctionSpec
FunctionDef: TypeAlias = function_pb2.FunctionDef
FunctionDefLibrary: TypeAlias = function_pb2.FunctionDefLibrary
GraphDef: TypeAlias = graph_pb2.GraphDef
MetaGraphDef: TypeAlias = meta_graph_pb2.MetaGraphDef
NodeDef: TypeAlias = node_def_pb2.NodeDef
SavedConcreteFunction: TypeAlias = saved_object_graph_pb2.SavedConcreteFunction
SavedModel: TypeAlias = saved_model_pb2.SavedModel
SavedObject: TypeAlias = saved_object_graph_pb2.SavedObject
SavedObjectGraph: TypeAlias = saved_object_graph_pb2.SavedObjectGraph
SavedVariable: TypeAlias = saved_object_graph_pb2.SavedVariable
SignatureDef: TypeAlias = meta_graph_pb2.SignatureDef
StructuredValue: TypeAlias = struct_pb2.StructuredValue
TensorInfo: TypeAlias = meta_graph_pb2.TensorInfo
TensorProto: TypeAlias = tensor_pb2.TensorProto
TensorSpecProto: TypeAlias = struct_pb2.TensorSpecProto
TensorShapeProto: TypeAlias = tensor_shape_pb2.TensorShapeProto
TypeSpecProto: TypeAlias = struct_pb2.TypeSpecProto


def functions_of(value: AttrValue) -> Sequence[NameAttrList]:
    """Returns the functions that an attribute of a node names."""
    kind = value.WhichOneof("value")
    if kind == "func":
        return (value.func,)
    return value.list.func if kind == "list" else ()


_NAMES = {"float": "float32", "double": "float64", "half": "float16"}


def dtype_name(number: int) -> str:
    """Returns the canonical name of a DataType: `float32` for DT_FLOAT and DT_FLOAT_REF."""
    if number not in types_pb2.DataType.values():
        return f"dtype {number}"  # of a later TensorFlow, or invalid
    name = str(types_pb2.DataType.Name(number))
    name = name.removeprefix("DT_").removesuffix("_REF").lower()
    return _NAMES.get(name, name)
