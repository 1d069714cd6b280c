"""The variants of a sweep: which there are, and the record of what became of each."""

from __future__ import annotations

import json
import math
import time
import traceback
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import (
    ChoiceSweep,
    Override,
    RangeSweep,
    ValueType,
)
from hydra.errors import HydraException, OverrideParseException

from smdecl.config import explain, search_path
from smdecl.errors import (
    ConfigError,
    InternalError,
    Origin,
    Problem,
    PublishError,
    SmdeclError,
)
from smdecl.isolation.groups import AbandonedError
from smdecl.pipeline import export as pipeline

_RESULT = "result.json"
_MOST_VARIANTS = 10_000
_ENDLESS = -1  # the length of a range that never ends
_UNTOLD = 10**18  # variants; their number is not told beyond


@dataclass(frozen=True)
class Request:
    """A sweep to run.

    Attributes:
        overrides: Of all variants, in Hydra's sweep syntax.
        config_dir: Directories of the user's own configs.
        config_name: The primary config.
        jobs: How many variants run at a time; None is as many as there are cores.
    """

    overrides: Sequence[str]
    config_dir: Sequence[str | Path]
    config_name: str
    jobs: int | None = None


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
        warnings: Each as the command line prints it.
        traceback: The part that is the user's own code, if that is what failed.
    """

    number: int
    overrides: tuple[str, ...]
    exit_code: int
    path: str | None
    digest: str | None
    errors: tuple[str, ...]
    seconds: float
    warnings: tuple[str, ...] = ()
    traceback: str = ""


def expand(overrides: Sequence[str]) -> list[list[str]]:
    """Returns the overrides of each variant, as Hydra's own sweeper makes them.

    Raises:
        ConfigError: Where the overrides make no sweep.
    """
    with search_path.session():
        loader = GlobalHydra.instance().config_loader()
        try:
            parsed = OverridesParser.create(config_loader=loader).parse_overrides(
                list(overrides)
            )
        except OverrideParseException as error:
            problem = Problem(
                (),
                f"is no override: {error.override!r}",
                Origin(override=str(error.override)),
            )
            raise ConfigError(problem) from error
        except ValueError as error:
            raise ConfigError(explain.unparsable(overrides)) from error
        _require_bounded(parsed)
        try:
            return BasicSweeper.split_arguments(_own(parsed), None)[0]
        except HydraException as error:
            raise ConfigError(str(error)) from error


def _require_bounded(parsed: Sequence[Override]) -> None:
    """Raises if the overrides make no variant, or too many; makes none of them."""
    counts = [(override, _count(override)) for override in _own(parsed)]
    if empty := [override for override, count in counts if count == 0]:
        message = (
            "is a sweep over nothing; takes a range or a pattern with something in it"
        )
        raise ConfigError(
            [Problem((), message, _origin(override)) for override in empty]
        )
    if endless := [override for override, count in counts if count == _ENDLESS]:
        message = (
            "is a range without an end; expected finite bounds, and a step other than 0"
        )
        raise ConfigError(
            [Problem((), message, _origin(override)) for override in endless]
        )
    variants = math.prod(count for _, count in counts)
    if variants > _MOST_VARIANTS:
        widest, _ = max(counts, key=lambda counted: counted[1])
        shown = str(variants) if variants < _UNTOLD else f"more than {_UNTOLD}"
        message = f"the sweep has {shown} variants; expected at most {_MOST_VARIANTS}"
        raise ConfigError(Problem((), message, _origin(widest)))


def _origin(override: Override) -> Origin:
    return Origin(override=override.input_line)


def _count(override: Override) -> int:
    """Returns how many values an override takes in turn; 1 for those that Hydra's sweeper refuses."""
    swept = override.value()
    if isinstance(swept, RangeSweep):
        return _length(swept)
    if isinstance(swept, ChoiceSweep):
        return len(swept.list)
    if override.value_type == ValueType.GLOB_CHOICE_SWEEP:
        return sum(1 for _ in override.sweep_iterator())
    return 1


def _length(swept: RangeSweep) -> int:
    bounds = [swept.start or 0, swept.stop or 0, swept.step]
    if swept.step == 0 or not all(
        isinstance(bound, int) or math.isfinite(bound) for bound in bounds
    ):
        return _ENDLESS
    start, stop, step = map(Fraction, bounds)
    return max(0, math.ceil((stop - start) / step))


def hydra_overrides(overrides: Sequence[str]) -> list[str]:
    """Returns the overrides of Hydra's own settings."""
    parsed = OverridesParser.create().parse_overrides(list(overrides))
    return [
        str(override.input_line) for override in parsed if override.is_hydra_override()
    ]


def without_shared(overrides: Sequence[str], settings: Mapping[str, Any]) -> list[str]:
    """Returns the override that leaves out of the variants' names what they share, beside what the settings leave out.

    Args:
        overrides: Of the sweep.
        settings: Of Hydra's own; empty where they are not known.
    """
    parsed = _own(OverridesParser.create().parse_overrides(list(overrides)))
    swept = {
        override.key_or_group for override in parsed if override.is_sweep_override()
    }
    shared = {
        override.key_or_group: None
        for override in parsed
        if override.key_or_group not in swept
    }
    excluded = (
        settings["job"]["config"]["override_dirname"]["exclude_keys"]
        if settings
        else []
    )
    names = ",".join(repr(str(key)) for key in dict.fromkeys([*excluded, *shared]))
    return (
        [f"hydra.job.config.override_dirname.exclude_keys=[{names}]"] if shared else []
    )


def _own(parsed: Sequence[Override]) -> list[Override]:
    return [override for override in parsed if not override.is_hydra_override()]


def subdirectory(name: str) -> str:
    """Returns the one directory that a variant of this name has, whatever its values hold."""
    # TensorFlow takes * ? [ ] \ in a path for patterns.
    return urllib.parse.quote(name.replace("\\", ""), safe="=,:+@ ()~!$&'")


def export(
    number: int,
    overrides: Sequence[str],
    directory: Path,
    make: Callable[[], pipeline.Release],
) -> Variant:
    """Runs one export and writes its record, where the process that started the sweep finds it.

    Raises:
        AbandonedError: If it was ended; nothing is written then.
    """
    started = time.monotonic()
    variant = Variant(number, tuple(overrides), 0, None, None, (), 0.0)
    try:
        variant = _published(variant, make())
    except SmdeclError as error:
        variant = failed(variant, error)
    except AbandonedError:
        raise
    except Exception as error:
        variant = failed(
            variant,
            InternalError(f"{type(error).__name__}: {error}", traceback.format_exc()),
        )
    variant = replace(variant, seconds=round(time.monotonic() - started, 3))
    try:
        write(directory / _RESULT, asdict(variant))
    except PublishError as error:
        variant = failed(variant, error)
    return variant


def failing(error: SmdeclError) -> Callable[[], pipeline.Release]:
    """Returns what raises an error in the place of an export."""

    def make() -> pipeline.Release:
        raise error

    return make


def _published(variant: Variant, release: pipeline.Release) -> Variant:
    warnings = tuple(map(str, release.warnings))
    return replace(
        variant, path=str(release.path), digest=release.digest, warnings=warnings
    )


def failed(variant: Variant, error: SmdeclError) -> Variant:
    """Returns a variant with what made it fail."""
    return replace(
        variant,
        exit_code=error.exit_code,
        errors=tuple(map(str, error.problems)),
        warnings=(*variant.warnings, *map(str, error.warnings)),
        traceback=error.traceback_text,
    )


Tell = Callable[[Variant], Variant]


def keep(variant: Variant) -> Variant:
    """Returns a variant, and prints nothing."""
    return variant


def write(path: Path, value: Any) -> None:
    """Writes a record of a sweep.

    Raises:
        PublishError: Where it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        message = f"{str(path)!r} cannot be written: {error.strerror}; takes another directory"
        raise PublishError(Problem(("hydra", "sweep", "dir"), message)) from error


def read(directory: Path) -> list[Variant]:
    """Returns the records of the variants of a sweep, in their order."""
    found = [
        _parse(path.read_text(encoding="utf-8")) for path in directory.rglob(_RESULT)
    ]
    return sorted(found, key=lambda variant: variant.number)


def _parse(text: str) -> Variant:
    values = json.loads(text)
    lists = {
        key: tuple(value) for key, value in values.items() if isinstance(value, list)
    }
    return Variant(**{**values, **lists})
