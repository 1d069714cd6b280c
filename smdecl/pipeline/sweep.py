"""Runs a sweep: every variant an export of its own, several at a time; one that fails stops no other."""

from __future__ import annotations

import functools
import os
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from smdecl.checks import check as checking
from smdecl.config import compose, hydra_app, search_path
from smdecl.config.project import Project
from smdecl.config.settings import Composition
from smdecl.errors import ConfigError, InternalError, Problem, SmdeclError
from smdecl.isolation import groups
from smdecl.pipeline import export, launch, variants
from smdecl.pipeline.children import children
from smdecl.pipeline.variants import Request, Tell, Variant

_HYDRAS = "hydra._internal.core_plugins."
SUMMARY = "sweep.json"


def sweep(
    request: Request, project: Project, tell: Tell = variants.keep
) -> tuple[Path, list[Variant]]:
    """Runs every variant, and writes the records of the sweep.

    Args:
        request: What to run.
        project: Whose code the config may name.
        tell: Prints what became of a variant, in their order; by default nothing is printed.

    Returns:
        The directory of the records, and what became of each variant.

    Raises:
        ConfigError: If the overrides make no sweep.
        PublishError: If its records cannot be written.
    """
    search_path.use(request.config_dir)
    swept = variants.expand(request.overrides)
    hydra = variants.hydra_overrides(request.overrides)
    first, own = hydra_app.refuse_settings(
        [[*swept[0], *hydra], hydra], request.config_name, project
    )
    settings = first or own  # where the first variant cannot be composed
    directory = compose.sweep_dir([*swept[0], *hydra], config_name=request.config_name)
    variants.write(
        directory / SUMMARY, []
    )  # before anything is exported that could not be told of
    hydra += [
        *variants.without_shared(request.overrides, settings),
        f"hydra.sweep.dir={_quoted(directory)}",
    ]
    results: list[Variant] = []
    try:
        if _is_plain(settings):
            _Sweep(directory, hydra, request, project, tell).run(swept, results)
        else:
            launch.launch(swept, directory, hydra, request, project, results, tell)
    finally:  # where it is interrupted, of what was done
        variants.write(directory / SUMMARY, [asdict(variant) for variant in results])
    return directory, results


@dataclass(frozen=True)
class CheckedVariant:
    """What the check of a variant found.

    Attributes:
        overrides: Its own.
        warnings: What may be wrong with it.
        error: What is wrong with it; None if it passed.
    """

    overrides: tuple[str, ...]
    warnings: tuple[Problem, ...] = ()
    error: SmdeclError | None = None


def check(request: Request, project: Project) -> Iterator[CheckedVariant]:
    """Checks every variant, one after the other.

    Raises:
        ConfigError: If the overrides make no sweep.
    """
    search_path.use(request.config_dir)
    hydra = variants.hydra_overrides(request.overrides)
    cache: dict[str, Any] = defaultdict(dict)
    for number, overrides in enumerate(variants.expand(request.overrides)):
        own = tuple(overrides)
        try:
            composition = _compose(
                [*overrides, *hydra], request, compose.Job(number, cache)
            )
            checked = checking.check(composition, project)
        except SmdeclError as error:
            yield CheckedVariant(own, error=error)
        else:
            yield CheckedVariant(
                own, tuple(checking.located_warnings(checked, composition))
            )


def _compose(
    overrides: Sequence[str], request: Request, job: compose.Job
) -> Composition:
    return compose.compose(
        overrides,
        directories=request.config_dir,
        config_name=request.config_name,
        job=job,
    )


def _quoted(path: Path) -> str:
    text = str(path).replace("'", "\\'")
    return f"'{text}'"


def _is_plain(settings: Mapping[str, Any]) -> bool:
    """Returns whether Hydra's launcher would do nothing but run one variant after the other, in this process."""
    parts = (
        [settings[part]["_target_"] for part in ("launcher", "sweeper")]
        if settings
        else []
    )
    return settings.get("output_subdir") is None and all(
        part.startswith(_HYDRAS) for part in parts
    )


@dataclass(frozen=True)
class _Sweep:
    directory: Path
    hydra: Sequence[str]
    request: Request
    project: Project
    tell: Tell
    cache: dict[str, Any] = field(default_factory=lambda: defaultdict(dict))

    def run(self, swept: Sequence[Sequence[str]], results: list[Variant]) -> None:
        """Exports every variant; tells of them in their order, whichever is done first, and notes it in `results`.

        What ends this process ends them all; those that are published by then are told.
        """
        # First of all: while the server is started, the environment of this process is not what it was.
        prepared = [
            self._prepare(number, overrides) for number, overrides in enumerate(swept)
        ]
        group = groups.Group()
        jobs = self.request.jobs or len(os.sched_getaffinity(0))
        pool = ThreadPoolExecutor(jobs, initializer=groups.join, initargs=(group,))
        pending = [
            pool.submit(variants.export, number, overrides, *prepared[number])
            for number, overrides in enumerate(swept)
        ]
        try:
            while pending:
                results.append(self.tell(pending[0].result()))
                del pending[0]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            children.abandon(group)
            pool.shutdown()
            done = [
                one
                for one in pending
                if not one.cancelled() and one.exception() is None
            ]
            results += [self.tell(one.result()) for one in done]
            raise
        finally:
            pool.shutdown()

    def _prepare(
        self, number: int, overrides: Sequence[str]
    ) -> tuple[Path, Callable[[], export.Release]]:
        """Returns the directory for the record of a variant, and what makes its release or raises what is wrong."""
        try:
            composition = _compose(
                [*overrides, *self.hydra], self.request, compose.Job(number, self.cache)
            )
        except ConfigError as error:
            return self.directory / str(number), variants.failing(error)
        except Exception as error:  # a bug, which is to end no other variant
            bug = InternalError(
                f"{type(error).__name__}: {error}", traceback.format_exc()
            )
            return self.directory / str(number), variants.failing(bug)
        name = variants.subdirectory(composition.hydra["job"]["override_dirname"])
        make = functools.partial(export.export, composition, self.project, name)
        return Path(composition.hydra["runtime"]["output_dir"]), make
