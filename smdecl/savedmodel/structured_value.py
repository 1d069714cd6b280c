"""Reads StructuredValues: nests of specs and values, such as the arguments of a saved function."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator

from smdecl.savedmodel.protos import (
    StructuredValue,
    TensorProto,
    TensorShapeProto,
    TensorSpecProto,
    TypeSpecProto,
    dtype_name,
)
from smdecl.savedmodel.records import TYPE, VALUE, Shape, TensorRecord

# Fields of a TensorProto with values as Python has them. Others contain bits, as for float16.
_SINGLE = (
    "float_val",
    "double_val",
    "int_val",
    "int64_val",
    "bool_val",
    "string_val",
)
_LONGEST_TEXT = 1000  # bytes; a longer string is replaced by its digest
_BRACKETS = {
    "tuple_value": ("(", ")"),
    "list_value": ("[", "]"),
    "dict_value": ("{", "}"),
    "named_tuple_value": ("(", ")"),
}
# Composite specs whose state begins with shape and dtype, by TypeSpecProto.TypeSpecClass.
_COMPOSITE = {1: "sparse", 2: "indexed slices", 3: "ragged", 9: "variable"}


def shape(proto: TensorShapeProto) -> Shape:
    """Returns the sizes of a shape; None if its rank is unknown."""
    if proto.unknown_rank:
        return None
    return tuple(None if dim.size < 0 else int(dim.size) for dim in proto.dim)


def constant(tensor: TensorProto) -> str:
    """Returns the value of a TensorProto in text, or a digest if it is long or not a scalar."""
    held = [
        values
        for field, values in tensor.ListFields()
        if field.name in _SINGLE
    ]
    if sum(map(len, held)) == 1 and not tensor.tensor_shape.dim:
        (value,) = itertools.chain.from_iterable(held)
        if not isinstance(value, bytes) or len(value) <= _LONGEST_TEXT:
            return repr(value)
    content = tensor.SerializeToString(deterministic=True)
    return f"sha256 {hashlib.sha256(content).hexdigest()[:12]}"


def leaves(
    value: StructuredValue, place: str
) -> Iterator[tuple[str, TensorRecord]]:
    """Yields the tensors of a nest by place: `x`, `batch.ids`, `2`.

    A leaf that is not a tensor has its value in place of a dtype.
    """
    kind = value.WhichOneof("kind")
    if kind in _BRACKETS:
        for name, item in _items(value):
            yield from leaves(item, _below(place, name))
    elif kind in ("tensor_spec_value", "bounded_tensor_spec_value"):
        yield place, _tensor(getattr(value, kind), place)
    elif kind == "type_spec_value":
        yield from _type_spec(value.type_spec_value, place)
    elif kind is not None:
        yield place, TensorRecord(f"{VALUE}{_value(value, kind)}", None)


def _below(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name


def _tensor(spec: TensorSpecProto, place: str) -> TensorRecord:
    name = None if _is_default_name(spec.name, place) else spec.name
    return TensorRecord(dtype_name(spec.dtype), shape(spec.shape), name=name)


def _value(value: StructuredValue, kind: str) -> str:
    """Returns the value of a leaf that is not a tensor, in text."""
    if kind == "none_value":
        return "None"
    if kind == "tensor_shape_value":
        return str(list(shape(value.tensor_shape_value) or ()))
    return " ".join(str(getattr(value, kind)).split())


def _is_default_name(name: str, place: str) -> bool:
    """Returns whether TensorFlow derived the name of a spec from its place: `x_0` for `x.0`."""
    is_of_varargs = place.isdigit() and name.endswith(f"_{place}")
    return name in ("", place.replace(".", "_")) or is_of_varargs


def _type_spec(
    spec: TypeSpecProto, place: str
) -> Iterator[tuple[str, TensorRecord]]:
    composite = composite_spec(spec)
    if composite is not None:
        yield place, composite
        return
    yield place, TensorRecord(str(spec.type_spec_class_name), None, kind=TYPE)
    yield from leaves(spec.type_state, f"{place}.spec")


def composite_spec(spec: TypeSpecProto) -> TensorRecord | None:
    """Returns a ragged, sparse or similar spec as one tensor; None if it is of any other type."""
    if spec.type_spec_class not in _COMPOSITE:
        return None
    state = spec.type_state.tuple_value.values
    kinds = [value.WhichOneof("kind") for value in state]
    if kinds[:2] != ["tensor_shape_value", "tensor_dtype_value"]:
        return None
    kind = _COMPOSITE[spec.type_spec_class]
    detail = None
    is_partitioned = kinds[2:4] == ["int64_value", "tensor_dtype_value"]
    if kind == "ragged" and is_partitioned:
        splits = dtype_name(state[3].tensor_dtype_value)
        detail = f"ragged rank {state[2].int64_value}, row splits {splits}"
    return TensorRecord(
        dtype_name(state[1].tensor_dtype_value),
        shape(state[0].tensor_shape_value),
        kind=kind,
        detail=detail,
    )


def nests(value: StructuredValue, place: str) -> Iterator[tuple[str, str]]:
    """Yields the place of each nest and its kind."""
    kind = value.WhichOneof("kind")
    if kind not in _BRACKETS:
        return
    items = _items(value)
    label = kind.removesuffix("_value").replace("_", " ")
    if kind == "named_tuple_value":
        names = ", ".join(name for name, _ in items)
        label = f"{label} ({names})"
    yield place, label
    for name, item in items:
        yield from nests(item, _below(place, name))


def text(value: StructuredValue) -> str:
    """Returns a value as Python writes it, if possible."""
    kind = value.WhichOneof("kind")
    if kind in _BRACKETS:
        return _nest_text(value, kind)
    if kind == "tensor_value":
        return f"{dtype_name(value.tensor_value.dtype)} {constant(value.tensor_value)}"
    if kind is None or kind == "none_value":
        return "None"
    held = getattr(value, kind)
    is_message = hasattr(held, "ListFields")
    return " ".join(str(held).split()) if is_message else repr(held)


def _nest_text(nest: StructuredValue, kind: str) -> str:
    first, last = _BRACKETS[kind]
    form = {"dict_value": "{!r}: {}", "named_tuple_value": "{}={}"}.get(
        kind, "{1}"
    )
    items = [form.format(name, text(item)) for name, item in _items(nest)]
    comma = "," if kind == "tuple_value" and len(items) == 1 else ""
    return f"{first}{', '.join(items)}{comma}{last}"


def _items(nest: StructuredValue) -> list[tuple[str, StructuredValue]]:
    """Returns the items of a nest, by name or number."""
    kind = nest.WhichOneof("kind")
    held = getattr(nest, kind)
    if kind == "dict_value":
        return sorted(held.fields.items())
    if kind == "named_tuple_value":
        return [(pair.key, pair.value) for pair in held.values]
    return [(str(index), item) for index, item in enumerate(held.values)]
