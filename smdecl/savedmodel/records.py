"""What a SavedModel holds and how two of them differ, as plain data.

The JSON Schema of a record is in `schemas/`, under the name in the record's docstring.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from smdecl.printing import as_line
from smdecl.tensor_texts import tensor_text

# Prefix of a Python value in the place of a dtype.
VALUE = "value "
# The kind of a leaf that may not consist of tensors: its dtype is the name of its class.
TYPE = "type"
# Metadata of a field that JSON omits if it is None, so that older manifests stay valid.
OPTIONAL = {"optional": True}
# Verdicts on a change. Callers of the signatures do not notice an internal one.
BREAKING = "breaking"
ADDITIVE = "additive"
INTERNAL = "internal"

Shape: TypeAlias = tuple[int | None, ...] | None
"""Sizes, with None for an unknown size; None for an unknown rank."""


@dataclass(frozen=True)
class TensorRecord:
    """A tensor, or a composite of tensors.

    Attributes:
        dtype: The canonical name, such as `float32`.
        shape: The sizes; None for an unknown rank.
        default: The value that an input has if a request omits it, in text; None if it is required.
        kind: `sparse`, `ragged`, `indexed slices` or `variable`; `type` for a class that is named
            in place of a dtype; None for a tensor.
        detail: What else distinguishes a composite, such as its ragged rank.
        name: The name of the spec, if it differs from the one that its place implies. No caller
            depends on it.
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
        notes = []
        if self.detail is not None:
            notes.append(self.detail)
        if self.default is not None:
            notes.append(f"default {self.default}")
        if self.name is not None:
            notes.append(f"name {self.name}")
        return tensor_text(self.dtype, self.shape, self.kind, notes)


@dataclass(frozen=True)
class VariableRecord:
    """A variable that an object tracks."""

    name: str
    dtype: str
    shape: Shape


@dataclass(frozen=True)
class SignatureRecord:
    """A signature, by the names that a client sends and receives.

    Attributes:
        inputs: Name to tensor.
        outputs: Name to tensor.
        method_name: The API of TensorFlow Serving that the signature is for; None stands for
            `tensorflow/serving/predict`.
    """

    inputs: dict[str, TensorRecord]
    outputs: dict[str, TensorRecord]
    method_name: str | None = field(
        default=None, metadata=OPTIONAL, kw_only=True
    )


@dataclass(frozen=True)
class TraceRecord(SignatureRecord):
    """A trace of a restored function. Its inputs are named by their places in the arguments.

    Attributes:
        values: Argument without a tensor to the value that a caller must pass, in text.
        nests: Place of each nest in the arguments to its kind.
        returns: Place of each nest in the result to its kind; the whole result has the empty place.
    """

    values: dict[str, str]
    nests: dict[str, str]
    returns: dict[str, str]

    def __str__(self) -> str:
        """Returns the trace as a call: `(0: float32 [], training: value False) -> float32 []`."""
        nests = dict(self.nests)
        for place, kind in self.returns.items():
            nests[f"return.{place}".rstrip(".")] = kind
        # The places of their items imply tuples and dicts.
        notes = [
            f"{place} a {kind}"
            for place, kind in nests.items()
            if kind not in ("tuple", "dict")
        ]
        hint = f", with {' and '.join(notes)}" if notes else ""
        outputs = _joined(self.outputs) or "nothing"
        return f"({_joined(self.inputs)}) -> {outputs}{hint}"


def _joined(tensors: Mapping[str, TensorRecord]) -> str:
    items = []
    for place, tensor in tensors.items():
        items.append(f"{place}: {tensor}" if place else str(tensor))
    return ", ".join(items)


@dataclass(frozen=True)
class ArgumentsRecord:
    """The arguments of a restored function, as in the `def` that it was made of.

    Attributes:
        positional: The arguments that can be passed by position, in order.
        keyword_only: The arguments that can be passed by name only, sorted.
        defaults: Argument to its default value, in text.
    """

    positional: tuple[str, ...]
    keyword_only: tuple[str, ...]
    defaults: dict[str, str]

    def __str__(self) -> str:
        items = [self._with_default(name) for name in self.positional]
        if self.keyword_only:
            items.append("*")
        items += [self._with_default(name) for name in self.keyword_only]
        return ", ".join(items)

    def _with_default(self, name: str) -> str:
        return (
            f"{name}={self.defaults[name]}" if name in self.defaults else name
        )

    @property
    def names(self) -> tuple[str, ...]:
        """All arguments, the positional ones first."""
        return (*self.positional, *self.keyword_only)


@dataclass(frozen=True)
class FunctionRecord:
    """A function that can be called after loading.

    Attributes:
        traces: The ways in which it can be called.
        arguments: The arguments of its `def`; None for a concrete function.
    """

    traces: tuple[TraceRecord, ...]
    arguments: ArgumentsRecord | None


@dataclass(frozen=True)
class CustomOpsRecord:
    """A package or library that registers custom ops; a process that loads the release needs it.

    Attributes:
        name: The import name of a package, or the path of a library in the project.
        version: The version of an installed package.
        sha256: The digest of a library.
    """

    name: str
    version: str | None = field(default=None, metadata=OPTIONAL)
    sha256: str | None = field(default=None, metadata=OPTIONAL)


@dataclass(frozen=True)
class Finding:
    """Something that an audit rule found in the graph.

    Attributes:
        rule: The rule.
        where: The function and node, or whatever else the rule is about.
        message: What is wrong with it.
        source: The file and line of the user's code that made the node, if known.
        provider: The entry of the project's custom_ops that registers the op, if any.
        layer: The name of the Keras layer that made the node, if known.
        more: How many more findings of this kind there are, and where the first of them are; None
            if this is the only one.
        most: The highest level that it can have, whatever the config says; None leaves it to the
            config.
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
        """The layer, or else the line of code, that made it; empty if neither is known."""
        if self.layer:
            return f"layer {self.layer!r}"
        return self.source or ""

    def __str__(self) -> str:
        places = dict.fromkeys(filter(None, (self.place, self.source)))
        place = f" ({', '.join(places)})" if places else ""
        more = f"; {self.more}" if self.more else ""
        return f"{self.where}: {self.message}{place}{more}"


@dataclass(frozen=True)
class SavedModelRecord:
    """A MetaGraph of a SavedModel, read back from its bytes (schema: saved_model).

    Attributes:
        tags: The tags of the MetaGraph.
        signatures: Signature key to signature.
        variables: The variables in the object graph.
        functions: Dotted path to function, for every path to a function that can be called after
            loading.
        assets: The basenames of the assets.
        devices: The devices that nodes of the graph and of its functions are pinned to.
        ops: Op to the number of its nodes, function bodies included.
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
    """A difference between a SavedModel and its predecessor.

    Attributes:
        part: The part of the release: tags, signatures, functions, devices, ops, nodes, variables,
            files, config, custom_ops, environment, source or inputs.
        where: The place in that part: a tensor of a signature, a node, a variable, a file, a config
            key, a package.
        message: What it was and what it is.
        verdict: What it means for callers: breaking, additive or internal.
    """

    part: str
    where: str
    message: str
    verdict: str = INTERNAL

    @classmethod
    def of(
        cls, part: str, where: str, old: str | None, new: str | None
    ) -> Change:
        """Builds the change from `old` to `new`; None means absent."""
        if old is None:
            return cls(part, where, f"was added: {new}")
        if new is None:
            return cls(part, where, f"was removed: {old}")
        return cls(part, where, f"changed from {old} to {new}")

    def __str__(self) -> str:
        subject = f"{self.part} {self.where}" if self.where else self.part
        return as_line(f"{subject}: {self.message}")


@dataclass(frozen=True)
class DiffRecord:
    """How a SavedModel differs from its predecessor (schema: diff).

    Attributes:
        verdict: What the changes mean for callers: same, additive or breaking.
        advice: The part of a semantic version to raise: none, patch, minor or major.
        changes: All differences, the breaking ones first.
    """

    verdict: str
    advice: str
    changes: tuple[Change, ...]
