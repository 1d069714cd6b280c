"""The record of a traced signature."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from smdecl.config.settings import Signature
from smdecl.exporting.types import ConcreteFunction, Method, Tensor
from smdecl.savedmodel.records import SignatureRecord


class Run(Protocol):
    """Calls a method eagerly, with the tensors that a client sends, and returns those it gets."""

    def __call__(
        self, callee: Method, tensors: Mapping[str, Tensor], /
    ) -> dict[str, Tensor]:
        """Calls `callee` with tensors by their names in the signature."""


@dataclass(frozen=True)
class Traced:
    """A traced signature.

    Attributes:
        signature: The declared signature, completed by what the object itself defines.
        method: The method of the object.
        run: Calls such a method eagerly.
        function: The function to save as the signature.
        callable: The function to save as an attribute, if the config names one in `functions`. It
            accepts the names that a client sends, and returns what the method returns.
        record: The inputs and outputs by name.
        defaults: The value of each input that a request may omit, by name.
    """

    signature: Signature
    method: Method
    run: Run
    function: ConcreteFunction
    callable: ConcreteFunction
    record: SignatureRecord
    defaults: Mapping[str, Tensor] = field(default_factory=dict)

    def call(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Calls the object's own method by `run`."""
        return self.run(self.method, tensors)
