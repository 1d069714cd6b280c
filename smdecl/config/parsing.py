"""Parses plain config values that passed the schema into records."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from smdecl.config.settings import (
    Audit,
    Devices,
    ExportConfig,
    Nest,
    Publish,
    Signature,
    Spec,
    Value,
    Verify,
    Weights,
)
from smdecl.config.types import Values
from smdecl.names import PREDICT

_SPEC_KEYS = {"dtype", "shape", "kind"}


def parse(values: Values) -> ExportConfig:
    """Returns the record of a config that is valid by its schema."""
    signatures = {}
    for key, signature in sorted(values["signatures"].items()):
        signatures[key] = parse_signature(signature)
    return ExportConfig(
        name=values["name"],
        model=values["model"],
        weights=_weights(values["weights"]),
        signatures=signatures,
        devices=_devices(values["devices"]),
        options=values["options"],
        audit=_audit(values["audit"]),
        verify=parse_verify(values["verify"]),
        publish=Publish(**values["publish"]),
        export_dir=values["export_dir"],
        seed=values["seed"],
        sha256=values["sha256"],
        functions=values.get("functions", {}),
    )


def parse_verify(values: Values) -> Verify:
    """Returns the record of a valid verify group."""
    return Verify(**{**values, "loaders": tuple(values["loaders"])})


def parse_signature(values: Values) -> Signature:
    """Returns the record of a valid signature."""
    return Signature(
        method=values.get("method", "__call__"),
        inputs=_inputs(values.get("inputs")),
        outputs=_outputs(values.get("outputs")),
        method_name=values.get("method_name", PREDICT),
    )


def _inputs(values: Values | None) -> dict[str, Nest] | None:
    if values is None:
        return None
    return {name: _nest(nest) for name, nest in values.items()}


def _outputs(values: Values | None) -> dict[str, Spec] | None:
    if values is None:
        return None
    return {name: _spec(spec) for name, spec in values.items()}


def _nest(values: Values | list[Any]) -> Nest:
    """Returns the specs and bound values of an argument, by `$defs/nest` of the schema."""
    if isinstance(values, (list, tuple)):
        return tuple(_nest(value) for value in values)
    if _SPEC_KEYS & set(values):
        return _spec(values)
    if "value" in values:
        return Value(values["value"])
    return {name: _nest(value) for name, value in values.items()}


def _spec(values: Values) -> Spec:
    shape = values["shape"]
    dims = None if shape is None else tuple(shape)
    return Spec(**{**values, "shape": dims})


def _weights(values: Values | None) -> Weights | None:
    return Weights(**values) if values else None


def _devices(values: Values) -> Devices:
    visible = values["visible"]
    return Devices(
        build=values["build"],
        trace=values["trace"],
        visible=None if visible is None else tuple(visible),
        strategy=values["strategy"],
    )


def _audit(values: Values) -> Audit:
    levels = {}
    for rule, value in values.items():
        level = value["level"] if isinstance(value, Mapping) else value
        # YAML reads an unquoted off as false.
        levels[rule] = "off" if level is False else level
    return Audit(levels, values["consumer"]["tensorflow"])
