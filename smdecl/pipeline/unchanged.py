"""Recognizes a release that would only repeat the published one that it follows or replaces."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from smdecl.config.settings import ExportConfig
from smdecl.errors import Problem
from smdecl.pipeline.making import Unpublished
from smdecl.release import presence
from smdecl.release.publisher import Published, Publisher


def published(
    made: Unpublished, config: ExportConfig, publisher: Publisher
) -> Published | None:
    """Returns the published release that a verified one would repeat; None to publish it.

    Both have the same digest, and are signed with the same key or not at all. What is published
    must be intact.

    Raises:
        PublishError: If the base path cannot be read.
        VerificationError: If the verified release has changed since.
    """
    current = _current(config, publisher)
    if current is None:
        return None
    if presence.refuse(current.path, made.digest, is_hashed=True):
        return None
    sign = config.publish.sign
    key = None if sign is None else Path(sign)
    if not presence.is_signed_with(current.path, key):
        return None
    made.seal.require()
    return current._replace(is_new=False)


def as_configured(
    made: Unpublished, config: ExportConfig, publisher: Publisher
) -> Published | None:
    """Returns what `published` does if `publish.unchanged` asks for it; else None."""
    if config.publish.unchanged != "skip":
        return None
    return published(made, config, publisher)


def damage(
    made: Unpublished, config: ExportConfig, publisher: Publisher
) -> Iterator[Problem]:
    """Yields why a release is published again, if the published one was changed.

    Raises:
        PublishError: If the base path cannot be read.
    """
    if config.publish.unchanged != "skip":
        return
    current = _current(config, publisher)
    if current is None:
        return
    found = presence.find_refusal(current.path, made.digest, is_hashed=True)
    if found is not None and found.is_damage:
        message = (
            f"publishes again what is not as it was published: {found.reason}"
        )
        yield Problem(("publish", "unchanged"), message)


def _current(config: ExportConfig, publisher: Publisher) -> Published | None:
    """Returns the release to compare with."""
    current = publisher.current()
    if current is None and config.publish.unchanged == "skip":
        # The config sets a version that does not exist yet.
        return publisher.latest()
    return current
