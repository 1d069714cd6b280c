"""Restores the variables in a SavedModel of Keras's `Model.export` or `ExportArchive`.

Such a SavedModel has no layers, only a list of variables in the order of `Model.variables`. Each
has the name that TensorFlow gave it, which need not be unique. Variables are restored if their
order, names and shapes all agree, and if nothing that the list lacks tells two of them apart. For
variables of equal shape and name, numbers aside, that means:

- Their layers are in the graph of one functional or sequential model, which tells their order.
- The numbers in the names of their layers differ, and are in the same order in both models.
- No layer around one of them has a name from the code that only the model knows.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from smdecl.checks.weights.weights_formats import OTHER_ARGUMENTS
from smdecl.errors import ConfigError, Problem
from smdecl.exporting.live_objects import (
    keras_graphs,
    keras_models,
    keras_names,
    objects,
)
from smdecl.exporting.live_objects.tensors import (
    is_variable,
    tensorflow_name,
)
from smdecl.exporting.restoring import matching
from smdecl.exporting.restoring.checkpoint_graph import Contents, Value
from smdecl.exporting.restoring.matching import PATH, name_of
from smdecl.exporting.types import Layer, Model, Variable
from smdecl.savedmodel.object_graph import VARIABLE_LISTS
from smdecl.tensor_texts import Dim, shape_text

_LIST = VARIABLE_LISTS[0]
# The variables that functions use, in no certain order.
_USED = "_all_variables"
_SEED = "/seed_generator_state"
_NUMBER = re.compile(r"_(\d+)(?=/|$)")
_INSTEAD = (
    "Model.export saves no layers, so a value could go to a wrong variable; expected weights of"
    " format keras, from model.save('model.keras')"
)


class _Kind(NamedTuple):
    """What variables have in common that only their order or their layers tell apart.

    Attributes:
        name: The name without the numbers that Keras gives to layers.
        shape: The shape.
    """

    name: str
    shape: str


@dataclass(frozen=True)
class _Pair:
    """A variable of the model, and what the list in the SavedModel has at its position.

    Attributes:
        variable: The variable.
        value: Its value in the SavedModel.
        saved_name: The name of the variable in the SavedModel.
    """

    variable: Variable
    value: Value
    saved_name: str

    @property
    def own_name(self) -> str:
        """The name that TensorFlow gave to the variable of the model."""
        return tensorflow_name(self.variable)

    @property
    def kind(self) -> _Kind:
        """The kind of the variable in the model."""
        return _kind(self.own_name, self.variable.shape)

    @property
    def saved_kind(self) -> _Kind:
        """The kind of the variable in the SavedModel."""
        return _kind(self.saved_name, self.value.shape or ())


def is_archive(contents: Contents) -> bool:
    """Returns whether the root of a checkpoint has the lists that `Model.export` saves."""
    return contents.children().keys() >= {*VARIABLE_LISTS, _USED}


def restore(model: Model, contents: Contents) -> list[Variable]:
    """Restores the variables of a Keras model, and returns them.

    Raises:
        ConfigError: If one of them could get the value of a different one, or the model is not
            built.
    """
    variables = list(filter(is_variable, model.variables))
    nodes = contents.children(contents.children()[_LIST])
    listed = [nodes[name] for name in sorted(nodes, key=int)]
    saved = [node for node in listed if contents.saved_name(node)]
    if len(variables) != len(saved) and not model.built:
        raise matching.unbuilt(model)
    _require(_counts_differ(model, variables, saved), OTHER_ARGUMENTS)
    pairs = []
    for variable, node in zip(variables, saved, strict=True):
        value = contents.variable(name_of(variable), variable, node)
        pairs.append(_Pair(variable, value, contents.saved_name(node)))
    has_other_shapes = any(
        pair.kind.shape != pair.saved_kind.shape for pair in pairs
    )
    likely = OTHER_ARGUMENTS if has_other_shapes else ""
    _require(_variables_differ(pairs), likely)
    _require(_orders_differ(pairs))
    # The order of seeds is that of the layers too. Training does not change what they mean.
    weights = [pair for pair in pairs if not pair.own_name.endswith(_SEED)]
    _require(_exchangeable(model, weights))
    for pair in pairs:
        matching.read(contents.prefix, contents.assign, pair.value)
    return variables


def training_state(model: Model) -> set[int]:
    """Returns the identities of the variables that only training uses; an archive has none."""
    found = {id(each) for each in getattr(model, "metrics_variables", ())}
    for item in objects.tracked(model):
        if keras_models.is_optimizer(item):
            found.update(map(id, objects.tracked(item)))
    return found - {id(each) for each in model.variables}


def _require(reasons: Iterator[str], likely: str = "") -> None:
    """Refuses a SavedModel for reasons.

    Args:
        reasons: The reasons.
        likely: Their likely cause, between the first of them and the hint.

    Raises:
        ConfigError: If there are any.
    """
    hint = f"{likely}; {_INSTEAD}"
    problems = []
    for reason in reasons:
        problems.append(Problem(PATH, f"lists {reason}{hint}"))
        hint = ""
    if problems:
        raise ConfigError(problems)


def _counts_differ(
    model: Model, variables: Sequence[Variable], saved: Sequence[int]
) -> Iterator[str]:
    if len(variables) != len(saved):
        own = f"{type(model).__name__} has {len(variables)}"
        yield f"{len(saved)} variables, {own}"


def _variables_differ(pairs: Sequence[_Pair]) -> Iterator[str]:
    """Yields each variable that has a different name or shape in the SavedModel."""
    for pair in pairs:
        if pair.kind != pair.saved_kind:
            saved = f"{pair.saved_name} {pair.saved_kind.shape}"
            name = pair.own_name
            own = f"{name_of(pair.variable)} {pair.kind.shape}"
            named = "" if own.startswith(name) else f", created as {name}"
            yield f"{saved} where the model has {own}{named}"


def _orders_differ(pairs: Sequence[_Pair]) -> Iterator[str]:
    """Yields where layers are numbered in a different order in the SavedModel.

    Keras numbers layers as the code creates them, so the code differs.
    """
    groups = defaultdict[_Kind, list[_Pair]](list)
    for pair in pairs:
        groups[pair.kind].append(pair)
    for group in groups.values():
        own = [_numbers(pair.own_name) for pair in group]
        saved = [_numbers(pair.saved_name) for pair in group]
        if _ranks(own) != _ranks(saved):
            saved_names = ", ".join(pair.saved_name for pair in group)
            own_names = ", ".join(name_of(pair.variable) for pair in group)
            yield f"{saved_names} in this order where the model has {own_names}"


def _ranks(numbers: Sequence[tuple[int, ...]]) -> list[int]:
    order = sorted(set(numbers))
    return [order.index(each) for each in numbers]


def _exchangeable(model: Model, pairs: Sequence[_Pair]) -> Iterator[str]:
    """Yields the variables that only the code of the model tells apart."""
    found = _equally_named(pairs)
    kinds = {id(pair.variable): pair.kind for pair in pairs}
    lost = _lost_names(model, pairs)
    for layer in model._flatten_layers():
        for kind, variables in _alike(_parts(layer, lost), kinds).items():
            found.setdefault(kind, variables)
    for kind, variables in found.items():
        names = list(dict.fromkeys(map(name_of, variables)))
        any_of = ""
        if len(names) > 1:
            any_of = f", which may be any of {', '.join(names)}"
        yield f"several variables {kind.name} {kind.shape}{any_of}"


def _equally_named(pairs: Sequence[_Pair]) -> dict[_Kind, list[Variable]]:
    """Returns the variables of each kind that have the same name, numbers included."""
    groups = defaultdict[tuple[_Kind, str], list[Variable]](list)
    for pair in pairs:
        groups[pair.kind, pair.own_name].append(pair.variable)
    found: dict[_Kind, list[Variable]] = {}
    for (kind, _), variables in groups.items():
        if len(variables) > 1:
            found.setdefault(kind, variables)
    return found


def _lost_names(
    model: Model, pairs: Sequence[_Pair]
) -> dict[int, tuple[str, ...]]:
    """Returns the names from the code that TensorFlow's name of a variable lacks, by identity.

    They are names of layers around the variable, such as a functional model within a model.
    """
    names = {id(pair.variable): f"/{pair.own_name}/" for pair in pairs}
    lost: dict[int, tuple[str, ...]] = dict.fromkeys(names, ())
    for layer in model._flatten_layers(include_self=False):
        if keras_names.is_automatic(layer):
            continue
        for key in {id(each) for each in layer.variables} & names.keys():
            if f"/{layer.name}/" not in names[key]:
                lost[key] += (layer.name,)
    return lost


def _alike(
    parts: Iterable[Sequence[Variable]], kinds: Mapping[int, _Kind]
) -> dict[_Kind, list[Variable]]:
    """Returns the variables of each kind that are in different parts of a layer."""
    found = defaultdict[_Kind, list[Variable]](list)
    seen: set[int] = set()
    for part in parts:
        first: dict[_Kind, Variable] = {}
        for variable in part:
            key = id(variable)
            if key not in seen and key in kinds:
                first.setdefault(kinds[key], variable)
            seen.add(key)
        for kind, variable in first.items():
            found[kind].append(variable)
    return {
        kind: variables
        for kind, variables in found.items()
        if len(variables) > 1
    }


def _parts(
    layer: Layer, lost: Mapping[int, tuple[str, ...]]
) -> list[list[Variable]]:
    """Returns the variables of a layer in parts; only within a part, their order is certain."""
    ordered = defaultdict[tuple[str, ...], list[Variable]](list)
    for inner in keras_graphs.layers_in_graph(layer):
        for variable in inner.variables:
            ordered[lost.get(id(variable), ())].append(variable)
    parts = list(ordered.values())
    for inner in layer._flatten_layers(recursive=False, include_self=False):
        parts.append(list(inner.variables))
    parts += [[variable] for variable in layer.variables]
    return parts


def _kind(name: str, shape: Sequence[Dim]) -> _Kind:
    return _Kind(_NUMBER.sub("", name), shape_text(shape))


def _numbers(name: str) -> tuple[int, ...]:
    """Returns the number in each part of a name; 0 where it has none."""
    found = []
    for part in name.split("/"):
        match = _NUMBER.search(part)
        number = int(match[1]) if match else 0
        found.append(number)
    return tuple(found)
