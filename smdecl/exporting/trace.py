"""Stage 4, trace: makes of the built object and the declared specs one concrete function a signature."""

from __future__ import annotations

import contextlib
import json
import logging
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import tensorflow as tf
from tensorflow.python.saved_model import save_context

from smdecl.checks import serving_apis, signature_rules
from smdecl.config.settings import Devices, Nest, Signature, Spec, input_names, parts
from smdecl.errors import ConfigError, ContractError, KeyPath, ModelError, Problem
from smdecl.exporting import contract, keras_models, leaks, structures, user_code
from smdecl.exporting.build import Built
from smdecl.exporting.specs import (
    arguments,
    concrete_inputs,
    find_method,
    graph_of,
    in_order,
    is_opaque,
    parameters,
    type_spec,
)  # fmt: skip
from smdecl.exporting.tensors import tensor_record
from smdecl.names import DEFAULT_KEY, PREDICT
from smdecl.savedmodel.records import SignatureRecord

# It is said of names such as `my-input`, which are kept all the same as what a client sends.
logging.getLogger("absl").addFilter(
    lambda record: (
        "is not a valid tf.function parameter name" not in record.getMessage()
    )
)


@dataclass(frozen=True)
class Traced:
    """One signature, traced.

    Attributes:
        signature: What was traced: as declared, or what the object itself says where the config leaves it to that.
        method: Of the object.
        run: Calls such a method, eagerly, with tensors by the names that a client sends, and returns its outputs by the
            names that a client gets.
        function: What is saved.
        callable: What `tf.saved_model.load` is to give where the config names a function: the trace of the method, with
            what it returns as it is, and with the names that a client sends.
        record: Its inputs and outputs, by name.
    """

    signature: Signature
    method: Callable[..., Any]
    run: Callable[[Callable[..., Any], Mapping[str, Any]], dict[str, Any]]
    function: Any
    callable: Any
    record: SignatureRecord

    def call(self, tensors: Mapping[str, Any]) -> dict[str, Any]:
        """Calls the object's own method as `run` does."""
        return self.run(self.method, tensors)


def trace(
    built: Built,
    signatures: Mapping[str, Signature],
    devices: Devices,
    options: Mapping[str, Any],
) -> dict[str, Traced]:
    """Traces every signature by `get_concrete_function`.

    Args:
        built: The object.
        signatures: As declared; where none is, the object's own.
        devices: Where to trace.
        options: Those of the save.

    Raises:
        ConfigError: Where the object has no signature of its own and none is declared, or the names of inputs or
            outputs cannot be kept.
        ModelError: Where the model's own code fails under a spec, or uses a tensor of another trace.
        ContractError: Where the traced outputs are not the declared ones.
    """
    signatures = signatures or _search(built)
    with (
        _saving(options),
        tf.device(devices.trace) if devices.trace else contextlib.nullcontext(),
    ):
        traced = {
            key: _trace(built.obj, key, signature)
            for key, signature in signatures.items()
        }
    methods = {key: signature.method for key, signature in signatures.items()}
    functions = {key: signature.function for key, signature in traced.items()}
    if leaked := list(leaks.captured(built.obj, methods, functions)):
        raise ModelError(leaked)
    problems: list[Problem] = []
    for key, signature in signatures.items():
        problems += contract.compare_outputs(
            ("signatures", key), signature, traced[key].record.outputs
        )
        problems += _check_api(("signatures", key), signature, traced[key].record)
    if problems:
        raise ContractError(problems)
    return traced


def _check_api(
    path: KeyPath, signature: Signature, record: SignatureRecord
) -> Iterator[Problem]:
    """Yields where the traced tensors are not those of the API; what is declared was checked before."""
    inputs = {
        name: ((*path, "inputs"), tensor) for name, tensor in record.inputs.items()
    }
    outputs = {
        name: ((*path, "outputs"), tensor) for name, tensor in record.outputs.items()
    }
    yield from serving_apis.problems(path, signature.method_name, inputs, outputs)


def _saving(options: Mapping[str, Any]) -> AbstractContextManager[None]:
    """Returns the context that `tf.saved_model.save` traces in, so that it finds these traces and makes none again."""
    named = options["experimental_variable_policy"]
    policy = (
        None if named == "none" else named
    )  # TensorFlow lists it among its policies, and refuses it
    context: AbstractContextManager[None] = save_context.save_context(
        tf.saved_model.SaveOptions(experimental_variable_policy=policy)
    )
    return context


def _search(built: Built) -> dict[str, Signature]:
    """Returns the signature that the object has of itself, where none is declared.

    Documented of `tf.saved_model.save`: exactly one traced function is the default; a model made of inputs and outputs
    has its forward pass. What is not as clear as that is left to TensorFlow.
    """
    methods = {name: find_method(built.obj, name) for name in built.record.methods}
    own = [
        name
        for name, method in methods.items()
        if getattr(method, "input_signature", None) is not None
    ]
    if len(own) == 1:
        return {DEFAULT_KEY: Signature(own[0], None, None)}
    functions = {
        name: m
        for name, m in methods.items()
        if isinstance(m, tf.types.experimental.GenericFunction)
    }
    called = [
        name for name, function in functions.items() if len(_traces(function)) == 1
    ]
    if not own and len(called) == 1:
        return {DEFAULT_KEY: Signature(called[0], None, None)}
    if functions or not keras_models.is_model(built.obj):
        return {}
    if graph_of(built.obj) is None:
        kind = type(built.obj).__name__
        message = f"declares none, and {kind}, which knows its inputs only when it is called, has none of its own"
        raise ConfigError(
            Problem(
                ("signatures",),
                f"{message}; takes {DEFAULT_KEY}, with the specs of its inputs",
            )
        )
    return {DEFAULT_KEY: Signature("__call__", None, None)}


def _traces(function: Any) -> list[Any]:
    """Returns the traces that calls have left; those of a function of a loaded SavedModel are not of this kind."""
    listed = getattr(function, "_list_all_concrete_functions", None)
    return [] if listed is None else list(listed())


def _trace(obj: Any, key: str, signature: Signature) -> Traced:
    method, path = find_method(obj, signature.method), ("signatures", key)
    graph = graph_of(method)
    if graph is not None and signature.inputs is None:
        signature = replace(signature, inputs=graph.inputs)
    elif signature.inputs is None and (
        concrete_inputs(method) is not None or not parameters(method, {})
    ):
        signature = replace(signature, inputs=concrete_inputs(method) or {})
    outputs = _Outputs(path, signature, graph.output_names if graph is not None else ())
    function = (
        method
        if isinstance(method, tf.types.experimental.GenericFunction)
        else tf.function(method)
    )
    try:
        if signature.inputs is None:
            traced = _trace_own(method, function, signature, outputs)
        else:
            traced = _trace_declared(
                method, function, signature, signature.inputs, outputs
            )
    except (ConfigError, ContractError):
        raise
    except Exception as error:
        if "Already in a SaveContext" in str(error):
            message = f"{signature.method} calls tf.saved_model.save in its body; call it outside of a tf.function"
            raise ModelError(
                Problem(path, message), user_code.traceback_text(error)
            ) from error
        doing = f"tracing {signature.method} with the declared inputs"
        if leaked := leaks.failure(obj, path, doing, error):
            raise leaked from error
        failure = user_code.failure(path, doing, error)
        if _PLAIN_NEST.search(user_code.summary(error)):
            message = f"{failure.problems[0].message}; {_ANNOTATE}"
            raise ModelError(Problem(path, message), failure.traceback_text) from error
        raise failure from error
    # Those of the config were checked before; these may come from code.
    if refused := list(_refused_names(traced)):
        raise ConfigError(
            [
                Problem((*path, "inputs"), f"{signature.method}: the input {text}")
                for text in refused
            ]
        )
    return traced


def _refused_names(traced: Traced) -> Iterator[str]:
    """Yields why TensorFlow would not keep the name of an input, and how it is declared with another one."""
    for name, tensor in traced.record.inputs.items():
        if reason := signature_rules.refuse_input_name(name, {}):
            shape = "null" if tensor.shape is None else json.dumps(tensor.shape)
            spec = f"{{shape: {shape}, dtype: {tensor.dtype}, name: {signature_rules.kept_name(name, {})}}}"
            yield f"{reason}, as in inputs: {{{json.dumps(name)}: {spec}}}"


# What code for a NamedTuple, or another record, says of the mapping that a config declares.
_PLAIN_NEST = re.compile(r"'(dict|list)' object has no attribute")
_ANNOTATE = "an argument is passed as its class where the method's annotation or default names that class"


def _trace_declared(
    method: Any,
    function: Any,
    signature: Signature,
    inputs: Mapping[str, Nest],
    outputs: _Outputs,
) -> Traced:
    def call(callee: Any, tensors: Mapping[str, Any]) -> Any:
        positional, keywords = arguments(
            method, inputs, lambda spec: _assembled(spec, tensors)
        )
        return callee(*positional, **keywords)

    inputs = in_order(method, inputs)
    wire = {
        name: part
        for _, whole, spec in input_names(inputs)
        for name, part in parts(str(whole), spec).items()
    }
    positional, keywords = arguments(method, inputs, type_spec)
    concrete = None
    inner: list[Any] = []
    own = (
        getattr(function, "input_signature", None) is not None
    )  # it takes tensors, but no specs with other names
    before = {id(trace) for trace in _traces(function)}
    opaque = is_opaque(method, inputs)
    is_dense = all(spec.kind == "dense" for _, _, spec in input_names(inputs))
    if opaque:
        # Autograph follows calls out of a tf.function only where it converts the function itself.
        autograph = tf.__internal__.autograph
        function = autograph.tf_convert(method, autograph.control_status_ctx())
    elif not own and is_dense and not outputs.renames:
        concrete = function.get_concrete_function(*positional, **keywords)
    if concrete is None or outputs.changes(concrete.structured_outputs):
        # TensorFlow has no names of its own for these: a function around the method gives them.
        specs = {
            name: type_spec(replace(spec, name=name)) for name, spec in wire.items()
        }
        concrete = _around(
            lambda tensors: outputs.named(call(function, tensors)), specs
        )
        # One that was there before belongs to a signature that may have other names.
        inner = [
            trace
            for trace in _traces(function)
            if id(trace) not in before or trace._arg_keywords == [*wire]
        ]
    own_trace = _callable(inner[0] if len(inner) == 1 else concrete, list(wire))
    record = _record(concrete, outputs, signature.method_name)

    def run(callee: Callable[..., Any], tensors: Mapping[str, Any]) -> dict[str, Any]:
        return outputs.eager(call(callee, tensors))

    return Traced(signature, method, run, concrete, own_trace, record)


def _trace_own(
    method: Any, function: Any, signature: Signature, outputs: _Outputs
) -> Traced:
    positional, keywords = (), {}
    if function.input_signature is None:  # it was traced by a call
        positional, keywords = _traces(function)[0].structured_input_signature
    own = concrete = function.get_concrete_function(*positional, **keywords)
    record = _record(concrete, None)

    def run(callee: Callable[..., Any], tensors: Mapping[str, Any]) -> dict[str, Any]:
        flat = [tensors[name] for name in record.inputs]
        positional, keywords = tf.nest.pack_sequence_as(
            own.structured_input_signature, flat, expand_composites=True
        )
        return outputs.eager(callee(*positional, **keywords))

    if outputs.changes(own.structured_outputs):
        specs = {
            name: tf.TensorSpec(t.shape, t.dtype, name=name)
            for name, t in record.inputs.items()
        }
        concrete = _around(lambda tensors: outputs.named(own(**tensors)), specs)
    own_trace = _callable(own, list(record.inputs))
    return Traced(
        signature,
        method,
        run,
        concrete,
        own_trace,
        _record(concrete, outputs, signature.method_name),
    )


def _callable(concrete: Any, names: list[str]) -> Any:
    """Lets a concrete function be called by position, and by the names that a client sends, after loading."""
    own = len(concrete.inputs) - len(concrete.captured_inputs)
    if own == len(names):
        concrete._arg_keywords = names
        concrete._num_positional_args = own
    return concrete


def _around(
    call: Callable[[dict[str, Any]], dict[str, Any]], specs: dict[str, Any]
) -> Any:
    """Traces a function of named tensors; the names need not be words of Python."""
    words = {name: f"input_{index}" for index, name in enumerate(specs)}

    def named(**tensors: Any) -> dict[str, Any]:
        return call({name: tensors[word] for name, word in words.items()})

    function = tf.function(named, autograph=False)
    return function.get_concrete_function(
        **{words[name]: spec for name, spec in specs.items()}
    )


def _assembled(spec: Spec, tensors: Mapping[str, Any]) -> Any:
    """Makes one tensor of the dense ones that it is sent as."""
    sent = [tensors[name] for name in parts(str(spec.name), spec)]
    if spec.kind == "dense":
        return sent[0]
    if spec.kind == "sparse":
        return tf.sparse.reorder(tf.SparseTensor(*sent))
    return tf.RaggedTensor.from_nested_row_splits(sent[0], sent[1:], validate=False)


def _record(
    concrete: Any, outputs: _Outputs | None, method_name: str = PREDICT
) -> SignatureRecord:
    own = concrete.inputs[: len(concrete.inputs) - len(concrete.captured_inputs)]
    names = concrete._arg_keywords  # the names that TensorFlow will save
    inputs = {
        name: tensor_record(tensor.dtype, tensor.shape)
        for name, tensor in zip(names, own, strict=True)
    }
    if outputs is None:
        return SignatureRecord(inputs, {})
    named = outputs.flat(concrete.structured_outputs)
    return SignatureRecord(
        inputs,
        {name: tensor_record(leaf.dtype, leaf.shape) for name, leaf in named.items()},
        method_name=None if method_name == PREDICT else method_name,
    )


class _Outputs:
    """The names that a client gets the outputs of a signature by."""

    def __init__(
        self, path: KeyPath, signature: Signature, layer_names: tuple[str, ...]
    ) -> None:
        self._path = path
        self._layer_names = layer_names
        self.renames = {
            own: spec.name
            for own, spec in (signature.outputs or {}).items()
            if spec.name is not None
        }

    def changes(self, structure: Any) -> bool:
        """Tells whether TensorFlow would name what a method returns otherwise."""
        if structures.named_parts(structure) is not None and not hasattr(
            structure, "_asdict"
        ):
            return True
        return [*self.named(structure)] != [*self.flat(structure)] or any(
            not _is_dense(value) for value in self.flat(structure).values()
        )

    def eager(self, structure: Any) -> dict[str, Any]:
        """Does as `named` for what a method returns eagerly: a function makes tensors of numbers, and so does this."""
        parts = structures.named_parts(structure)
        if parts is not None:
            structure = parts
        return self.named(tf.nest.map_structure(_as_tensor, structure))

    def named(self, structure: Any) -> dict[str, Any]:
        """Returns the dense tensors of a structure by the names that a client gets."""
        found: dict[str, Any] = {}
        for own, value in self.flat(structure, self._layer_names).items():
            dense = (
                [value]
                if _is_dense(value)
                else tf.nest.flatten(value, expand_composites=True)
            )
            whole = self.renames.get(own, own)
            for index, tensor in enumerate(dense):
                name = f"{whole}_{index}" if index else whole
                if name in found:
                    raise ConfigError(
                        Problem(
                            (*self._path, "outputs"),
                            f"two outputs have the name {name!r}",
                        )
                    )
                found[name] = tensor
        return found

    def flat(self, structure: Any, layer_names: tuple[str, ...] = ()) -> dict[str, Any]:
        """Returns name to tensor of what a method returns, each as it is.

        Documented under "Signatures" of `tf.saved_model.save`: flat lists are numbered, mappings named by their keys,
        as records are by their fields; and under "Keras": the layers name what a model made of inputs and outputs
        returns.
        """
        fields = structures.named_parts(structure)
        if isinstance(structure, dict):
            named = {str(name): value for name, value in structure.items()}
        elif fields is not None:
            named = fields
        else:
            values = (
                list(structure) if isinstance(structure, (list, tuple)) else [structure]
            )
            numbered = tuple(f"output_{index}" for index in range(len(values)))
            names = layer_names if len(layer_names) == len(values) else numbered
            named = dict(zip(names, values, strict=True))
        if structure is None or not named:
            message = "the method returns nothing; a signature returns a tensor, a list, or a mapping of tensors"
            raise ConfigError(Problem(self._path, message))
        if all(_is_dense(value) or _is_composite(value) for value in named.values()):
            return named
        form = tf.nest.map_structure(lambda leaf: type(leaf).__name__, structure)
        takes = "a signature takes a tensor, a flat list of tensors, or a mapping of names to tensors"
        raise ConfigError(Problem(self._path, f"the method returns {form}; {takes}"))


def _is_dense(value: Any) -> bool:
    return isinstance(value, (tf.Tensor, tf.TensorSpec, tf.Variable))


def _is_composite(value: Any) -> bool:
    return isinstance(
        value,
        (tf.RaggedTensor, tf.SparseTensor, tf.RaggedTensorSpec, tf.SparseTensorSpec),
    )


def _as_tensor(leaf: Any) -> Any:
    return leaf if _is_composite(leaf) else tf.convert_to_tensor(leaf)
