"""Stage 8, publish: compares, signs and publishes a verified release, as its config asks."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from smdecl.config.settings import ExportConfig
from smdecl.errors import Problem, disk_errors
from smdecl.pipeline import guarantees, sweep_jobs, unchanged
from smdecl.pipeline.clock import Clock
from smdecl.pipeline.making import Unpublished
from smdecl.release import manifest, signing
from smdecl.release.early_sync import EarlySync
from smdecl.release.publisher import Published, Publisher

Review: TypeAlias = Callable[
    [Unpublished, ExportConfig, Publisher], Published | None
]
"""Returns the published release that a verified one equals; None to publish it."""


def publish(
    unpublished: Unpublished,
    config: ExportConfig,
    publisher: Publisher,
    review: Review,
    stage: Path,
    clock: Clock,
    syncing: EarlySync,
) -> tuple[Published, tuple[Problem, ...]]:
    """Publishes a verified release, unless a review finds it published.

    Returns:
        The published release, and warnings about the one that it was compared with.

    Raises:
        SmdeclError: Its class tells what failed; nothing is published then.
    """
    same = _find_same(unpublished, config, publisher, review, clock)
    if same is not None:
        return same, ()
    warnings = tuple(unchanged.damage(unpublished, config, publisher))
    if config.publish.compatible:
        with clock.stage("compatible"):
            newest = publisher.newest(stage)
            guarantees.require_compatible(unpublished.made, newest)
    if config.publish.sign is not None:
        with clock.stage("sign"):
            _sign(unpublished, Path(config.publish.sign), stage)
    sweep_jobs.end_turn()
    with clock.stage("publish"):
        with disk_errors(stage):
            syncing.finish()
        published = publisher.publish(
            unpublished.directory,
            unpublished.seal.require,
            # Again, because a different publisher may have been faster.
            functools.partial(review, unpublished, config, publisher),
        )
    return published, warnings


def _find_same(
    unpublished: Unpublished,
    config: ExportConfig,
    publisher: Publisher,
    review: Review,
    clock: Clock,
) -> Published | None:
    """Returns what a review finds, and measures it if `publish.unchanged` asks for it."""
    if config.publish.unchanged != "skip":
        return review(unpublished, config, publisher)
    with clock.stage("compare"):
        return review(unpublished, config, publisher)


def _sign(unpublished: Unpublished, key: Path, stage: Path) -> None:
    unpublished.seal.require()
    with disk_errors(stage):
        manifest.attest(unpublished.directory, unpublished.seal.manifest)
        signing.sign(unpublished.directory, key)
