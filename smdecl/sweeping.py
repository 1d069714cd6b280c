"""Runs a sweep: every variant an export of its own, several at a time; one that fails stops no other."""

from __future__ import annotations

import argparse
import functools
import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from smdecl import composing, config_dirs, hydra_app, isolating, launching, pipeline, variants
from smdecl.errors import ConfigError
from smdecl.trust import Project
from smdecl.variants import Variant

_HYDRAS = "hydra._internal.core_plugins."


def sweep(arguments: argparse.Namespace, project: Project) -> int:
    """Runs every variant, prints the paths of the releases and a table, and returns the highest exit code.

    Raises:
        ConfigError: Where the overrides make no sweep.
    """
    config_dirs.use(arguments.config_dir)
    swept = variants.expand(arguments.overrides)
    hydra = variants.hydra_overrides(arguments.overrides)
    (settings,) = hydra_app.refuse_settings([[*swept[0], *hydra]], arguments, project)
    directory = composing.sweep_dir([*swept[0], *hydra], config_name=arguments.config_name)
    hydra.append(f"hydra.sweep.dir={directory}")
    if _is_plain(settings):
        results = _Sweep(directory, hydra, arguments, project).run(swept)
    else:
        launching.launch(swept, directory, hydra, arguments, project)
        results = variants.read(directory)
    variants.write(directory / "sweep.json", [asdict(variant) for variant in results])
    _print_table(results, directory)
    return max((variant.exit_code for variant in results), default=0)


def _is_plain(settings: Mapping[str, Any]) -> bool:
    """Returns whether Hydra's launcher would do nothing but run one variant after the other, in this process."""
    parts = [(settings.get(part) or {}).get("_target_", _HYDRAS) for part in ("launcher", "sweeper")]
    return settings.get("output_subdir") is None and all(part.startswith(_HYDRAS) for part in parts)


@dataclass(frozen=True)
class _Sweep:
    directory: Path
    hydra: Sequence[str]
    arguments: argparse.Namespace
    project: Project
    cache: dict[str, Any] = field(default_factory=lambda: defaultdict(dict))

    def run(self, swept: Sequence[Sequence[str]]) -> list[Variant]:
        """Exports every variant; tells of them in their order, whichever is done first."""
        with _pool(self.arguments.jobs) as pool:
            outcomes = [
                pool.submit(variants.export, number, overrides, *self._compose(number, overrides))
                for number, overrides in enumerate(swept)
            ]
            return [variants.tell(outcome.result()) for outcome in outcomes]

    def _compose(self, number: int, overrides: Sequence[str]) -> tuple[Path, Callable[[], pipeline.Release]]:
        """Returns the directory for the record of a variant, and what makes its release or raises what is wrong."""
        try:
            composition = composing.compose(
                [*overrides, *self.hydra],
                directories=self.arguments.config_dir,
                config_name=self.arguments.config_name,
                job=composing.Job(number, self.cache),
            )
        except ConfigError as error:
            return self.directory / str(number), variants.failing(error)
        name = variants.subdirectory(composition.hydra["job"]["override_dirname"])
        make = functools.partial(pipeline.export, composition, self.project, name)
        return Path(composition.hydra["runtime"]["output_dir"]), make


@contextmanager
def _pool(jobs: int | None) -> Iterator[ThreadPoolExecutor]:
    """Yields threads that each wait for the processes of one export; what ends this one ends all of them."""
    pool = ThreadPoolExecutor(jobs or len(os.sched_getaffinity(0)))
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        isolating.abandon()
        raise
    finally:
        pool.shutdown()


def _print_table(results: Sequence[Variant], directory: Path) -> None:
    console = Console(stderr=True)
    console.width = max(console.width, 120)
    table = Table("variant", "exit", "seconds", "release", title=f"{directory}/sweep.json", title_justify="left")
    shared = set.intersection(*(set(variant.overrides) for variant in results)) if len(results) > 1 else set()
    for variant in results:
        own = " ".join(override for override in variant.overrides if override not in shared)
        style = "" if variant.exit_code == 0 else "red"
        outcome = variant.path or variant.errors[0]
        table.add_row(own, str(variant.exit_code), f"{variant.seconds:.1f}", outcome, style=style)
    console.print(table)
