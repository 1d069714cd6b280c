"""The overrides of a sweep: the variants that they make, and how variants are named."""

from __future__ import annotations

import math
import urllib.parse
from collections import defaultdict
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import (
    ChoiceSweep,
    Override,
    ParsedElementType,
    QuotedString,
    RangeSweep,
    Transformer,
    ValueType,
)
from hydra.errors import HydraException, OverrideParseException

from smdecl.config import search_path
from smdecl.config.explaining import explain, file_errors, hydra_messages
from smdecl.errors import ConfigError, Origin, Problem

_MOST_VARIANTS = 10_000
_ENDLESS = -1  # the length of an endless range
_MOST_SHOWN = 10**18  # variants; larger numbers are not written out


def expand(overrides: Sequence[str]) -> list[list[str]]:
    """Returns the overrides of each variant, as Hydra's own sweeper makes them.

    Raises:
        ConfigError: If the overrides make no sweep.
    """
    with search_path.session():
        loader = GlobalHydra.instance().config_loader()
        try:
            parser = OverridesParser.create(config_loader=loader)
            parsed = parser.parse_overrides(list(overrides))
        except OverrideParseException as error:
            raise ConfigError(_invalid(parser, overrides)) from error
        except ValueError as error:
            raise ConfigError(explain.long_integer(overrides)) from error
        own = _without_hydra(parsed)
        _require_bounded(own)
        _require_distinct(own)
        try:
            made = BasicSweeper.split_arguments(own, None)[0]
        except HydraException as error:
            raise ConfigError(str(error)) from error
    return [_as_written(variant, own) for variant in made]


def _invalid(
    parser: OverridesParser, overrides: Sequence[str]
) -> list[Problem]:
    """Returns a problem for each override that Hydra cannot parse."""
    problems = []
    for override in overrides:
        try:
            parser.parse_overrides([override])
        except OverrideParseException as error:
            message = hydra_messages.parse_error(error)
            problems.append(Problem((), message, Origin(override=override)))
        except ValueError:
            origin = Origin(override=override)
            problems.append(file_errors.integer_too_long(origin))
    return problems


def _as_written(variant: Sequence[str], own: Sequence[Override]) -> list[str]:
    """Returns the overrides of a variant with its deletions as they were written.

    Hydra makes `~weights=null` of `~weights`, which deletes only what is null.
    """
    written = {}
    for override in own:
        if override.is_delete():
            key = override.get_key_element()
            value = override.get_value_element_as_str()
            written[f"{key}={value}"] = str(override.input_line)
    return [written.get(override, override) for override in variant]


def hydra_overrides(overrides: Sequence[str]) -> list[str]:
    """Returns the overrides of Hydra's own settings."""
    parsed = OverridesParser.create().parse_overrides(list(overrides))
    return [
        str(override.input_line)
        for override in parsed
        if override.is_hydra_override()
    ]


def without_shared(
    overrides: Sequence[str], settings: Mapping[str, Any]
) -> list[str]:
    """Returns an override that keeps out of the variants' names whatever all variants share.

    Args:
        overrides: The overrides of the sweep.
        settings: Hydra's settings, whose own exclusions stay; empty if they are unknown.
    """
    parsed = OverridesParser.create().parse_overrides(list(overrides))
    own = _without_hydra(parsed)
    swept = {
        override.key_or_group
        for override in own
        if override.is_sweep_override()
    }
    shared = []
    for override in own:
        if override.key_or_group not in swept:
            shared.append(override.key_or_group)
    if not shared:
        return []
    excluded: list[object] = []
    if settings:
        excluded += settings["job"]["config"]["override_dirname"][
            "exclude_keys"
        ]
    keys = dict.fromkeys([*map(str, excluded), *shared])
    names = ",".join(map(repr, keys))
    return [f"hydra.job.config.override_dirname.exclude_keys=[{names}]"]


def subdirectory(name: str) -> str:
    """Returns the name of a variant as the name of one directory, whatever its values contain."""
    # TensorFlow reads * ? [ ] \ in a path as patterns.
    return urllib.parse.quote(name.replace("\\", ""), safe="=,:+@ ()~!$&'")


def _without_hydra(parsed: Sequence[Override]) -> list[Override]:
    return [
        override for override in parsed if not override.is_hydra_override()
    ]


def _require_bounded(own: Sequence[Override]) -> None:
    """Raises if the overrides make no variant, or too many; expands none of them."""
    counts = [(override, _count(override)) for override in own]
    empty = [override for override, count in counts if count == 0]
    if empty:
        raise _refusal(
            empty,
            "is an empty sweep; expected a range or a pattern with a value in it",
        )
    endless = [override for override, count in counts if count == _ENDLESS]
    if endless:
        raise _refusal(
            endless,
            "is an endless range; expected finite bounds and a step other than 0",
        )
    variants = math.prod(count for _, count in counts)
    if variants > _MOST_VARIANTS:
        widest, _ = max(counts, key=lambda counted: counted[1])
        shown = (
            str(variants)
            if variants < _MOST_SHOWN
            else f"more than {_MOST_SHOWN}"
        )
        message = f"the sweep has {shown} variants; expected at most {_MOST_VARIANTS}"
        raise _refusal([widest], message)


def _require_distinct(own: Sequence[Override]) -> None:
    """Raises if an override repeats a value, whose variants would share a name and a directory."""
    problems: list[Problem] = []
    for override in own:
        if not override.is_discrete_sweep():
            continue
        written: dict[str, list[str]] = defaultdict(list)
        for element in override.sweep_iterator():
            written[_value(element)].append(Transformer.str(element))
        repeated = [texts[0] for texts in written.values() if texts[1:]]
        if repeated:
            message = (
                f"repeats {', '.join(repeated)}; expected each value once"
            )
            problems += _refusal([override], message).problems
    if problems:
        raise ConfigError(problems)


def _value(element: ParsedElementType) -> str:
    """Returns the same text for all that Hydra reads as one value, with or without quotes."""
    if isinstance(element, QuotedString):
        return repr(element.text)
    if isinstance(element, list):
        return f"[{','.join(map(_value, element))}]"
    if isinstance(element, dict):
        items = [
            f"{_value(key)}:{_value(value)}" for key, value in element.items()
        ]
        return f"{{{','.join(items)}}}"
    return repr(element)


def _refusal(overrides: Sequence[Override], message: str) -> ConfigError:
    problems = []
    for override in overrides:
        origin = Origin(override=override.input_line)
        problems.append(Problem((), message, origin))
    return ConfigError(problems)


def _count(override: Override) -> int:
    """Returns the number of values of an override; 1 if Hydra's sweeper refuses it."""
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
    if swept.step == 0 or not all(map(_is_finite, bounds)):
        return _ENDLESS
    start, stop, step = map(Fraction, bounds)
    return max(0, math.ceil((stop - start) / step))


def _is_finite(bound: float) -> bool:
    # math.isfinite fails on an integer that no float can hold.
    return isinstance(bound, int) or math.isfinite(bound)
