"""Creates the ops of a graph without the steps of TensorFlow's own way that change nothing.

TensorFlow copies the attributes of each op to a NodeDef, and checks what its callers have checked.
That takes half of the time of creating an op.
"""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf
from tensorflow.python.client import pywrap_tf_session as c_api
from tensorflow.python.framework import ops
from tensorflow.python.util import tf_stack

from smdecl.exporting.types import Function, PythonValue, Tensor


def created(own: Function) -> Function:
    """Returns a `Graph._create_op_internal` that calls TensorFlow's own for what is unusual."""

    def create(
        self: PythonValue,
        op_type: str,
        inputs: list[Tensor],
        dtypes: PythonValue = None,
        input_types: PythonValue = None,
        name: str | None = None,
        attrs: Mapping[str, PythonValue] | None = None,
        op_def: PythonValue = None,
        compute_device: bool = True,
    ) -> PythonValue:
        scope = _scope(self, name or op_type)
        if _is_plain(self, op_type, inputs):
            definition = op_def
            if definition is None:
                definition = self.op_def_for_type(op_type)
            try:
                c_op = _c_op(self, definition, inputs, scope[:-1], attrs or {})
            except tf.errors.InvalidArgumentError:
                pass  # TensorFlow's own function words the error
            else:
                return _operation(self, c_op, inputs, compute_device)
        return own(
            self,
            op_type,
            inputs,
            dtypes,
            input_types,
            scope,
            attrs,
            op_def,
            compute_device,
        )

    return create


def _scope(graph: PythonValue, name: str) -> str:
    """Returns a unique name with a slash, which TensorFlow takes as it is."""
    if name[-1] == "/":
        return name
    return f"{graph.unique_name(name)}/"


def _is_plain(graph: PythonValue, op_type: str, inputs: list[Tensor]) -> bool:
    """Returns whether nothing around an op changes it, except for the device."""
    if (
        graph.finalized
        or graph._attr_scope_map
        or op_type in graph._op_to_kernel_label_map
        or op_type in graph._gradient_override_map
        or graph._container
        or graph._default_original_op is not None
        or graph._get_control_flow_context() is not None
        or graph._colocation_stack
    ):
        return False
    if not graph._control_dependencies_stack:
        return True
    input_ops = {each.op for each in inputs}
    return not graph._control_dependencies_for_inputs(input_ops)


def _c_op(
    graph: PythonValue,
    definition: PythonValue,
    inputs: list[Tensor],
    name: str,
    attributes: Mapping[str, PythonValue],
) -> PythonValue:
    """Adds an op to the C graph.

    Raises:
        tf.errors.InvalidArgumentError: If the op is invalid.
    """
    with graph._c_graph.get() as c_graph:
        description = c_api.TF_NewOperation(c_graph, definition.name, name)
    grouped = ops._reconstruct_sequence_inputs(definition, inputs, attributes)
    for each in grouped:
        if isinstance(each, list):
            outputs = [one._as_tf_output() for one in each]
            c_api.TF_AddInputList(description, outputs)
        else:
            c_api.TF_AddInput(description, each._as_tf_output())
    for key, value in attributes.items():
        content = value.SerializeToString()
        c_api.TF_SetAttrValueProto(description, key, content)
    c_op = c_api.TF_FinishOperation(description)
    c_api.TF_SetOpStackTrace(c_op, tf_stack.extract_stack(stacklevel=3))
    return c_op


def _operation(
    graph: PythonValue,
    c_op: PythonValue,
    inputs: list[Tensor],
    compute_device: bool,
) -> PythonValue:
    """Returns the Python object of an op that was added to the C graph."""
    op = ops.Operation(c_op, ops.SymbolicTensor)
    op._init(graph)
    op._control_flow_post_processing(input_tensors=inputs)
    op._gradient_function = graph._gradient_function_map.get(op.type)
    graph._record_op_seen_by_control_dependencies(op)
    if compute_device:
        graph._apply_device_functions(op)
    op._colocation_code_locations = {}
    return op
