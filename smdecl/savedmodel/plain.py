"""Converts records to JSON values."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

from smdecl.savedmodel.records import OPTIONAL

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def plain(value: object) -> Any:
    """Returns a record as JSON values: records as mappings, tuples as lists.

    Optional fields that are None are left out.
    """
    if is_dataclass(value) and not isinstance(value, type):
        return _fields(value)
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def _fields(record: DataclassInstance) -> dict[str, Any]:
    found = {}
    for field in fields(record):
        value = getattr(record, field.name)
        if value is not None or field.metadata != OPTIONAL:
            found[field.name] = plain(value)
    return found
