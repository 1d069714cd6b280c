"""Runs a sweep: every variant an export of its own, through Hydra's launcher; one that fails stops no other."""

from __future__ import annotations

import argparse
import json
import time
import urllib.parse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException, OverrideParseException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException
from rich.console import Console
from rich.table import Table

from smdecl import composing, config_dirs, explaining, hydra_app, pipeline, reporting
from smdecl.errors import ConfigError, Origin, Problem, SmdeclError
from smdecl.trust import Project

_RESULT = "result.json"


@dataclass(frozen=True)
class Variant:
    """What became of one variant of a sweep.

    Attributes:
        number: Its place in the sweep.
        overrides: That make it.
        exit_code: As of an export on its own.
        path: Of its release; None where it failed.
        digest: Of its release; None where it failed.
        errors: Each as the command line prints it.
        seconds: Wall time.
    """

    number: int
    overrides: tuple[str, ...]
    exit_code: int
    path: str | None
    digest: str | None
    errors: tuple[str, ...]
    seconds: float


def sweep(arguments: argparse.Namespace, project: Project) -> int:
    """Runs every variant, prints the paths of the releases and a table, and returns the highest exit code.

    Raises:
        ConfigError: Where the overrides make no sweep.
    """
    config_dirs.use(arguments.config_dir)
    variants, swept = _expand(arguments.overrides)
    hydra = _hydra_overrides(arguments.overrides)
    hydra_app.refuse_settings([[*variant, *hydra] for variant in variants], arguments, project)
    directory = composing.sweep_dir([*variants[0], *hydra], config_name=arguments.config_name)
    fixed = [*_names_of_fixed(arguments.overrides, swept), f"hydra.sweep.dir={directory}"]
    flags = ["--multirun", "--config-name", arguments.config_name]
    try:
        hydra_app.run([*flags, *arguments.overrides, *fixed], _job(project))
    except (HydraException, OmegaConfBaseException):
        # Hydra composes all variants before it launches one, and gives up at the first that it cannot compose.
        for number, overrides in enumerate(variants):
            if _composes(number, overrides, directory, arguments):
                place = [*overrides, *hydra, *fixed, f"hydra.sweep.subdir={number}"]
                _run_alone([*flags, *place], _job(project, number))
    results = sorted(_results(directory), key=lambda variant: variant.number)
    _write(directory / "sweep.json", [asdict(variant) for variant in results])
    _print_table(results, directory)
    return max((variant.exit_code for variant in results), default=0)


def _run_alone(argv: Sequence[str], job: Callable[[DictConfig], None]) -> None:
    try:
        hydra_app.run(argv, job)
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(str(error).partition("\n")[0]) from error


def _expand(overrides: Sequence[str]) -> tuple[list[list[str]], set[str]]:
    """Returns the overrides of each variant, as Hydra's own sweeper makes them, and the keys that are swept."""
    with config_dirs.session():
        loader = GlobalHydra.instance().config_loader()
        try:
            parsed = OverridesParser.create(config_loader=loader).parse_overrides(list(overrides))
        except OverrideParseException as error:
            problem = Problem((), f"is no override: {error.override!r}", Origin(override=str(error.override)))
            raise ConfigError(problem) from error
        except ValueError as error:
            raise ConfigError(explaining.require_read(overrides)) from error
        return _expand_within(parsed)


def _expand_within(parsed: Sequence[Override]) -> tuple[list[list[str]], set[str]]:
    own = [override for override in parsed if not override.is_hydra_override()]
    try:
        variants = BasicSweeper.split_arguments(own, None)[0]
    except HydraException as error:
        raise ConfigError(str(error)) from error
    return variants, {override.get_key_element() for override in own if override.is_sweep_override()}


def _hydra_overrides(overrides: Sequence[str]) -> list[str]:
    parsed = OverridesParser.create().parse_overrides(list(overrides))
    return [str(override.input_line) for override in parsed if override.is_hydra_override()]


def _names_of_fixed(overrides: Sequence[str], swept: set[str]) -> list[str]:
    """Returns Hydra's override that leaves out of a variant's name what is the same for all."""
    parsed = OverridesParser.create().parse_overrides(list(overrides))
    same = [o.get_key_element() for o in parsed if not o.is_hydra_override() and o.get_key_element() not in swept]
    return [f"hydra.job.config.override_dirname.exclude_keys=[{','.join(map(repr, same))}]"] if same else []


def _job(project: Project, number: int | None = None) -> Callable[[DictConfig], None]:
    """Returns the task that Hydra's launcher runs for each variant, maybe in another process."""

    def job(config: DictConfig) -> None:
        hydra = HydraConfig.get()
        place = hydra.job.num if number is None else number
        export = _exporter(config, project, hydra.job.override_dirname)
        _record(Path(hydra.runtime.output_dir), place, list(hydra.overrides.task), export)

    return job


def _exporter(config: DictConfig, project: Project, name: str) -> Callable[[], pipeline.Release]:
    # The variant's name becomes one directory, whatever its values hold; TensorFlow takes * ? [ ] \\ for patterns.
    subdirectory = urllib.parse.quote(name.replace("\\", ""), safe="=,:+@ ()~!$&'")
    return lambda: pipeline.export(composing.from_job(config), project, subdirectory)


def _composes(number: int, overrides: Sequence[str], directory: Path, arguments: argparse.Namespace) -> bool:
    def compose() -> Any:
        return composing.compose(overrides, directories=arguments.config_dir, config_name=arguments.config_name)

    try:
        compose()
    except ConfigError:
        _record(directory / str(number), number, overrides, compose)
        return False
    return True


def _record(directory: Path, number: int, overrides: Sequence[str], export: Callable[[], Any]) -> None:
    """Runs one export and writes down what became of it, where the process that started the sweep finds it."""
    started = time.monotonic()
    exit_code, release = 0, None
    errors: tuple[str, ...] = ()
    try:
        release = export()
        reporting.release(release, " ".join(overrides))
    except SmdeclError as error:
        exit_code, errors = error.exit_code, tuple(str(problem) for problem in error.problems)
        reporting.error(error, " ".join(overrides))
    variant = Variant(
        number=number,
        overrides=tuple(overrides),
        exit_code=exit_code,
        path=str(release.path) if release else None,
        digest=release.digest if release else None,
        errors=errors,
        seconds=round(time.monotonic() - started, 3),
    )
    _write(directory / _RESULT, asdict(variant))


def _write(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def _results(directory: Path) -> Iterator[Variant]:
    for path in directory.rglob(_RESULT):
        yield Variant(**json.loads(path.read_text(encoding="utf-8")))


def _print_table(results: Sequence[Variant], directory: Path) -> None:
    console = Console(stderr=True)
    console.width = max(console.width, 120)
    table = Table("variant", "exit", "seconds", "release", title=f"{directory}/sweep.json", title_justify="left")
    for variant in results:
        style = "" if variant.exit_code == 0 else "red"
        outcome = variant.path or variant.errors[0]
        table.add_row(
            " ".join(variant.overrides), str(variant.exit_code), f"{variant.seconds:.1f}", outcome, style=style
        )
    console.print(table)
