"""Builds an op of a graph from an earlier one with the same attributes.

For each op that it adds to a graph, TensorFlow derives the attributes from the arguments, in Python
and by the definition of the op. Saving 2,000 variables adds 16,000 ops, of which only 20 differ in
more than their inputs and their names.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from functools import partial

import tensorflow as tf
from tensorflow.core.framework.attr_value_pb2 import AttrValue
from tensorflow.python.eager import context
from tensorflow.python.framework import op_callbacks, ops

from smdecl.exporting.types import Function, PythonValue, Tensor


@dataclass(frozen=True)
class _Template:
    """What ops of one kind have in common.

    Attributes:
        definition: The definition of the op.
        names: The names of its inputs, each of which is one tensor.
        given: What TensorFlow gave the graph beside the inputs and the name.
        structure: How the outputs are grouped.
    """

    definition: PythonValue
    names: tuple[str, ...]
    given: Mapping[str, PythonValue]
    structure: PythonValue


def from_templates(own: Function) -> Function:
    """Returns an `_apply_op_helper` that calls TensorFlow's own once for each kind of op.

    It is for one thread only.
    """
    templates: dict[Hashable, _Template | None] = {}
    is_recording = False

    def apply(
        op_type_name: str, name: str | None = None, **keywords: PythonValue
    ) -> tuple[PythonValue, ...]:
        nonlocal is_recording
        graph = ops.get_default_graph()
        kind = _kind(op_type_name, keywords) if _is_simple() else None
        template = None if kind is None else templates.get(kind)
        if template is not None:
            inputs = [keywords[each] for each in template.names]
            are_inside = all(map(partial(_is_in, graph), inputs))
            if are_inside:
                return _repeated(graph, name, keywords, template)
            if graph.building_function:
                return _capturing(graph, name, keywords, template)
        # An op may be made for an argument of the op that is recorded.
        if kind is None or kind in templates or is_recording:
            return own(op_type_name, name, **keywords)  # type: ignore[no-any-return]
        is_recording = True
        try:
            with _Recording(graph) as recording:
                result = own(op_type_name, name, **keywords)
        finally:
            is_recording = False
        templates[kind] = recording.template(op_type_name, keywords, result[0])
        return result  # type: ignore[no-any-return]

    return apply


def _is_simple() -> bool:
    """Returns True while a graph is built and no callback asks for each op."""
    if context.executing_eagerly():
        return False
    return not op_callbacks.should_invoke_op_callbacks()


# Values of one of these types are equal only if they make the same attribute. 0.0 equals -0.0, and
# a tuple equals one with values of other types.
_COMPARABLE = (str, bytes, bool, int, type(None), tf.DType)
# Attributes in which each op of a type differs: the texts that name it.
_NAMES = {"VarHandleOp": ("shared_name", "debug_name")}


def _kind(
    op_type: str, keywords: Mapping[str, PythonValue]
) -> Hashable | None:
    """Returns what the attributes of an op depend on; None if that cannot be compared."""
    parts: list[Hashable] = [op_type]
    names = _NAMES.get(op_type, ())
    for name, value in keywords.items():
        kind = type(value)
        if isinstance(value, tf.Tensor):
            parts.append((name, tf.Tensor, value.dtype))
        elif name in names and kind is bytes:
            parts.append((name, kind))
        elif kind in _COMPARABLE:
            parts.append((name, kind, value))
        elif kind is list and all(type(each) is int for each in value):
            parts.append((name, kind, tuple(value)))
        else:
            return None
    return tuple(parts)


def _is_in(graph: PythonValue, tensor: Tensor) -> bool:
    return not isinstance(tensor, ops.EagerTensor) and tensor.graph is graph


def _repeated(
    graph: PythonValue,
    name: str | None,
    keywords: Mapping[str, PythonValue],
    template: _Template,
) -> tuple[PythonValue, ...]:
    """Adds an op whose inputs are in the graph."""
    name = name or template.definition.name
    # No op is made for an input, so nothing is named within this scope.
    scope = name if name.endswith("/") else f"{graph.unique_name(name)}/"
    inputs = [keywords[each] for each in template.names]
    return _added(graph, scope, inputs, keywords, template)


def _capturing(
    graph: PythonValue,
    name: str | None,
    keywords: Mapping[str, PythonValue],
    template: _Template,
) -> tuple[PythonValue, ...]:
    """Adds an op to the graph of a function, and placeholders for inputs from outside."""
    with ops.name_scope(name or template.definition.name) as scope:
        inputs = [
            ops.convert_to_tensor(keywords[each], name=each)
            for each in template.names
        ]
        return _added(graph, scope, inputs, keywords, template)


def _added(
    graph: PythonValue,
    scope: str,
    inputs: list[Tensor],
    keywords: Mapping[str, PythonValue],
    template: _Template,
) -> tuple[PythonValue, ...]:
    definition = template.definition
    attributes = {**template.given["attrs"]}
    for name in _NAMES.get(definition.name, ()):
        if name in attributes:
            attributes[name] = AttrValue(s=keywords[name])
    given = {**template.given, "attrs": attributes}
    op = graph._create_op_internal(
        definition.name, inputs, name=scope, **given
    )
    return list(template.structure), definition.is_stateful, op, op.outputs


class _Recording:
    """Records the last op of each type that a graph creates in this thread."""

    def __init__(self, graph: PythonValue) -> None:
        self._graph = graph
        self._thread = threading.get_ident()
        self._created: dict[str, tuple[int, dict[str, PythonValue]]] = {}

    def __enter__(self) -> _Recording:
        create = self._graph._create_op_internal

        def recorded(
            op_type: str,
            inputs: list[PythonValue],
            *rest: PythonValue,
            **given: PythonValue,
        ) -> PythonValue:
            is_here = threading.get_ident() == self._thread
            # Others than `_apply_op_helper` pass the rest by position.
            if is_here and not rest:
                self._created[op_type] = (len(inputs), given)
            return create(op_type, inputs, *rest, **given)

        self._graph._create_op_internal = recorded
        return self

    def __exit__(self, *_: object) -> None:
        del self._graph._create_op_internal

    def template(
        self,
        op_type: str,
        keywords: Mapping[str, PythonValue],
        structure: PythonValue,
    ) -> _Template | None:
        """Returns the template of the op; None unless each input is one tensor by value."""
        if op_type not in self._created:
            return None
        count, given = self._created[op_type]
        definition = given["op_def"]
        names = tuple(each.name for each in definition.input_arg)
        if len(names) != count:
            return None
        if any(each.is_ref for each in definition.input_arg):
            return None
        if not all(isinstance(keywords[name], tf.Tensor) for name in names):
            return None
        rest = {key: each for key, each in given.items() if key != "name"}
        return _Template(definition, names, rest, structure)
