"""The records that stages hand on; each one's JSON Schema carries its name, and all are plain data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from smdecl.printing import as_line
from smdecl.tensor_texts import tensor_text

# What a Python value has before it that stands in the place of a dtype.
VALUE = "value "
# Of a field that is left out of JSON where it is None: manifests that had none of it stay as they are.
OPTIONAL = {"optional": True}

Shape: TypeAlias = tuple[int | None, ...] | None
# The kind of a leaf that is not known to consist of tensors: its dtype is the name of its class.
TYPE = "type"


@dataclass(frozen=True)
class TensorRecord:
    """Dtype and shape of a tensor: None in a shape is an unknown size, a shape of None an unknown rank.

    Attributes:
        default: The value of an input that a request omits, in text; None where it is required.
        kind: `sparse`, `ragged`, `indexed slices`, `variable`, or `type` for a class that is named
            in place of a dtype; None for a tensor.
        detail: What else distinguishes a composite, such as its ragged rank.
        name: Of the spec, where it is not the one that its place implies; no caller depends on it.
    """

    dtype: str
    shape: Shape
    default: str | None = field(default=None, metadata=OPTIONAL)
    kind: str | None = field(default=None, metadata=OPTIONAL)
    detail: str | None = field(default=None, metadata=OPTIONAL)
    name: str | None = field(default=None, metadata=OPTIONAL, compare=False)

    def __str__(self) -> str:
        if self.kind == TYPE or self.dtype.startswith(VALUE):
            return self.dtype
        notes = [] if self.detail is None else [self.detail]
        if self.default is not None:
            notes.append(f"default {self.default}")
        if self.name is not None:
            notes.append(f"name {self.name}")
        return tensor_text(self.dtype, self.shape, self.kind, notes)


@dataclass(frozen=True)
class VariableRecord:
    """A variable that the object tracks."""

    name: str
    dtype: str
    shape: tuple[int | None, ...] | None


@dataclass(frozen=True)
class SignatureRecord:
    """A signature by the names that a client sends and receives.

    Attributes:
        inputs: Name to tensor.
        outputs: Name to tensor.
        method_name: The API of TensorFlow Serving that it is for; None is that of most, `tensorflow/serving/predict`.
    """

    inputs: dict[str, TensorRecord]
    outputs: dict[str, TensorRecord]
    method_name: str | None = field(default=None, metadata=OPTIONAL, kw_only=True)


@dataclass(frozen=True)
class TraceRecord(SignatureRecord):
    """A way that a restored function can be called, its inputs by their places in its arguments.

    Attributes:
        values: Argument that holds no tensor to the value that it has to have, in text.
        nests: Place of each nest in the arguments to its kind.
        returns: Place of each nest in what is returned to its kind; that of the whole is empty.
    """

    values: dict[str, str]
    nests: dict[str, str]
    returns: dict[str, str]


@dataclass(frozen=True)
class ArgumentsRecord:
    """What a restored function takes, as in the `def` that it was made of.

    Attributes:
        positional: Those that can be given by their place, in order.
        keyword_only: Those that can be given by their name alone, sorted.
        defaults: Argument to the value that it has where it is left out, in text.
    """

    positional: tuple[str, ...]
    keyword_only: tuple[str, ...]
    defaults: dict[str, str]

    def __str__(self) -> str:
        star = ("*",) if self.keyword_only else ()
        names = (*self.positional, *star, *self.keyword_only)
        return ", ".join(
            f"{name}={self.defaults[name]}" if name in self.defaults else name
            for name in names
        )

    @property
    def names(self) -> tuple[str, ...]:
        """All arguments, those that can be given by their place first."""
        return (*self.positional, *self.keyword_only)


@dataclass(frozen=True)
class FunctionRecord:
    """A function that can be called after loading; a concrete one says nothing of its arguments."""

    traces: tuple[TraceRecord, ...]
    arguments: ArgumentsRecord | None


@dataclass(frozen=True)
class CustomOpsRecord:
    """A package or library that registers ops for whoever loads a release.

    Attributes:
        name: A package as it is imported, or a library's path in the project.
        version: Of an installed package.
        sha256: Of a library.
    """

    name: str
    version: str | None = field(default=None, metadata=OPTIONAL)
    sha256: str | None = field(default=None, metadata=OPTIONAL)


@dataclass(frozen=True)
class Finding:
    """Something that an audit rule found in the graph.

    Attributes:
        rule: That found it.
        where: Function and node, or what else the rule is about.
        message: What is wrong with it.
        source: File and line of the user's code that made the node, where that is known.
        provider: The entry of the project's custom_ops that registers the op, if one does.
        layer: Name of the Keras layer that made the node, where that is known.
        more: How many others of its kind there are, and where the first of them are; None where it is the only one.
        most: The level that it has at most, whatever the config says; None leaves it to the config.
    """

    rule: str
    where: str
    message: str
    source: str | None = None
    provider: str | None = field(default=None, metadata=OPTIONAL)
    layer: str | None = field(default=None, metadata=OPTIONAL)
    more: str | None = field(default=None, metadata=OPTIONAL)
    most: str | None = field(default=None, metadata=OPTIONAL)

    @property
    def place(self) -> str:
        """Where the user finds what made it: the layer, or the line of code; empty where neither is known."""
        return f"layer {self.layer!r}" if self.layer else self.source or ""

    def __str__(self) -> str:
        places = [place for place in dict.fromkeys((self.place, self.source)) if place]
        place = f" ({', '.join(places)})" if places else ""
        more = f"; {self.more}" if self.more else ""
        return f"{self.where}: {self.message}{place}{more}"


@dataclass(frozen=True)
class SavedModelRecord:
    """A SavedModel as read back from its bytes (schema: saved_model).

    Attributes:
        tags: Of its MetaGraphDef.
        signatures: Signature key to signature.
        variables: By the object graph.
        functions: Dotted path to function, for every path to one that can be called after loading.
        assets: Basenames of its assets.
        devices: Devices that nodes of the graph and of its functions are pinned to.
        ops: Op to the number of nodes, function bodies included.
        findings: What the audit rules found.
    """

    tags: tuple[str, ...]
    signatures: dict[str, SignatureRecord]
    variables: tuple[VariableRecord, ...]
    functions: dict[str, FunctionRecord]
    assets: tuple[str, ...]
    devices: tuple[str, ...]
    ops: dict[str, int]
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class Change:
    """What is another in one SavedModel than in the one before it.

    Attributes:
        part: Of the release: tags, signatures, functions, devices, ops, nodes, variables, files, config, custom_ops,
            environment, source or inputs.
        where: In that part: a signature's tensor, a node, a variable, a file, a config key, a package.
        message: What was, and what is.
        verdict: For who calls it: breaking, additive, or internal, which no caller sees by the signatures.
    """

    part: str
    where: str
    message: str
    verdict: str = "internal"

    @classmethod
    def of(cls, part: str, where: str, old: str | None, new: str | None) -> Change:
        """Returns the change of what was into what is; None is what is not there."""
        if old is None:
            return cls(part, where, f"is new: {new}")
        return cls(
            part,
            where,
            f"is gone: {old}" if new is None else f"was {old}, and is {new}",
        )

    def __str__(self) -> str:
        return as_line(
            f"{' '.join(filter(None, (self.part, self.where)))}: {self.message}"
        )


@dataclass(frozen=True)
class DiffRecord:
    """How a SavedModel differs from one before it (schema: diff).

    Attributes:
        verdict: Of the signatures and all else that is called: same, additive or breaking.
        advice: The part of a semantic version to raise: none, patch, minor or major.
        changes: All that is another, what breaks a caller first.
    """

    verdict: str
    advice: str
    changes: tuple[Change, ...]


@dataclass(frozen=True)
class StoredRecord:
    """A tensor in the checkpoint of a SavedModel.

    Attributes:
        name: By the path that leads to it from the saved object, such as `layers/0/kernel`.
        dtype: The canonical name.
        shape: Its sizes.
        size: In bytes.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    size: int


@dataclass(frozen=True)
class ReleaseRecord:
    """What the manifest of a release says of it."""

    name: str
    digest: str
    smdecl: str
    commit: str | None


@dataclass(frozen=True)
class TensorNamesRecord:
    """The tensors behind a signature, such as `x:0`, by the names that a client uses."""

    inputs: dict[str, str]
    outputs: dict[str, str]


@dataclass(frozen=True)
class GraphRecord:
    """What a MetaGraph is.

    Attributes:
        saved_model: As read back from its bytes.
        methods: Signature key to the name of its API, such as `tensorflow/serving/predict`.
        tensors: Signature key to the tensors of its inputs and outputs.
        tensorflow: The version that saved it, as it says; empty where it does not.
        init_op: The op or tensor that a loader runs first; None where there is none.
        train_op: That of a training step; None where there is none.
    """

    saved_model: SavedModelRecord
    methods: dict[str, str]
    tensors: dict[str, TensorNamesRecord]
    tensorflow: str
    init_op: str | None
    train_op: str | None


@dataclass(frozen=True)
class DescriptionRecord(GraphRecord):
    """What a SavedModel is, by its files alone (schema: description), its serving MetaGraph first.

    Attributes:
        other_graphs: Every other MetaGraph.
        stored: What its checkpoint holds.
        files: File to its size in bytes.
        release: None where smdecl has not made it.
        damage: What is missing or cannot be read, so that no loader gets all of it.
    """

    other_graphs: tuple[GraphRecord, ...]
    stored: tuple[StoredRecord, ...]
    files: dict[str, int]
    release: ReleaseRecord | None
    damage: tuple[str, ...]
