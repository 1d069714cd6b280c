"""Runs the variants of a sweep in threads of this process, each export in its own processes."""

from __future__ import annotations

import contextvars
import functools
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from smdecl import progress
from smdecl.config import compose
from smdecl.config.project import Project
from smdecl.config.settings import Composition
from smdecl.errors import ConfigError
from smdecl.isolation import groups
from smdecl.isolation.groups import Group
from smdecl.pipeline import export
from smdecl.pipeline.children import children
from smdecl.pipeline.shared_loaders import SharedLoaders
from smdecl.pipeline.sweep_jobs import Jobs
from smdecl.pipeline.sweeping import sweep_overrides, sweep_resume, variants
from smdecl.pipeline.sweeping.announcing import Announcing
from smdecl.pipeline.sweeping.sweep_places import Places
from smdecl.pipeline.sweeping.sweep_resume import Target
from smdecl.pipeline.sweeping.sweep_summary import Summary
from smdecl.pipeline.sweeping.variants import (
    Announce,
    Make,
    Note,
    Request,
    Variant,
)


def compose_one(
    overrides: Sequence[str], request: Request, job: compose.Job
) -> Composition:
    """Composes a variant.

    Raises:
        ConfigError: With every override and interpolation that Hydra refuses.
    """
    return compose.compose(
        overrides,
        directories=request.config_dir,
        config_name=request.config_name,
        job=job,
    )


def subdirectory(composition: Composition) -> str:
    """Returns the directory of a variant below its export_dir."""
    name = composition.hydra["job"]["override_dirname"]
    return sweep_overrides.subdirectory(name)


def new_cache() -> dict[str, Any]:
    """Returns an empty cache for `compose.Job`: what all variants of one sweep share."""
    return defaultdict(dict)


@dataclass(frozen=True)
class Prepared:
    """A variant that is ready to run.

    Attributes:
        directory: The directory of its record.
        make: Makes its release.
        target: What it exports, and where to; None if its config is refused.
    """

    directory: Path
    make: Make
    target: Target | None = None

    def export_one(
        self, number: int, overrides: Sequence[str]
    ) -> Callable[[], Variant]:
        """Returns the function that exports it and writes its record."""
        return functools.partial(
            variants.export, number, overrides, self.directory, self.make
        )


@dataclass(frozen=True)
class Threads:
    """A sweep in threads of this process.

    Attributes:
        directory: The directory of the records.
        hydra: The overrides of Hydra's own settings.
        request: The sweep to run.
        project: The project whose code the config may name.
        announce: Prints the outcome of a variant.
        note: Prints a remark about the sweep.
        cache: What the compositions of all variants share.
        loaders: The processes that verify the variants.
    """

    directory: Path
    hydra: Sequence[str]
    request: Request
    project: Project
    announce: Announce
    note: Note
    cache: dict[str, Any] = field(default_factory=new_cache)
    loaders: SharedLoaders = field(default_factory=SharedLoaders)

    def prepare(
        self, swept: Sequence[Sequence[str]], places: Places
    ) -> list[Prepared]:
        """Composes every variant, in this thread, because Hydra composes one config at a time.

        Raises:
            ConfigError: If a record would be outside the places where the sweep may write.
        """
        prepared = []
        for number, overrides in enumerate(swept):
            ready = self._prepare(number, overrides, places)
            places.require_subdir(self.directory, ready.directory)
            places.take(ready.directory, overrides)
            prepared.append(ready)
        return prepared

    def run(
        self,
        swept: Sequence[Sequence[str]],
        prepared: Sequence[Prepared],
        skipped: Mapping[int, Variant],
        summary: Summary,
    ) -> None:
        """Exports every variant, and adds each outcome to the summary.

        An exception such as an interrupt ends all variants. The summary then also has those that
        were published by then.

        Args:
            swept: The overrides of each variant.
            prepared: The variants.
            skipped: The outcomes of those that are not exported.
            summary: Gets the outcomes.
        """
        left = [each for n, each in enumerate(swept) if n not in skipped]
        progress.planned(left)
        group = groups.Group()
        jobs = Jobs(len(left), self.request.jobs, group, self.note)
        # As many again may publish meanwhile.
        pool = ThreadPoolExecutor(2 * jobs.most)
        pending: list[Future[Variant]] = []
        announcing = Announcing(pending, self.announce, summary.record)
        try:
            for number, overrides in enumerate(swept):
                ended = skipped.get(number)
                ready = prepared[number]
                export_one = ready.export_one(number, overrides)
                if ended is None and ready.target is None:
                    # Its error is known, so it is reported before the others run.
                    ended = export_one()
                if ended is not None:
                    pending.append(_ended(ended))
                    continue
                run = contextvars.copy_context().run
                turn = jobs.turn()
                pending.append(pool.submit(run, _run, export_one, group, turn))
            for variant in announcing.outcomes():
                summary.add(variant)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            children.abandon(group)
            pool.shutdown()
            for variant in announcing.rest():
                summary.add(variant)
            raise
        finally:
            pool.shutdown()
            self.loaders.close()

    def _prepare(
        self, number: int, overrides: Sequence[str], places: Places
    ) -> Prepared:
        """Composes a variant, and reserves the place of its release."""
        unfit = self.directory / str(number)
        job = compose.Job(number, self.cache)
        try:
            composition = compose_one(
                [*overrides, *self.hydra], self.request, job
            )
            name = subdirectory(composition)
            places.take_base(composition, name, overrides)
        except ConfigError as error:
            return Prepared(unfit, variants.failing(error))
        except Exception as error:  # a bug must not end the other variants
            return Prepared(unfit, variants.failing(variants.bug(error)))
        review = sweep_resume.review_of(self.request)
        make = functools.partial(
            export.export,
            composition,
            self.project,
            name,
            review,
            self.loaders,
        )
        directory = Path(composition.hydra["runtime"]["output_dir"])
        target = Target.of(composition, name)
        return Prepared(directory, make, target)


def _ended(variant: Variant) -> Future[Variant]:
    """Returns the future of a variant that has ended."""
    future: Future[Variant] = Future()
    future.set_result(variant)
    return future


def _run(
    export_one: Callable[[], Variant],
    group: Group,
    turn: AbstractContextManager[None],
) -> Variant:
    """Waits for the turn of a variant, and exports it."""
    groups.join(group)
    with turn:
        return export_one()
