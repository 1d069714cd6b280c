"""Stage 4, trace: makes of the built object and the declared specs one concrete function a signature."""

from __future__ import annotations

import contextlib
import inspect
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from smdecl import contract, usercode
from smdecl.building import Built, argument_names, call_of
from smdecl.config import Devices, Nest, Signature
from smdecl.errors import ConfigError, ContractError, KeyPath, Problem, nearest
from smdecl.records import SignatureRecord, TensorRecord
from smdecl.specs import arguments, find_method
from smdecl.tensors import tensor_record


@dataclass(frozen=True)
class Traced:
    """One signature, traced.

    Attributes:
        method: The object's own method, as it is called eagerly.
        function: What is saved.
        record: Its inputs and outputs, by name.
    """

    method: Any
    function: Any
    record: SignatureRecord

    @property
    def own_arguments(self) -> tuple[Any, Any]:
        """Positional and keyword arguments as nests of specs, for a method that has an input_signature of its own."""
        positional, keywords = self.function.structured_input_signature
        return positional, keywords


def trace(built: Built, signatures: dict[str, Signature], devices: Devices) -> dict[str, Traced]:
    """Traces every signature by `get_concrete_function`.

    Raises:
        ConfigError: Where a method does not exist or does not take the declared arguments; all of them.
        ModelError: Where the model's own code fails under a spec.
        ContractError: Where the traced outputs are not the declared ones.
    """
    problems: list[Problem] = []
    for key, signature in signatures.items():
        problems += _check_method(built, ("signatures", key), signature)
    if problems:
        raise ConfigError(problems)
    with tf.device(devices.trace) if devices.trace else contextlib.nullcontext():
        traced = {key: _trace(built.obj, key, signature) for key, signature in signatures.items()}
    for key, signature in signatures.items():
        problems += contract.compare_outputs(("signatures", key), signature, traced[key].record.outputs)
    if problems:
        raise ContractError(problems)
    return traced


def _check_method(built: Built, path: KeyPath, signature: Signature) -> list[Problem]:
    kind, name = type(built.obj).__name__, signature.method
    method = find_method(built.obj, name)
    if method is None:
        known = [known for known in built.record.methods if known != "__call__"] or list(built.record.methods)
        has = ", ".join(known) or "none; a dotted path leads to those of an attribute, such as model.__call__"
        return [Problem((*path, "method"), f"no method {name!r} on {kind}; it has: {has}{nearest(name, known)}")]
    if signature.inputs is None:
        if getattr(method, "input_signature", None) is None:
            return [
                Problem(
                    (*path, "inputs"), f"is missing: {kind}.{name} has no input_signature of its own to take it from"
                )
            ]
        return []
    return _check_arguments((*path, "inputs"), f"{kind}.{name}", method, signature.inputs)


def _check_arguments(path: KeyPath, name: str, method: Any, inputs: dict[str, Nest]) -> list[Problem]:
    parameters = _parameters(method)
    known = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    problems = []
    if not any(p.kind is p.VAR_KEYWORD for p in parameters):
        problems += [
            Problem(
                (*path, given), f"{name} has no argument {given!r}; it has: {', '.join(known)}{nearest(given, known)}"
            )
            for given in inputs
            if given not in known
        ]
    problems += [
        Problem((*path, p.name), f"is missing: {name} needs the argument {p.name!r}")
        for p in parameters
        if p.name in known and p.default is p.empty and p.name not in inputs
    ]
    return problems


def _parameters(method: Any) -> list[inspect.Parameter]:
    python_function = call_of(getattr(method, "python_function", method))
    try:
        return [p for p in inspect.signature(python_function).parameters.values() if p.name != "self"]
    except (TypeError, ValueError):
        names = argument_names(method)
        return [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in names]


def _trace(obj: Any, key: str, signature: Signature) -> Traced:
    method = find_method(obj, signature.method)
    function = method if isinstance(method, tf.types.experimental.GenericFunction) else tf.function(method)
    path = ("signatures", key)
    try:
        concrete = function.get_concrete_function(**arguments(signature))
    except Exception as error:
        raise usercode.failure(path, f"tracing {signature.method} with the declared inputs", error) from error
    return Traced(method, concrete, _record(path, concrete))


def _record(path: KeyPath, concrete: Any) -> SignatureRecord:
    # The parts of ragged and sparse inputs have no names but those that TensorFlow will save them under.
    own = concrete.inputs[: len(concrete.inputs) - len(concrete.captured_inputs)]
    names = concrete._arg_keywords
    inputs = {name: tensor_record(tensor.dtype, tensor.shape) for name, tensor in zip(names, own, strict=True)}
    return SignatureRecord(inputs, _name_outputs(path, concrete.structured_outputs))


def _name_outputs(path: KeyPath, structure: Any) -> dict[str, TensorRecord]:
    """Names outputs as `tf.saved_model.save` does: a mapping by its keys, anything flat by its position."""
    named = flatten_outputs(structure)
    if named is None:
        form = tf.nest.map_structure(lambda leaf: type(leaf).__name__, structure)
        raise ConfigError(
            Problem(
                path,
                f"the method returns {form}; a signature takes a tensor, a flat list of tensors, or a mapping of names"
                " to tensors",
            )
        )
    return {name: tensor_record(leaf.dtype, leaf.shape) for name, leaf in named.items()}


def flatten_outputs(structure: Any) -> dict[str, Any] | None:
    """Returns name to tensor (or its spec), or None where TensorFlow could give the structure no names.

    Documented under "Signatures" of `tf.saved_model.save`: flat lists are numbered, mappings named by their keys.
    """
    if isinstance(structure, dict):
        named = {str(name): value for name, value in structure.items()}
    elif hasattr(structure, "_asdict"):
        named = structure._asdict()
    elif isinstance(structure, (list, tuple)):
        named = {f"output_{index}": value for index, value in enumerate(structure)}
    else:
        named = {"output_0": structure}
    return named if all(_is_tensor(value) for value in named.values()) else None


def _is_tensor(value: Any) -> bool:
    return isinstance(value, (tf.Tensor, tf.TensorSpec, tf.Variable))
