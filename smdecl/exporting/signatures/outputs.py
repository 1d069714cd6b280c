"""Names the outputs of a signature, and flattens them to the dense tensors that a client gets."""

from __future__ import annotations

import tensorflow as tf

from smdecl.config.settings import Signature
from smdecl.errors import ConfigError, KeyPath, Problem
from smdecl.exporting.signatures.record_kinds import named_parts
from smdecl.exporting.types import PythonValue, Structure, Tensor

_DENSE = (tf.Tensor, tf.TensorSpec, tf.Variable)
_COMPOSITE = (
    tf.RaggedTensor,
    tf.SparseTensor,
    tf.RaggedTensorSpec,
    tf.SparseTensorSpec,
)
_EXPECTED = "expected a tensor, or a flat list or mapping of tensors"


class Outputs:
    """The names that a client gets the outputs of a signature by.

    Attributes:
        renames: The method's name of an output to the declared one.
    """

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

    def changes(self, structure: Structure) -> bool:
        """Returns whether TensorFlow would give the outputs of a method other names."""
        is_record = named_parts(structure) is not None
        is_named_tuple = hasattr(structure, "_asdict")
        if is_record and not is_named_tuple:
            return True
        named = self.named(structure)
        own = self.flat(structure)
        if list(named) != list(own):
            return True
        return not all(isinstance(value, _DENSE) for value in own.values())

    def eager(self, structure: Structure) -> dict[str, Tensor]:
        """Returns what `named` returns, for the result of an eager call.

        Numbers become tensors, as they do in a `tf.function`.
        """
        parts = named_parts(structure)
        if parts is not None:
            structure = parts
        return self.named(tf.nest.map_structure(_as_tensor, structure))

    def named(self, structure: Structure) -> dict[str, Tensor]:
        """Returns the dense tensors of a structure by the names that a client gets.

        A ragged or sparse tensor becomes several: `scores`, `scores_1` and so on.

        Raises:
            ConfigError: If two tensors have the same name, or the structure cannot be an output.
        """
        found: dict[str, Tensor] = {}
        for own, value in self.flat(structure, self._layer_names).items():
            whole = self.renames.get(own, own)
            for index, tensor in enumerate(_dense_parts(value)):
                name = f"{whole}_{index}" if index else whole
                if name in found:
                    message = f"duplicate output name {name!r}"
                    raise ConfigError(
                        Problem((*self._path, "outputs"), message)
                    )
                found[name] = tensor
        return found

    def flat(
        self, structure: Structure, layer_names: tuple[str, ...] = ()
    ) -> dict[str, Tensor]:
        """Returns what a method returns by name, without splitting ragged and sparse tensors.

        The names are those that `tf.saved_model.save` documents. Under "Signatures": the items of
        a list are numbered, and mappings and records are named by their keys and fields. Under
        "Keras": the outputs of a functional or sequential model have the names of their layers.

        Raises:
            ConfigError: If the structure is empty or nested.
        """
        named = {}
        if structure is not None:
            named = _named_values(structure, layer_names)
        if not named:
            message = f"the method returns nothing; {_EXPECTED}"
            raise ConfigError(Problem(self._path, message))
        if all(
            isinstance(value, (*_DENSE, *_COMPOSITE))
            for value in named.values()
        ):
            return named
        form = tf.nest.map_structure(
            lambda leaf: type(leaf).__name__, structure
        )
        message = f"the method returns {form}; {_EXPECTED}"
        raise ConfigError(Problem(self._path, message))


def _named_values(
    structure: Structure, layer_names: tuple[str, ...]
) -> dict[str, Structure]:
    fields = named_parts(structure)
    if isinstance(structure, dict):
        return {str(name): value for name, value in structure.items()}
    if fields is not None:
        return fields
    values = [structure]
    if isinstance(structure, (list, tuple)):
        values = list(structure)
    names = layer_names
    if len(names) != len(values):
        names = tuple(f"output_{index}" for index in range(len(values)))
    return dict(zip(names, values, strict=True))


def _dense_parts(value: Tensor) -> list[Tensor]:
    if isinstance(value, _DENSE):
        return [value]
    parts: list[Tensor] = tf.nest.flatten(value, expand_composites=True)
    return parts


def _as_tensor(leaf: PythonValue) -> Tensor:
    return leaf if isinstance(leaf, _COMPOSITE) else tf.convert_to_tensor(leaf)
