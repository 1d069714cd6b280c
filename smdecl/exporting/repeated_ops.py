"""Builds an op of a graph from an earlier one with the same attributes.

For each op that it adds to a graph, TensorFlow derives the attributes from the arguments, in Python
and by the definition of the op. Saving 2,000 variables adds 12,000 ops, of which only 20 differ in
more than their inputs.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass

import tensorflow as tf
from tensorflow.python.eager import context
from tensorflow.python.framework import op_callbacks, ops

from smdecl.exporting.types import Function, PythonValue


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
    """Returns an `_apply_op_helper` that calls TensorFlow's own once for each kind of op."""
    templates: dict[Hashable, _Template | None] = {}
    is_recording = False

    def apply(
        op_type_name: str, name: str | None = None, **keywords: PythonValue
    ) -> tuple[PythonValue, ...]:
        nonlocal is_recording
        graph = ops.get_default_graph()
        kind = _kind(op_type_name, keywords) if _is_simple(graph) else None
        template = None if kind is None else templates.get(kind)
        if template is not None:
            return _repeated(graph, op_type_name, name, keywords, template)
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


def _is_simple(graph: PythonValue) -> bool:
    """Returns True while a function is traced and no callback asks for each op."""
    if context.executing_eagerly() or not graph.building_function:
        return False
    return not op_callbacks.should_invoke_op_callbacks()


# Values of one of these types are equal only if they make the same attribute. 0.0 equals -0.0, and
# a tuple equals one with values of other types.
_COMPARABLE = (str, bytes, bool, int, type(None), tf.DType)


def _kind(
    op_type: str, keywords: Mapping[str, PythonValue]
) -> Hashable | None:
    """Returns what the attributes of an op depend on; None if that cannot be compared."""
    parts: list[Hashable] = [op_type]
    for name, value in keywords.items():
        kind = type(value)
        if isinstance(value, tf.Tensor):
            parts.append((name, tf.Tensor, value.dtype))
        elif kind in _COMPARABLE:
            parts.append((name, kind, value))
        else:
            return None
    return tuple(parts)


def _repeated(
    graph: PythonValue,
    op_type: str,
    name: str | None,
    keywords: Mapping[str, PythonValue],
    template: _Template,
) -> tuple[PythonValue, ...]:
    with ops.name_scope(name or op_type) as scope:
        inputs = [
            ops.convert_to_tensor(keywords[each], name=each)
            for each in template.names
        ]
        op = graph._create_op_internal(
            op_type, inputs, name=scope, **template.given
        )
    is_stateful = template.definition.is_stateful
    return list(template.structure), is_stateful, op, op.outputs


class _Recording:
    """Records the last op of each type that a graph creates."""

    def __init__(self, graph: PythonValue) -> None:
        self._graph = graph
        self._created: dict[str, tuple[int, dict[str, PythonValue]]] = {}

    def __enter__(self) -> _Recording:
        create = self._graph._create_op_internal

        def recorded(
            op_type: str,
            inputs: list[PythonValue],
            *rest: PythonValue,
            **given: PythonValue,
        ) -> PythonValue:
            # Others than `_apply_op_helper` pass the rest by position.
            if not rest:
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
