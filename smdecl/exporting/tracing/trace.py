"""Stage 4, trace: traces each signature of the built object to a concrete function."""

from __future__ import annotations

import contextlib
import json
import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace

import tensorflow as tf
from tensorflow.python.saved_model import save_context

from smdecl.checks.signatures import input_names, serving_apis
from smdecl.config.settings import Devices, Signature, Spec
from smdecl.errors import (
    ConfigError,
    ContractError,
    KeyPath,
    ModelError,
    Problem,
    SmdeclError,
)
from smdecl.exporting import user_code
from smdecl.exporting.building.build import Built
from smdecl.exporting.live_objects import derived_specs, keras_graphs
from smdecl.exporting.signatures import (
    contract,
    input_defaults,
    input_shapes,
)
from smdecl.exporting.signatures.outputs import Outputs
from smdecl.exporting.signatures.parameters import (
    concrete_inputs,
    find_method,
    graph_of,
    named_arguments,
    parameters,
)
from smdecl.exporting.tracing import default_signature, leaks
from smdecl.exporting.tracing.method_traces import trace_declared, trace_own
from smdecl.exporting.tracing.traced import Traced
from smdecl.exporting.types import Method, Trackable
from smdecl.isolation import reports
from smdecl.savedmodel.records import SignatureRecord

# TensorFlow warns of names such as `my-input`, but keeps them as what a client sends.
logging.getLogger("absl").addFilter(
    lambda record: (
        "is not a valid tf.function parameter name" not in record.getMessage()
    )
)

_IN_SAVE = "Already in a SaveContext"
# How code that expects a NamedTuple or other record fails on the mapping that a config declares.
_PLAIN_NEST = re.compile(r"'(dict|list)' object has no attribute")
_ANNOTATE = (
    "to pass an argument as a class, annotate it with the class or give it a default of"
    " the class"
)


def trace(
    built: Built,
    signatures: Mapping[str, Signature],
    devices: Devices,
    options: Mapping[str, object],
) -> dict[str, Traced]:
    """Traces every signature by `get_concrete_function`.

    Args:
        built: The object.
        signatures: The declared signatures. If there are none, the object's own is traced.
        devices: Where to trace.
        options: The save options.

    Raises:
        ConfigError: If no signature is declared and the object has none, or TensorFlow would change
            the names of inputs or outputs.
        ModelError: If the model's code fails under a spec, or uses a tensor of a different trace.
        ContractError: If the traced outputs differ from the declared ones.
    """
    signatures = signatures or default_signature.find(built)
    with contextlib.ExitStack() as stack:
        stack.enter_context(_save_context(options))
        if devices.trace:
            stack.enter_context(tf.device(devices.trace))
        traced = {
            key: _trace(built.obj, key, signature)
            for key, signature in signatures.items()
        }
    _require_no_leaks(built.obj, traced)
    _require_declared(signatures, traced)
    return traced


def _save_context(
    options: Mapping[str, object],
) -> contextlib.AbstractContextManager[None]:
    """Returns the context in which `tf.saved_model.save` traces, so that it reuses these traces."""
    policy = options["experimental_variable_policy"]
    # TensorFlow lists it among its policies, but does not accept it.
    if policy == "none":
        policy = None
    save_options = tf.saved_model.SaveOptions(
        experimental_variable_policy=policy
    )
    context: contextlib.AbstractContextManager[None]
    context = save_context.save_context(save_options)
    return context


def _require_no_leaks(obj: Trackable, traced: Mapping[str, Traced]) -> None:
    methods = {key: one.signature.method for key, one in traced.items()}
    functions = {key: one.function for key, one in traced.items()}
    problems = list(leaks.captured(obj, methods, functions))
    if problems:
        raise ModelError(problems)


def _require_declared(
    signatures: Mapping[str, Signature], traced: Mapping[str, Traced]
) -> None:
    """Compares traced signatures with the declared outputs and the APIs of TensorFlow Serving."""
    problems: list[Problem] = []
    for key, signature in signatures.items():
        path = ("signatures", key)
        record = traced[key].record
        problems += contract.compare_outputs(path, signature, record.outputs)
        problems += _api_problems(path, signature, record)
    if problems:
        raise ContractError(problems)


def _api_problems(
    path: KeyPath, signature: Signature, record: SignatureRecord
) -> Iterator[Problem]:
    """Yields where traced tensors do not fit the API; declared ones were checked before."""
    inputs_path = (*path, "inputs")
    outputs_path = (*path, "outputs")
    inputs = {
        name: (inputs_path, tensor) for name, tensor in record.inputs.items()
    }
    outputs = {
        name: (outputs_path, tensor) for name, tensor in record.outputs.items()
    }
    yield from serving_apis.problems(
        path, signature.method_name, inputs, outputs
    )


def _trace(obj: Trackable, key: str, signature: Signature) -> Traced:
    path = ("signatures", key)
    method = find_method(obj, signature.method)
    graph = graph_of(method)
    signature = _with_inputs(path, signature, method, graph)
    layer_names = () if graph is None else graph.output_names
    outputs = Outputs(path, signature, layer_names)
    reports.running(path, _tracing(signature))
    try:
        if signature.inputs is None:
            traced = trace_own(method, signature, outputs)
        else:
            traced = trace_declared(
                method, signature, signature.inputs, outputs
            )
    except (ConfigError, ContractError):
        raise
    except user_code.FAILURES as error:
        raise _failure(obj, method, path, signature, error) from error
    if signature.inputs is None:
        own = {
            name: Spec(tensor.shape, tensor.dtype)
            for name, tensor in traced.record.inputs.items()
        }
        _require_kept_names(
            (*path, "inputs"), own, signature.method, named_arguments(method)
        )
    defaults = input_defaults.find(method, signature, traced.record.inputs)
    record = input_defaults.described(traced.record, defaults)
    return replace(traced, record=record, defaults=defaults)


def _tracing(signature: Signature) -> str:
    return f"tracing {signature.method} with the declared inputs"


def _with_inputs(
    path: KeyPath,
    signature: Signature,
    method: Method,
    graph: keras_graphs.Graph | None,
) -> Signature:
    """Adds the inputs that a method knows, unless it has an `input_signature`.

    Raises:
        ConfigError: If a Keras model does not say what its Inputs are, or TensorFlow would change
            the names of inputs.
    """
    if signature.inputs is not None:
        return signature
    if graph is not None:
        if graph.unclear:
            raise ConfigError(
                [
                    Problem((*path, "inputs", name), reason)
                    for name, reason in graph.unclear.items()
                ]
            )
        owner = "the Inputs of the model"
        _require_kept_names((*path, "inputs"), graph.inputs, owner)
        return replace(signature, inputs={**graph.inputs})
    concrete = concrete_inputs(method)
    if concrete is not None:
        _require_kept_names((*path, "inputs"), concrete, signature.method)
        return replace(signature, inputs={**concrete})
    if not parameters(method, {}):
        return replace(signature, inputs={})
    return signature


def _failure(
    obj: Trackable,
    method: Method,
    path: KeyPath,
    signature: Signature,
    error: BaseException,
) -> SmdeclError:
    """Returns the error for a trace in which the model's code failed."""
    inputs = signature.inputs or {}
    misfits = list(input_shapes.of_inputs((*path, "inputs"), method, inputs))
    if misfits:
        return ConfigError(misfits)
    if _IN_SAVE in str(error):
        message = (
            f"{signature.method} calls tf.saved_model.save in its body;"
            " call it outside of a tf.function"
        )
        return ModelError(
            Problem(path, message), user_code.traceback_text(error)
        )
    doing = _tracing(signature)
    leaked = leaks.failure(obj, path, doing, error)
    if leaked is not None:
        return leaked
    failure = input_shapes.failure(path, inputs, doing, error)
    if _PLAIN_NEST.search(user_code.summary(error)):
        message = f"{failure.problems[0].message}; {_ANNOTATE}"
        return ModelError(Problem(path, message), failure.traceback_text)
    return failure


def _require_kept_names(
    path: KeyPath,
    inputs: Mapping[str, Spec],
    owner: str,
    arguments: Mapping[str, str] | None = None,
) -> None:
    """Checks that TensorFlow keeps the names of inputs that a config does not declare.

    Args:
        path: The key of the inputs.
        inputs: The inputs by name.
        owner: What the inputs belong to, for the messages.
        arguments: The argument of each input that has a different name than its argument.

    Raises:
        ConfigError: If it would change some; each problem shows how to declare the input instead.
    """
    problems = []
    for refused in input_names.refused(inputs):
        name = str(refused.place[0])
        spec = replace(inputs[name], name=refused.similar)
        declared = derived_specs.declaration(spec)
        argument = (arguments or {}).get(name, name)
        example = f"inputs: {{{json.dumps(argument)}: {declared}}}"
        message = f"{owner}: {refused.reason}, as in {example}"
        problems.append(Problem(path, message))
    if problems:
        raise ConfigError(problems)
