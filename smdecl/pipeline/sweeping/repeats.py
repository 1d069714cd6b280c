"""Recognizes a release that would only repeat the published one that it follows or replaces."""

from __future__ import annotations

from pathlib import Path

from smdecl.config.settings import ExportConfig
from smdecl.pipeline.making import Unpublished
from smdecl.release import presence
from smdecl.release.publisher import Published, Publisher


def published(
    made: Unpublished, config: ExportConfig, publisher: Publisher
) -> Published | None:
    """Returns the published release that a verified one would repeat; None to publish it.

    Both have the same digest, and are signed with the same key or not at all. What is published
    must be intact.
    """
    current = publisher.current()
    if current is None:
        return None
    if presence.refuse(current.path, made.digest, is_hashed=True):
        return None
    sign = config.publish.sign
    key = None if sign is None else Path(sign)
    if presence.is_signed_with(current.path, key):
        return current
    return None
