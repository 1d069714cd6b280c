"""What loading a SavedModel and running its examples has shown."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Failure:
    """A SavedModel that a loader cannot load, or an example that fails in it.

    Attributes:
        loader: The loader: python, cpp or session.
        signature: The key of the signature; None if the SavedModel cannot be loaded.
        example: The number of the example; None if the SavedModel cannot be loaded.
        message: What went wrong.
    """

    loader: str
    signature: str | None
    example: int | None
    message: str


@dataclass(frozen=True)
class Comparison:
    """How a release compares with the SavedModel that its weights come from.

    Attributes:
        differences: Where they differ.
        uncompared: What could not be compared, and why.
        has_same_tables: Whether the same constants fill the tables of both.
    """

    differences: tuple[str, ...] = ()
    uncompared: tuple[str, ...] = ()
    has_same_tables: bool = False


@dataclass(frozen=True)
class VerificationRecord:
    """How the examples of a SavedModel ran in a separate process (schema: verification).

    Attributes:
        loaders: The loaders that ran: python, and cpp, or session if TensorFlow has no C API.
        examples: Signature key to the number of examples that each loader ran.
        failures: What failed; empty if the SavedModel is verified.
    """

    loaders: tuple[str, ...]
    examples: dict[str, int]
    failures: tuple[Failure, ...] = ()
