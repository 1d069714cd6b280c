"""Decides which changes of a SavedModel break its callers, and which only add to its API."""

from __future__ import annotations

from collections.abc import Iterator

from smdecl.savedmodel.comparing import (
    compatible_functions,
    compatible_signatures,
)
from smdecl.savedmodel.records import BREAKING, Change, SavedModelRecord


def changes(old: SavedModelRecord, new: SavedModelRecord) -> Iterator[Change]:
    """Yields the changes that callers of the signatures or of the restored functions can notice.

    Raises:
        ContractError: If the functions have too many traces to compare.
    """
    if old.tags != new.tags:
        message = (
            f"changed from {', '.join(old.tags)} to {', '.join(new.tags)}"
        )
        yield Change("tags", "", message, BREAKING)
    yield from compatible_signatures.changes(old.signatures, new.signatures)
    yield from compatible_functions.changes(old.functions, new.functions)
