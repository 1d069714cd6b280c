"""The export config as records, made of the plain mapping that passed the checks."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from smdecl.errors import KeyPath, Origin, SmdeclError
from smdecl.names import PREDICT
from smdecl.tensor_texts import Dim, tensor_text


@dataclass(frozen=True)
class Spec:
    """One `tf.TensorSpec`, `tf.RaggedTensorSpec` or `tf.SparseTensorSpec` of a signature.

    Attributes:
        shape: Sizes, None (unknown) and names (unknown, and the same wherever the name recurs); None is unknown rank.
        dtype: The canonical name of the dtype, such as `float32`.
        name: The name that a client sends or gets; None is the argument's, or the one that the method gives an output.
        kind: Dense, or one of the composite kinds.
        ragged_rank: The number of ragged dimensions, for the kind ragged.
        row_splits_dtype: The dtype of the row splits, for the kind ragged.
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
    """A Python value bound to an argument; it makes no input."""

    value: Any


Nest = Spec | Value | tuple["Nest", ...] | dict[str, "Nest"]


@dataclass(frozen=True)
class Signature:
    """What one signature key exports.

    Attributes:
        method: Dotted path on the object.
        inputs: Argument to (nest of) specs; None takes the function's own input_signature.
        outputs: The declared contract, output name to spec; None declares nothing.
        method_name: The API of TensorFlow Serving that the signature is for.
    """

    method: str
    inputs: dict[str, Nest] | None
    outputs: dict[str, Spec] | None
    method_name: str = PREDICT


@dataclass(frozen=True)
class Weights:
    """What to restore into the built object.

    Attributes:
        format: What the path leads to, the name of a row of `weights_formats.FORMATS`.
        path: The file, the directory, or the prefix of a checkpoint.
        expect: Whether everything needs a value.
        root: The name that a checkpoint holds the object under; None finds it.
    """

    format: str
    path: str
    expect: Literal["full", "partial"] = "full"
    root: str | None = None


@dataclass(frozen=True)
class Devices:
    """Where the object is built and traced, in TensorFlow's device strings; None leaves it to TensorFlow."""

    build: str | None
    trace: str | None
    visible: tuple[str, ...] | None
    strategy: dict[str, Any] | None


@dataclass(frozen=True)
class Verify:
    """The examples to run before and after, and how close the two must be.

    Attributes:
        examples: Signature key to the examples that are given.
        generate: How many to make of a signature that has none given.
        rtol: Relative tolerance of all outputs; None is that of the dtype.
        atol: Absolute tolerance of all outputs; None is that of the dtype.
        loaders: That run them.
        ranges: Signature key to input to the least and the greatest value to generate.
        tolerances: Signature key to output to what goes before `rtol` and `atol` there.
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
        """Returns rtol and atol of an output; None is that of its dtype."""
        own = self.tolerances.get(signature, {}).get(output, {})
        return own.get("rtol", self.rtol), own.get("atol", self.atol)


@dataclass(frozen=True)
class Audit:
    """What may be in the exported graph.

    Attributes:
        levels: Rule to error, warn or off; untraced_functions to None where the signatures decide.
        consumer: The TensorFlow release whose ops the rule `consumer` compares with; None compares with none.
    """

    levels: dict[str, str | None]
    consumer: str | None


@dataclass(frozen=True)
class Publish:
    """How the release lands.

    Attributes:
        version: Its directory in the base path; None puts it into the base path itself.
        replace: Whether a version that exists may be swapped for this one.
        warmup: Whether TensorFlow Serving is to run the examples before it serves.
        keep: How many versions stay in the base path; None is all.
        models_config: The models.config of TensorFlow Serving to write the model into.
        compatible: Whether to refuse what breaks the callers of the newest version there.
        reproducible: Whether to make the release twice, and to refuse it where the bytes differ.
        run_record: The file to write down in what varies from run to run.
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


@dataclass(frozen=True)
class ExportConfig:
    """The checked config of one export; its fields are the keys of the primary config."""

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
    """What Hydra made of the config files and overrides, before anything is checked.

    Attributes:
        values: The resolved config: plain dicts, lists and scalars.
        recorded: The same with what was read from the environment left unresolved: what may be written down.
        locate: Finds the file and line or the override that the value at a key path came from.
        reads: Key path and name of the environment variables that were read.
        secrets: Name to value of them.
        hydra: Hydra's own settings, unresolved.
    """

    values: dict[str, Any]
    recorded: dict[str, Any]
    locate: Callable[[KeyPath], Origin | None]
    reads: tuple[tuple[KeyPath, str], ...] = ()
    secrets: Mapping[str, str] = field(default_factory=dict)
    hydra: Mapping[str, Any] = field(default_factory=dict)

    def masked(self, error: SmdeclError) -> SmdeclError:
        """Returns an error that tells nothing of what was read from the environment, and where its problems are."""
        located = [problem.at(self.locate(problem.path)) for problem in error.problems]
        return error.masked(located, self.secrets)


def parse(values: Mapping[str, Any]) -> ExportConfig:
    """Returns the records of a config that is valid by its schema."""
    devices, publish, verify = values["devices"], values["publish"], values["verify"]
    return ExportConfig(
        name=values["name"],
        model=values["model"],
        weights=Weights(**values["weights"]) if values["weights"] else None,
        signatures={
            key: parse_signature(value)
            for key, value in sorted(values["signatures"].items())
        },
        devices=Devices(
            build=devices["build"],
            trace=devices["trace"],
            visible=None if devices["visible"] is None else tuple(devices["visible"]),
            strategy=devices["strategy"],
        ),
        options=values["options"],
        audit=_audit(values["audit"]),
        verify=parse_verify(verify),
        publish=Publish(**publish),
        export_dir=values["export_dir"],
        seed=values["seed"],
        sha256=values["sha256"],
        functions=values.get("functions", {}),
    )


def _audit(values: Mapping[str, Any]) -> Audit:
    levels = {}
    for rule, value in values.items():
        level = value["level"] if isinstance(value, Mapping) else value
        levels[rule] = (
            "off" if level is False else level
        )  # YAML reads an unquoted off as false
    return Audit(levels, values["consumer"]["tensorflow"])


def parse_verify(values: Mapping[str, Any]) -> Verify:
    """Returns the record of the verify group that is valid by its schema."""
    return Verify(**{**values, "loaders": tuple(values["loaders"])})


def parse_signature(values: Mapping[str, Any]) -> Signature:
    """Returns the record of one signature that is valid by its schema."""
    inputs, outputs = values.get("inputs"), values.get("outputs")
    return Signature(
        method=values.get("method", "__call__"),
        inputs=None
        if inputs is None
        else {name: parse_nest(nest) for name, nest in inputs.items()},
        outputs=None
        if outputs is None
        else {name: _spec(spec) for name, spec in outputs.items()},
        method_name=values.get("method_name", PREDICT),
    )


def parse_nest(values: Any) -> Nest:
    """Returns the specs and bound values of one argument; what is what, the schema says in `$defs/nest`."""
    if isinstance(values, (list, tuple)):
        return tuple(parse_nest(value) for value in values)
    if {"dtype", "shape", "kind"} & set(values):
        return _spec(values)
    if {"value"} & set(values):
        return Value(values["value"])
    return {name: parse_nest(value) for name, value in values.items()}


def _spec(values: Mapping[str, Any]) -> Spec:
    shape = values["shape"]
    return Spec(**{**values, "shape": None if shape is None else tuple(shape)})


Examples = Mapping[str, Sequence[Mapping[str, Mapping[str, Any]]]]
_PARTS = ("inputs", "outputs")


def example_contents(examples: Examples) -> Iterator[tuple[KeyPath, Mapping[str, Any]]]:
    """Yields every `{file: ...}` and `{b64: ...}` of `verify.examples`, with its key path.

    A path is `("verify", "examples", signature, number, part, name)`, then indices of lists.
    """
    for key, cases in examples.items():
        for number, part in itertools.product(range(len(cases)), _PARTS):
            for name, value in cases[number].get(part, {}).items():
                yield from _contents(
                    value, ("verify", "examples", key, number, part, name)
                )


def _contents(value: Any, path: KeyPath) -> Iterator[tuple[KeyPath, Mapping[str, Any]]]:
    if isinstance(value, Mapping):
        yield path, value
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _contents(item, (*path, index))


def leaves(nest: Nest, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Spec]]:
    """Yields every spec of a nest with its key path in it; bound values make no input and are passed over."""
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
    """Yields key path, name and spec of every input; the name is None where a leaf of a nest has none."""
    for argument, nest in inputs.items():
        for path, spec in leaves(nest):
            default = None if path else argument
            yield (
                (argument, *path),
                spec.name if spec.name is not None else default,
                spec,
            )


def parts(name: str, spec: Spec) -> dict[str, Spec]:
    """Returns the dense tensors that a tensor is sent as, in TensorFlow's order and with its numbering.

    A ragged tensor is its flat values and the row splits of each ragged dimension, the outermost first; a sparse one
    its indices, values and dense shape.
    """
    shape = spec.shape
    if spec.kind == "ragged" and shape is not None:
        splits = Spec(
            (None if not isinstance(shape[0], int) else shape[0] + 1,),
            spec.row_splits_dtype,
        )
        inner = [Spec((None,), spec.row_splits_dtype)] * (spec.ragged_rank - 1)
        dense = [
            Spec((None, *shape[spec.ragged_rank + 1 :]), spec.dtype),
            splits,
            *inner,
        ]
    elif spec.kind == "sparse":
        rank = None if shape is None else len(shape)
        dense = [
            Spec((None, rank), "int64"),
            Spec((None,), spec.dtype),
            Spec((rank,), "int64"),
        ]
    else:
        dense = [spec]
    return {
        f"{name}_{index}" if index else name: part for index, part in enumerate(dense)
    }
