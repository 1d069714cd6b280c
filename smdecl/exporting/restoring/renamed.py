"""Explains variables without a value by an attribute that was renamed after training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from smdecl.errors import closest
from smdecl.exporting.live_objects.tensors import is_variable
from smdecl.exporting.restoring.checkpoint_graph import Contents, Place, Value

# `tf.train.Checkpoint` counts its saves in a variable of this name.
_COUNTER = "save_counter"


def explanations(
    contents: Contents, node: int, values: Sequence[Value]
) -> dict[Place, str]:
    """Returns an explanation for the place of each variable that was probably renamed.

    A checkpoint has values by the names of attributes. A variable was probably renamed if the
    checkpoint has a value of its shape that belongs to no variable, and whose place differs in one
    name.

    Args:
        contents: The checkpoint.
        node: The node of the object.
        values: The variables and other states of the object.
    """
    used = {key for value in values for key in value.keys}
    unused = {
        place: shape
        for place, (key, shape) in contents.variables(node).items()
        if key not in used and place[-1:] != (_COUNTER,)
    }
    found = {}
    for value in values:
        if value.keys or not is_variable(value.item):
            continue
        similar = _similar(value, unused)
        if similar:
            own, saved = "/".join(value.place), _nearest(value, similar)
            found[value.place] = (
                f": {own!r} is not in the checkpoint, but {saved!r} of the same shape is;"
                " the attribute may have been renamed after training"
            )
    return found


def _similar(
    value: Value, unused: Mapping[Place, tuple[int, ...]]
) -> list[Place]:
    """Returns the places of the values that a variable without one may have had."""
    shape = tuple(value.item.shape)
    return [
        place
        for place, other in sorted(unused.items())
        if other == shape and _differ_once(value.place, place)
    ]


def _differ_once(place: Place, other: Place) -> bool:
    if len(place) != len(other):
        return False
    pairs = zip(place, other, strict=True)
    return sum(mine != theirs for mine, theirs in pairs) == 1


def _nearest(value: Value, places: Sequence[Place]) -> str:
    names = ["/".join(place) for place in places]
    return closest("/".join(value.place), names) or names[0]
