"""Does in the server, once, what each of its forks would otherwise do again.

A fork shares the results, and copies no memory to compute them. Nothing here starts the runtime of
TensorFlow, which does not survive a fork. The steps use internals of TensorFlow; without them, the
forks get the same results more slowly.
"""

from __future__ import annotations

import contextlib
import ctypes
import inspect
import itertools
import linecache
import sys
import types
from collections import defaultdict
from collections.abc import Mapping, MappingView, MutableMapping, Sequence
from pathlib import Path

import tensorflow as tf
from omegaconf.base import Node
from tensorflow.python.autograph.pyct import inspect_utils, loader
from tensorflow.python.data.ops.dataset_ops import DatasetV2
from tensorflow.python.distribute.values import DistributedVariable
from tensorflow.python.eager.polymorphic_function.concrete_function import (
    ConcreteFunction,
)
from tensorflow.python.eager.polymorphic_function.polymorphic_function import (
    Function as PolymorphicFunction,
)
from tensorflow.python.framework import kernels, op_def_registry
from tensorflow.python.framework.composite_tensor import CompositeTensor
from tensorflow.python.framework.extension_type import ExtensionTypeSpec
from tensorflow.python.framework.ops import EagerTensor, SymbolicTensor
from tensorflow.python.framework.type_spec import TypeSpec
from tensorflow.python.ops.resource_variable_ops import (
    BaseResourceVariable,
    ResourceVariable,
)
from tensorflow.python.saved_model import signature_serialization
from tensorflow.python.types import core
from tensorflow.python.types.trace import TraceType

from smdecl.isolation import preloaded

_WRAPPER = "signature_wrapper"
_REGISTER = "_ZN10tensorflow13XlaOpRegistry26RegisterCompilationKernelsEv"
# An absolute path, in a directory that confined processes may read anyway.
_PLACE = str(Path(__file__).with_name("<autograph of the server>"))

# TensorFlow asks for each of the types in an export whether it is one of these.
_BASES = (
    BaseResourceVariable,
    CompositeTensor,
    ConcreteFunction,
    DatasetV2,
    DistributedVariable,
    ExtensionTypeSpec,
    Mapping,
    MappingView,
    MutableMapping,
    Node,
    PolymorphicFunction,
    Sequence,
    TraceType,
    TypeSpec,
    tf.Variable,
)
_KINDS = (
    *(bool, bytes, dict, float, frozenset, int, list, set, str, tuple),
    *(types.GeneratorType, types.MethodType, type(None)),
    *(EagerTensor, SymbolicTensor, tf.Tensor, ResourceVariable),
    *(tf.DType, tf.TensorShape, tf.TensorSpec, tf.name_scope),
    *(ConcreteFunction, PolymorphicFunction, inspect.FullArgSpec),
    *(core.Tensor, core.TensorProtocol),
)


def warm() -> None:
    """Runs all steps; forks do themselves what fails here."""
    for step in STEPS:
        with contextlib.suppress(Exception):
            step()


def _convert_wrapper() -> None:
    """Has AutoGraph convert TensorFlow's wrapper of signatures, as each trace of one does."""
    code = next(
        constant
        for constant in signature_serialization.canonicalize_signatures.__code__.co_consts
        if getattr(constant, "co_name", None) == _WRAPPER
    )
    cells = tuple(types.CellType(None) for _ in code.co_freevars)
    wrapper = types.FunctionType(
        code, vars(signature_serialization), _WRAPPER, None, cells
    )
    load_source = loader.load_source
    loader.load_source = _load_source
    try:
        tf.autograph.to_graph(wrapper)
    finally:
        loader.load_source = load_source


def _load_source(source: str, _delete_on_exit: bool) -> tuple[object, str]:
    """Does what AutoGraph's function does, without a file, which a killed server would leave."""
    module = types.ModuleType("autograph_of_server")
    module.__file__ = _PLACE
    lines = source.splitlines(keepends=True)
    linecache.cache[_PLACE] = (len(source), None, lines, _PLACE)
    exec(compile(source, _PLACE, "exec"), vars(module))
    sys.modules[module.__name__] = module
    return module, _PLACE


def _compare_types() -> None:
    """Compares types as TensorFlow does in each export; Python caches the results."""
    for base, kind in itertools.product(_BASES, _KINDS):
        issubclass(kind, base)


def _find_lines_quickly() -> None:
    """Replaces a search through all modules that AutoGraph makes for each function it converts."""
    names = defaultdict(list)
    for name in preloaded.later():
        file = getattr(sys.modules[name], "__file__", None)
        names[file].append(name)

    def fix_linecache_record(converted: types.FunctionType) -> None:
        if not hasattr(converted, "__module__"):
            return
        file = inspect.getfile(converted)
        for name in [*names.get(file, ()), *preloaded.later()]:
            module = sys.modules.get(name)
            if getattr(module, "__file__", None) == file:
                linecache.updatecache(file, vars(module))

    inspect_utils._fix_linecache_record = fix_linecache_record


def _register_kernels() -> None:
    """Completes the registries of TensorFlow, which does it with its first device otherwise."""
    library = Path(tf.__file__).with_name("libtensorflow_cc.so.2")
    ctypes.CDLL(str(library))[_REGISTER]()
    # Each registry prepares itself when something is looked up that it has, or has not.
    kernels.get_registered_kernels_for_op("Const")
    op_def_registry.get("")


STEPS = (
    _convert_wrapper,
    _compare_types,
    _find_lines_quickly,
    _register_kernels,
)
