"""Finds the line of a file, or the override, that a config value came from."""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import yaml
from hydra._internal.defaults_list import DefaultsList
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.types import RunMode

from smdecl import resources
from smdecl.config import search_path
from smdecl.errors import KeyPath, Origin

_TARGET = "_target_"
_DEFAULT_SIGNATURES = "signatures/scalar_float.yaml"
_UNSELECTED = (
    "; no signatures are selected, so the default scalar_float is used:"
    " write signatures=none or signatures=..."
)


class Place(NamedTuple):
    """A key path that a file or an override sets."""

    path: KeyPath
    origin: Origin


@dataclass(frozen=True)
class Locator:
    """Finds the line or the override that a value came from.

    It reads the config files anew, because only errors need it.

    Attributes:
        config_name: The primary config.
        overrides: Of the composition.
        directories: The user's own configs.
        given: Keys that a program passed as a mapping, which has no lines.
    """

    config_name: str
    overrides: tuple[str, ...]
    directories: tuple[Path, ...]
    given: frozenset[str] = frozenset()

    def __call__(self, path: KeyPath) -> Origin | None:
        """Returns the origin of a key path, or of its longest part that the config has.

        The last file or override that sets a key wins. An override of a key below `path` wins over
        the file with the rest of it; an override of a whole list wins over a file with its items.
        If several overrides set arguments of a target, any of them may be to blame for its failure:
        the origin is that of the target itself.
        """
        if self.given.intersection(path[:1]):
            return None
        if self._index.has_several_arguments(path):
            path = (*path, _TARGET)
        best: Place | None = None
        for place in self._index.candidates(path):
            if _is_better(place, best, path):
                best = place
        return None if best is None else best.origin

    def hint(self, path: KeyPath) -> str:
        """Returns a hint for a problem in the default signatures; empty if they were selected."""
        if path[:1] != ("signatures",) or "signatures" in self.given:
            return ""
        origin = self(path)
        default = search_path.shown(resources.conf_dir() / _DEFAULT_SIGNATURES)
        if origin is None or origin.file != default:
            return ""
        return _UNSELECTED if self._has_default_signatures else ""

    @functools.cached_property
    def _has_default_signatures(self) -> bool:
        """Whether the signatures are those that the built-in primary config selects."""
        search_path.use(self.directories)
        parser = OverridesParser.create()
        parsed = parser.parse_overrides(list(self.overrides))
        with search_path.session():
            primary = search_path.find(self.config_name)
            conf = resources.conf_dir()
            if primary is None or not primary.is_relative_to(conf):
                return False
            choices = [
                override for override in parsed if _chooses_option(override)
            ]
            selected = self._defaults(choices).overrides.override_choices
        return "signatures" not in selected

    @functools.cached_property
    def _index(self) -> _Index:
        return _Index.of(self._places)

    @functools.cached_property
    def _places(self) -> list[Place]:
        """Every key path that a file or an override sets, in the order that Hydra applies them."""
        search_path.use(self.directories)
        parser = OverridesParser.create()
        parsed = parser.parse_overrides(list(self.overrides))
        with search_path.session():
            choices = [
                override for override in parsed if _chooses_option(override)
            ]
            places = list(self._file_places(choices))
        for override in parsed:
            if override not in choices:
                places = _overridden(places, override)
        return places

    def _file_places(self, choices: Sequence[Override]) -> Iterator[Place]:
        for default in self._defaults(choices).defaults:
            file = search_path.find(default.config_path)
            if file is not None:
                yield from lines(file, default.package or "")

    def _defaults(self, choices: Sequence[Override]) -> DefaultsList:
        """Returns all configs that are merged, given the overrides that choose options."""
        loader = GlobalHydra.instance().config_loader()
        written = [str(override.input_line) for override in choices]
        found: DefaultsList = loader.compute_defaults_list(
            self.config_name, written, RunMode.RUN
        )
        return found


@dataclass(frozen=True)
class _Index:
    """Places by key path, because a config may have thousands of places and of problems.

    Attributes:
        places: All places, in the order that Hydra applies them.
        own: The numbers of the places that set a key path itself.
        below: The numbers of the overrides that set something below a key path.
    """

    places: Sequence[Place]
    own: Mapping[KeyPath, Sequence[int]]
    below: Mapping[KeyPath, Sequence[int]]

    @classmethod
    def of(cls, places: Sequence[Place]) -> _Index:
        own: dict[KeyPath, list[int]] = defaultdict(list)
        below: dict[KeyPath, list[int]] = defaultdict(list)
        for number, place in enumerate(places):
            own[place.path].append(number)
            if place.origin.override is not None:
                for length in range(len(place.path)):
                    below[place.path[:length]].append(number)
        return cls(places, own, below)

    def has_several_arguments(self, path: KeyPath) -> bool:
        """Returns whether several overrides set something below the node of a target."""
        if (*path, _TARGET) not in self.own:
            return False
        numbers = self.below.get(path, ())
        return len({self.places[number].origin for number in numbers}) > 1

    def candidates(self, path: KeyPath) -> list[Place]:
        """Returns the places that may be the origin of a key path, in their order."""
        numbers = [*self.below.get(path, ())]
        for length in range(len(path) + 1):
            numbers += self.own.get(path[:length], ())
        return [self.places[number] for number in sorted(numbers)]


def _is_better(place: Place, best: Place | None, path: KeyPath) -> bool:
    """Returns whether a place is a better origin of a key path than the best one before it."""
    is_override = place.origin.override is not None
    if is_override and path and _starts_with(place.path, path):
        return True
    if not _starts_with(path, place.path):
        return False
    below = path[len(place.path) :]
    if is_override and below and isinstance(below[0], int):
        # The override sets the whole list that contains the item.
        return True
    best_length = 0 if best is None else min(len(best.path), len(path))
    return len(place.path) >= best_length


def _starts_with(path: KeyPath, prefix: KeyPath) -> bool:
    return path[: len(prefix)] == prefix


def _chooses_option(override: Override) -> bool:
    if isinstance(override.value(), dict):
        return False
    loader = GlobalHydra.instance().config_loader()
    return bool(
        loader.get_group_options(override.key_or_group, ObjectType.CONFIG)
    )


def _overridden(places: Sequence[Place], override: Override) -> list[Place]:
    """Returns the places that remain once an override applies, and those that it adds."""
    path: KeyPath = tuple(override.key_or_group.split("."))
    remaining = list(places)
    if override.is_delete():
        remaining = [
            place for place in places if not _starts_with(place.path, path)
        ]
    origin = Origin(override=override.input_line)
    remaining.append(Place(path, origin))
    for below in _keys(override.value(), path):
        remaining.append(Place(below, origin))
    return remaining


def _keys(value: object, path: KeyPath) -> Iterator[KeyPath]:
    """Yields the key path of each key in a mapping that an override merges into the config."""
    if isinstance(value, dict):
        for key, item in value.items():
            below = (*path, str(key))
            yield below
            yield from _keys(item, below)


def lines(file: Path, package: str) -> Iterator[Place]:
    """Yields each key path that a config file sets, with its line.

    Args:
        file: The config file.
        package: The key that its contents belong under; empty for the top level.
    """
    prefix: KeyPath = tuple(package.split(".")) if package else ()
    shown = search_path.shown(file)
    if prefix:
        yield Place(prefix, Origin(shown, 1))
    root = yaml.compose(
        file.read_text(encoding="utf-8"), Loader=yaml.SafeLoader
    )
    if isinstance(root, yaml.ScalarNode):
        # OmegaConf reads a scalar document as a key without a value.
        if root.value:
            yield Place((*prefix, root.value), _line(root, shown))
    elif root is not None:
        yield from _node_lines(root, prefix, shown)


def _node_lines(node: yaml.Node, path: KeyPath, file: str) -> Iterator[Place]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            below = (*path, str(key.value))
            yield Place(below, _line(key, file))
            yield from _node_lines(value, below, file)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            below = (*path, index)
            yield Place(below, _line(value, file))
            yield from _node_lines(value, below, file)


def _line(node: yaml.Node, file: str) -> Origin:
    return Origin(file, node.start_mark.line + 1)
