"""Defines the records of an export config, and what is derived from its specs."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from smdecl.errors import (
    ConfigError,
    ContractError,
    KeyPath,
    Origin,
    SmdeclError,
)
from smdecl.names import PREDICT
from smdecl.tensor_texts import Dim, tensor_text


@dataclass(frozen=True)
class Spec:
    """One `tf.TensorSpec`, `tf.RaggedTensorSpec` or `tf.SparseTensorSpec` of a signature.

    Attributes:
        shape: Sizes, None for unknown sizes, and names for unknown sizes that must agree; None if
            the rank is unknown.
        dtype: The canonical name of the dtype, such as `float32`.
        name: The name that a client sends or receives; None uses the argument's name, or the name
            that the method gives the output.
        kind: Dense, or a composite kind.
        ragged_rank: The number of ragged dimensions of a ragged tensor.
        row_splits_dtype: The dtype of the row splits of a ragged tensor.
    """

    shape: tuple[Dim, ...] | None
    dtype: str
    name: str | None = None
    kind: Literal["dense", "ragged", "sparse"] = "dense"
    ragged_rank: int = 1
    row_splits_dtype: str = "int64"

    def __str__(self) -> str:
        return tensor_text(self.dtype, self.shape, self.kind)


@dataclass(frozen=True)
class Value:
    """A Python value bound to an argument, which is not an input of the signature."""

    value: object


# What a signature declares for one argument, which may be nested.
Nest = Spec | Value | tuple["Nest", ...] | dict[str, "Nest"]


@dataclass(frozen=True)
class Signature:
    """What one signature key exports.

    Attributes:
        method: The dotted path of the method on the object.
        inputs: Argument to specs; None uses the function's own input_signature.
        outputs: Output name to the declared spec; None declares nothing.
        method_name: The API of TensorFlow Serving that the signature implements.
    """

    method: str
    inputs: dict[str, Nest] | None
    outputs: dict[str, Spec] | None
    method_name: str = PREDICT


@dataclass(frozen=True)
class Weights:
    """The weights to restore into the built object.

    Attributes:
        format: The name of a row of `weights_formats.FORMATS`.
        path: The file, the directory, or the prefix of a checkpoint.
        expect: Whether every variable needs a value.
        root: The name of the object in the checkpoint; None searches for it.
    """

    format: str
    path: str
    expect: Literal["full", "partial"] = "full"
    root: str | None = None


@dataclass(frozen=True)
class Devices:
    """The devices of an export in TensorFlow's notation; None leaves the choice to TensorFlow.

    Attributes:
        build: Where the object is built.
        trace: Where its functions are traced.
        visible: The physical devices that TensorFlow may use.
        strategy: The target that makes the `tf.distribute.Strategy` to build in.
    """

    build: str | None
    trace: str | None
    visible: tuple[str, ...] | None
    strategy: dict[str, Any] | None


@dataclass(frozen=True)
class Verify:
    """The examples to run before and after saving, and how close the results must be.

    Attributes:
        examples: Signature key to the given examples.
        generate: How many examples to generate for a signature without given ones.
        rtol: Relative tolerance of all outputs; None uses that of the dtype.
        atol: Absolute tolerance of all outputs; None uses that of the dtype.
        loaders: The loaders that run the examples.
        ranges: Signature key to input to the least and the greatest value to generate.
        tolerances: Signature key to output to the `rtol` and `atol` of that output.
    """

    examples: dict[str, list[dict[str, Any]]]
    generate: int
    rtol: float | None
    atol: float | None
    loaders: tuple[str, ...]
    ranges: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    tolerances: dict[str, dict[str, dict[str, float | None]]] = field(
        default_factory=dict
    )

    def tolerance(
        self, signature: str, output: str
    ) -> tuple[float | None, float | None]:
        """Returns rtol and atol of an output; None uses that of its dtype."""
        own = self.tolerances.get(signature, {}).get(output, {})
        return own.get("rtol", self.rtol), own.get("atol", self.atol)


@dataclass(frozen=True)
class Audit:
    """What the exported graph may contain.

    Attributes:
        levels: Rule to error, warn or off; None for untraced_functions if the signatures decide.
        consumer: The TensorFlow release whose ops the rule `consumer` compares; None for none.
    """

    levels: dict[str, str | None]
    consumer: str | None


@dataclass(frozen=True)
class Publish:
    """How the release is published.

    Attributes:
        version: Its directory in the base path; None publishes to the base path itself.
        replace: Whether it may replace an existing version.
        unchanged: Whether it is published if the newest version is the same release.
        warmup: Whether TensorFlow Serving runs the examples before it serves.
        keep: How many versions remain in the base path; None for all.
        models_config: The models.config of TensorFlow Serving to add the model to.
        compatible: Whether to refuse changes that break callers of the newest published version.
        reproducible: Whether to make the release twice, and refuse it if the bytes differ.
        run_record: The file that records what varies from run to run.
        sign: The file of the private key to sign the release with.
    """

    version: Literal["next"] | int | None
    replace: bool
    warmup: bool = False
    keep: int | None = None
    models_config: str | None = None
    compatible: bool = False
    reproducible: bool = False
    run_record: str | None = None
    sign: str | None = None
    unchanged: Literal["publish", "skip"] = "publish"


@dataclass(frozen=True)
class ExportConfig:
    """The checked config of one export; its fields are the keys of the primary config.

    Attributes:
        functions: Name to the dotted path of a further function to save; None if it is the name.
    """

    name: str
    model: dict[str, Any]
    weights: Weights | None
    signatures: dict[str, Signature]
    devices: Devices
    options: dict[str, Any]
    audit: Audit
    verify: Verify
    publish: Publish
    export_dir: str
    seed: int
    sha256: dict[str, str]
    functions: dict[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Composition:
    """What Hydra composed of the config files and overrides, before anything is checked.

    Attributes:
        values: The resolved config: plain dicts, lists and scalars.
        recorded: The same with reads of the environment left unresolved; may be written to disk.
        locate: Returns the line or the override that the value at a key path came from.
        hint: Returns the hint of a problem at a key path; empty for none. An error has it once.
        reads: Key path and name of each environment variable that was read.
        secrets: Name to value of these variables.
        hydra: Hydra's own settings, unresolved.
        seconds: The seconds that composing took.
    """

    values: dict[str, Any]
    recorded: dict[str, Any]
    locate: Callable[[KeyPath], Origin | None]
    reads: tuple[tuple[KeyPath, str], ...] = ()
    secrets: Mapping[str, str] = field(default_factory=dict)
    hydra: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    hint: Callable[[KeyPath], str] = lambda _: ""

    def masked(self, error: SmdeclError) -> SmdeclError:
        """Returns an error with the origins of its problems and without secrets."""
        located = []
        # A signature that does not fit the model is an error of one of these classes.
        is_hinted = not isinstance(error, (ConfigError, ContractError))
        for problem in error.problems:
            hint = ""
            if not is_hinted and problem.origin is None:
                hint = self.hint(problem.path)
                is_hinted = bool(hint)
            hinted = replace(problem, message=f"{problem.message}{hint}")
            located.append(hinted.at(self.locate(problem.path)))
        return error.masked(located, self.secrets)


# The examples of each signature, by its key: input or output values by name.
Examples = Mapping[str, Sequence[Mapping[str, Mapping[str, Any]]]]
_PARTS = ("inputs", "outputs")


def example_contents(
    examples: Examples,
) -> Iterator[tuple[KeyPath, Mapping[str, Any]]]:
    """Yields key path and value of every `{file: ...}` and `{b64: ...}` in `verify.examples`.

    A key path is `("verify", "examples", signature, number, part, name)`, then indices of lists.
    """
    for key, cases in examples.items():
        for number, part in itertools.product(range(len(cases)), _PARTS):
            place = ("verify", "examples", key, number, part)
            values = cases[number].get(part, {})
            for name, value in values.items():
                yield from _contents(value, (*place, name))


def _contents(
    value: object, path: KeyPath
) -> Iterator[tuple[KeyPath, Mapping[str, Any]]]:
    if isinstance(value, Mapping):
        yield path, value
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _contents(item, (*path, index))


def leaves(nest: Nest, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Spec]]:
    """Yields key path and spec of every input in a nest; bound values are not inputs."""
    if isinstance(nest, Spec):
        yield path, nest
    elif isinstance(nest, tuple):
        for index, item in enumerate(nest):
            yield from leaves(item, (*path, index))
    elif isinstance(nest, dict):
        for name, item in nest.items():
            yield from leaves(item, (*path, name))


def input_names(
    inputs: Mapping[str, Nest],
) -> Iterator[tuple[KeyPath, str | None, Spec]]:
    """Yields key path, name and spec of every input; leaves of a nest may have no name."""
    for argument, nest in inputs.items():
        for path, spec in leaves(nest):
            name = spec.name
            if name is None and not path:
                name = argument
            yield (argument, *path), name, spec


def parts(name: str, spec: Spec) -> dict[str, Spec]:
    """Returns the dense tensors that represent a tensor, named and ordered as in TensorFlow.

    A ragged tensor has its flat values and the row splits of each ragged dimension, outermost
    first; a sparse tensor has its indices, values and dense shape.
    """
    if spec.kind == "ragged" and spec.shape is not None:
        dense = _ragged_parts(spec, spec.shape)
    elif spec.kind == "sparse":
        dense = _sparse_parts(spec)
    else:
        dense = [spec]
    named = {}
    for index, part in enumerate(dense):
        named[f"{name}_{index}" if index else name] = part
    return named


def _ragged_parts(spec: Spec, shape: tuple[Dim, ...]) -> list[Spec]:
    # A rule reports a ragged_rank that does not fit the shape, which can be any number here.
    ragged_rank = min(spec.ragged_rank, len(shape))
    rows = shape[0] if shape else None
    splits = rows + 1 if isinstance(rows, int) else None
    inner_shape = shape[ragged_rank + 1 :]
    values = Spec((None, *inner_shape), spec.dtype)
    outermost = Spec((splits,), spec.row_splits_dtype)
    inner = Spec((None,), spec.row_splits_dtype)
    return [values, outermost, *[inner] * (ragged_rank - 1)]


def _sparse_parts(spec: Spec) -> list[Spec]:
    rank = None if spec.shape is None else len(spec.shape)
    indices = Spec((None, rank), "int64")
    values = Spec((None,), spec.dtype)
    dense_shape = Spec((rank,), "int64")
    return [indices, values, dense_shape]
