"""Takes repeated work out of `tf.saved_model.save`, without changing a byte of what it writes.

Each patch is a row of `_OPS` or `_SAVING` and lasts as long as the context. It only avoids work
whose result is known, and otherwise calls TensorFlow's own function. A function that has other
parameters in this release of TensorFlow is left as it is.

A patch applies to the thread that entered the context, unless it keeps nothing between calls.
Other threads, such as those in which a model builds parts of one graph, use TensorFlow's own
function.

Together they save half of the CPU time of saving 2,000 variables.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass

import tensorflow as tf
from tensorflow.python.checkpoint import util as checkpoint_util
from tensorflow.python.eager import context
from tensorflow.python.framework import (
    auto_control_deps_utils,
    func_graph,
    op_def_library,
    ops,
)
from tensorflow.python.saved_model import save as saving
from tensorflow.python.training.saving import saveable_object_util
from tensorflow.python.util import object_identity, tf_stack

from smdecl.exporting import own_frames
from smdecl.exporting.patches import Patch, attribute_set
from smdecl.exporting.saving import direct_ops, repeated_ops, shared_stacks
from smdecl.exporting.types import (
    Function,
    Operation,
    PythonValue,
    Tensor,
    Trackable,
)


@contextlib.contextmanager
def cheaper(options: Mapping[str, PythonValue]) -> Iterator[None]:
    """Applies the patches while the context is active.

    Args:
        options: The save options.
    """
    with _applied((*_OPS, *_SAVING), options):
        yield


@contextlib.contextmanager
def cheaper_ops(options: Mapping[str, PythonValue]) -> Iterator[None]:
    """Applies the patches that also fit while a function is traced: those of adding ops.

    Args:
        options: The save options.
    """
    with _applied(_OPS, options):
        yield


@contextlib.contextmanager
def _applied(
    patches: Iterable[_Patch], options: Mapping[str, PythonValue]
) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        stack.enter_context(own_frames.hidden())
        for patch in patches:
            is_needed = patch.unless is not None and options[patch.unless]
            if not is_needed and patch.fits():
                stack.enter_context(patch.applied())
        yield


@dataclass(frozen=True)
class _Patch(Patch):
    """Replaces one function of TensorFlow.

    Attributes:
        unless: The save option whose result depends on the work that is avoided.
        release: The release of TensorFlow whose steps the replacement follows; None if it leaves
            them to TensorFlow.
        is_pure: Whether the replacement keeps nothing between calls, so any thread may use it.
    """

    unless: str | None = None
    release: str | None = None
    is_pure: bool = False

    def fits(self) -> bool:
        """Returns whether the installed release has the function as it is expected."""
        installed = ".".join(tf.__version__.split(".")[:2])
        return self.release in (None, installed) and super().fits()

    def applied(self) -> AbstractContextManager[None]:
        """Replaces the function while the context is active."""
        if self.is_pure:
            return super().applied()
        own = getattr(self.owner, self.name)
        replacement = _in_this_thread(own, self.replacement(own))
        return attribute_set(self.owner, self.name, replacement)


def _in_this_thread(own: Function, replacement: Function) -> Function:
    """Returns a function that calls the replacement in this thread, and `own` in any other."""
    here = threading.get_ident()

    @functools.wraps(own)
    def chosen(*arguments: object, **keywords: object) -> PythonValue:
        is_here = threading.get_ident() == here
        function = replacement if is_here else own
        return function(*arguments, **keywords)

    return chosen


def _equal(own: Function) -> Function:
    """Compares tensors by identity where TensorFlow does: in a graph that is not a function's.

    TensorFlow enters and leaves the graph to find that out, for each comparison. It searches lists
    of captures for those of each custom gradient, which takes quadratically many comparisons.
    """

    def equal(self: Tensor, other: object) -> object:
        in_graph = not context.executing_eagerly()
        if in_graph and not ops.get_default_graph().building_function:
            return self is other
        return own(self, other)

    return equal


def _resources_of(own: Function) -> Function:
    """Asks only ops that use resources which of them they write; TensorFlow asks all ops.

    An op answers by an attribute, and most have none, which raises an error in C++.
    """

    def get_read_write_resource_inputs(op: Operation) -> PythonValue:
        if any(each.dtype == tf.resource for each in op.inputs):
            return own(op)
        none = object_identity.ObjectIdentitySet
        return none(), none()

    return get_read_write_resource_inputs


def _outside_functions(own: Function) -> Function:
    """Tells by the outermost context whether it is eager; TensorFlow enters and leaves it."""

    def executing_eagerly_outside_functions() -> bool:
        if context.executing_eagerly():
            return True
        outermost, _ = ops._get_outer_context_and_inner_device_stack()
        if getattr(outermost, "__func__", None) is ops.Graph.as_default:
            return False
        return outermost is context.eager_mode or own()

    return executing_eagerly_outside_functions


def _texts(own: Function) -> Function:
    """Returns a text as it is; TensorFlow first asks whether it is a tensor."""

    def convert_to_string(x: PythonValue) -> PythonValue:
        return x if type(x) is str else own(x)

    return convert_to_string


def _listed_once(own: Function) -> Function:
    """Walks the object graph once; TensorFlow walks a graph view, which is frozen, six times."""
    listed: dict[PythonValue, tuple[tuple[Trackable, ...], PythonValue]] = {}

    def traversal(self: PythonValue) -> tuple[list[Trackable], PythonValue]:
        if self not in listed:
            objects, paths = own(self)
            listed[self] = (tuple(objects), paths)
        objects, paths = listed[self]
        return list(objects), paths  # TensorFlow appends to the list

    return traversal


_SLOT_NAMES = "get_slot_names"


def _without_slots(own: Function) -> Function:
    """Looks for optimizers by their classes; TensorFlow lists all attributes of every object."""
    by_class: dict[type, bool | None] = {}

    def may_have_slots(item: Trackable) -> bool:
        kind = type(item)
        if kind not in by_class:
            by_class[kind] = _class_has_slots(kind)
        has_slots = by_class[kind]
        if has_slots is None:
            return _SLOT_NAMES in dir(item)
        return has_slots or _SLOT_NAMES in _attributes(item)

    def serialize_slot_variables(
        trackable_objects: list[Trackable],
        node_ids: PythonValue,
        object_names: PythonValue,
    ) -> PythonValue:
        if any(map(may_have_slots, trackable_objects)):
            return own(trackable_objects, node_ids, object_names)
        return object_identity.ObjectIdentityDictionary()

    return serialize_slot_variables


def _class_has_slots(kind: type) -> bool | None:
    """Returns None for a class that lists the attributes of its objects itself."""
    *bases, _ = kind.__mro__
    if any("__dir__" in vars(base) for base in bases):
        return None
    return _SLOT_NAMES in dir(kind)


def _attributes(item: Trackable) -> Mapping[str, PythonValue]:
    """Returns the attributes of an object without calling its `__getattr__`."""
    try:
        found: Mapping[str, PythonValue] = object.__getattribute__(
            item, "__dict__"
        )
    except AttributeError:  # a class with slots
        return {}
    return found


_OPS = (
    _Patch(
        ops.Graph,
        "_create_op_internal",
        (
            "self",
            "op_type",
            "inputs",
            "dtypes",
            "input_types",
            "name",
            "attrs",
            "op_def",
            "compute_device",
        ),
        direct_ops.created,
        unless="save_debug_info",
        release="2.21",
    ),
    _Patch(
        op_def_library,
        "_apply_op_helper",
        ("op_type_name", "name", "keywords"),
        repeated_ops.from_templates,
        unless="save_debug_info",
    ),
    _Patch(
        ops,
        "executing_eagerly_outside_functions",
        (),
        _outside_functions,
        release="2.21",
        is_pure=True,
    ),
    _Patch(
        auto_control_deps_utils,
        "get_read_write_resource_inputs",
        ("op",),
        _resources_of,
        is_pure=True,
    ),
)
_SAVING = (
    _Patch(tf.Tensor, "__eq__", ("self", "other"), _equal, is_pure=True),
    _Patch(
        saveable_object_util,
        "_convert_to_string",
        ("x",),
        _texts,
        is_pure=True,
    ),
    _Patch(
        tf_stack,
        "extract_stack",
        ("stacklevel",),
        shared_stacks.shared,
        unless="save_debug_info",
        release="2.21",
    ),
    _Patch(
        func_graph,
        "func_graph_from_py_func",
        (
            "name",
            "python_func",
            "args",
            "kwargs",
            "signature",
            "func_graph",
            "add_control_dependencies",
            "arg_names",
            "op_return_value",
            "collections",
            "capture_by_value",
            "create_placeholders",
        ),
        shared_stacks.traced_with_own,
        unless="save_debug_info",
        release="2.21",
    ),
    _Patch(
        saving._AugmentedGraphView,
        "_breadth_first_traversal",
        ("self",),
        _listed_once,
    ),
    _Patch(
        checkpoint_util,
        "serialize_slot_variables",
        ("trackable_objects", "node_ids", "object_names"),
        _without_slots,
    ),
)
