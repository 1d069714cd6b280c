"""Traces one method: by the declared specs, or by those that it defines itself."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import tensorflow as tf

from smdecl.config.settings import Nest, Signature, Spec, input_names, parts
from smdecl.exporting.live_objects.tensors import tensor_record
from smdecl.exporting.signatures.arguments import (
    arguments,
    in_order,
    type_spec,
    uses_opaque_records,
)
from smdecl.exporting.signatures.concrete_functions import (
    input_records,
    name_arguments,
    trace_named,
    traces,
)
from smdecl.exporting.signatures.outputs import Outputs
from smdecl.exporting.signatures.parameters import is_function
from smdecl.exporting.tracing.traced import Traced
from smdecl.exporting.types import (
    ConcreteFunction,
    GenericFunction,
    Method,
    Structure,
    Tensor,
)
from smdecl.names import PREDICT
from smdecl.savedmodel.records import SignatureRecord


def _as_function(method: Method) -> GenericFunction:
    return method if is_function(method) else tf.function(method)


def trace_declared(
    method: Method,
    signature: Signature,
    inputs: Mapping[str, Nest],
    outputs: Outputs,
) -> Traced:
    """Traces a method by the declared specs."""
    inputs = in_order(method, inputs)

    def call(callee: Method, tensors: Mapping[str, Tensor]) -> Structure:
        positional, keywords = arguments(
            method, inputs, lambda spec: _assembled(spec, tensors)
        )
        return callee(*positional, **keywords)

    def run(
        callee: Method, tensors: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        return outputs.eager(call(callee, tensors))

    sent = _sent_specs(inputs)
    function = _as_function(method)
    before = {id(one) for one in traces(function)}
    concrete = _trace_directly(method, function, inputs, outputs)
    inner: list[ConcreteFunction] = []
    if concrete is None:
        # TensorFlow would choose the names; a function around the method sets them.
        callee = _convertible(method, function, inputs)
        specs = {
            name: type_spec(replace(spec, name=name))
            for name, spec in sent.items()
        }
        concrete = trace_named(
            lambda tensors: outputs.named(call(callee, tensors)), specs
        )
        inner = _new_traces(function, before, list(sent))
    is_own = len(inner) == 1 and not _exchanges_names(inputs)
    own_trace = inner[0] if is_own else concrete
    return Traced(
        signature,
        method,
        run,
        function=concrete,
        callable=name_arguments(own_trace, list(sent)),
        record=_record(concrete, outputs, signature.method_name),
    )


def _new_traces(
    function: GenericFunction, before: Collection[int], names: Sequence[str]
) -> list[ConcreteFunction]:
    """Returns the traces of a function that a signature made or shares.

    Args:
        function: The function.
        before: The `id` of each trace that it had before.
        names: The inputs of the signature. An older trace may have other names.
    """
    found = []
    for trace in traces(function):
        if id(trace) not in before or trace._arg_keywords == names:
            found.append(trace)
    return found


def _sent_specs(inputs: Mapping[str, Nest]) -> dict[str, Spec]:
    """Returns the specs of the dense tensors that a client sends, by name."""
    sent = {}
    for _, whole, spec in input_names(inputs):
        sent.update(parts(str(whole), spec))
    return sent


def _trace_directly(
    method: Method,
    function: GenericFunction,
    inputs: Mapping[str, Nest],
    outputs: Outputs,
) -> ConcreteFunction | None:
    """Traces the method itself; None if the trace does not have the names that are declared."""
    if uses_opaque_records(method, inputs) or outputs.renames:
        return None
    if _exchanges_names(inputs):
        return None  # once it is loaded, TensorFlow would take them for the arguments
    if getattr(function, "input_signature", None) is not None:
        return None  # it accepts tensors, but no specs with other names
    if any(spec.kind != "dense" for _, _, spec in input_names(inputs)):
        return None
    positional, keywords = arguments(method, inputs, type_spec)
    concrete = function.get_concrete_function(*positional, **keywords)
    return None if outputs.changes(concrete.structured_outputs) else concrete


def _exchanges_names(inputs: Mapping[str, Nest]) -> bool:
    """Returns whether the name of an input is that of a different argument."""
    for argument, nest in inputs.items():
        names = {name for _, name, _ in input_names({argument: nest})}
        if names & (inputs.keys() - {argument}):
            return True
    return False


def _convertible(
    method: Method, function: GenericFunction, inputs: Mapping[str, Nest]
) -> Method:
    """Returns what a surrounding `tf.function` can call in place of a method."""
    if not uses_opaque_records(method, inputs):
        return function
    # AutoGraph follows calls out of a tf.function only if it converts the called function itself.
    autograph = tf.__internal__.autograph
    return autograph.tf_convert(method, autograph.control_status_ctx())


def trace_own(
    method: Method, signature: Signature, outputs: Outputs
) -> Traced:
    """Traces a method by its `input_signature`, or takes the trace that a call left."""
    own = _own_trace(_as_function(method))
    inputs = input_records(own)

    def run(
        callee: Method, tensors: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        flat = [tensors[name] for name in inputs]
        positional, keywords = tf.nest.pack_sequence_as(
            own.structured_input_signature, flat, expand_composites=True
        )
        return outputs.eager(callee(*positional, **keywords))

    concrete = own
    if outputs.changes(own.structured_outputs):
        specs = {
            name: tf.TensorSpec(tensor.shape, tensor.dtype, name=name)
            for name, tensor in inputs.items()
        }
        concrete = trace_named(
            lambda tensors: outputs.named(own(**tensors)), specs
        )
    return Traced(
        signature,
        method,
        run,
        function=concrete,
        callable=name_arguments(own, list(inputs)),
        record=_record(concrete, outputs, signature.method_name),
    )


def _own_trace(function: GenericFunction) -> ConcreteFunction:
    if function.input_signature is not None:
        return function.get_concrete_function()
    positional, keywords = traces(function)[0].structured_input_signature
    return function.get_concrete_function(*positional, **keywords)


def _assembled(spec: Spec, tensors: Mapping[str, Tensor]) -> Tensor:
    """Builds the tensor of a spec from the dense tensors that a client sends for it."""
    sent = [tensors[name] for name in parts(str(spec.name), spec)]
    if spec.kind == "dense":
        return sent[0]
    if spec.kind == "sparse":
        return tf.sparse.reorder(tf.SparseTensor(*sent))
    return tf.RaggedTensor.from_nested_row_splits(
        sent[0], sent[1:], validate=False
    )


def _record(
    concrete: ConcreteFunction, outputs: Outputs, method_name: str
) -> SignatureRecord:
    tensors = outputs.flat(concrete.structured_outputs)
    return SignatureRecord(
        input_records(concrete),
        {
            name: tensor_record(one.dtype, one.shape)
            for name, one in tensors.items()
        },
        method_name=None if method_name == PREDICT else method_name,
    )
