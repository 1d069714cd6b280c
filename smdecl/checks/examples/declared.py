"""Finds the tensors that signatures declare, for rules that compare other keys with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from smdecl.config import parsing, settings
from smdecl.config.settings import Signature, Spec
from smdecl.config.types import Values


def signatures(values: Values) -> Values:
    """Returns the signatures of a config; an empty mapping if they are not one."""
    found = values.get("signatures")
    return found if isinstance(found, dict) else {}


def inputs(values: Values) -> dict[str, dict[str, Spec]]:
    """Returns the inputs of each signature that declares them: signature key to name to spec."""
    return _declared(values, "inputs", _inputs_of)


def outputs(values: Values) -> dict[str, dict[str, Spec]]:
    """Returns the dense outputs of each signature that declares them, as `inputs` does."""
    return _declared(values, "outputs", _outputs_of)


def _declared(
    values: Values,
    part: str,
    tensors: Callable[[Signature], Iterator[tuple[object, Spec]]],
) -> dict[str, dict[str, Spec]]:
    found = {}
    for key, signature in signatures(values).items():
        is_mapping = isinstance(signature, dict)
        if not is_mapping or not isinstance(signature.get(part), dict):
            continue
        try:
            pairs = list(tensors(parsing.parse_signature(signature)))
        except (AttributeError, KeyError, TypeError):
            # The schema reports what is wrong.
            continue
        # It also reports names that are not strings.
        named = [(name, spec) for name, spec in pairs if isinstance(name, str)]
        found[key] = dict(named)
    return found


def _inputs_of(signature: Signature) -> Iterator[tuple[object, Spec]]:
    for _, name, spec in settings.input_names(signature.inputs or {}):
        yield name, spec


def _outputs_of(signature: Signature) -> Iterator[tuple[object, Spec]]:
    for own, spec in (signature.outputs or {}).items():
        yield from settings.parts(spec.name or own, spec).items()
