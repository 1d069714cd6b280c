"""Finds the line of a file, or the override, that a config value came from."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode

from smdecl.config import search_path
from smdecl.errors import KeyPath, Origin


@dataclass(frozen=True)
class Locator:
    """Finds the line or the override that a value came from; reads the files anew, for only errors need it.

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
        """Returns the origin of the longest part of `path` that the config has; the last to set it wins.

        An override of something below `path` goes before the file that holds the rest of it, and one of a whole list
        before the file that holds the items of another.
        """
        if self.given.intersection(path[:1]):
            return None
        best: tuple[int, Origin | None] = (0, None)
        for place, origin in self._places:
            below = origin.override is not None and place[: len(path)] == path != ()
            above = place == path[: len(place)]
            instead = (
                origin.override is not None
                and above
                and any(isinstance(p, int) for p in path[len(place) :][:1])
            )
            if below or instead or (above and len(place) >= best[0]):
                best = min(len(place), len(path)), origin
        return best[1]

    @functools.cached_property
    def _places(self) -> list[tuple[KeyPath, Origin]]:
        search_path.use(self.directories)
        places: list[tuple[KeyPath, Origin]] = []
        with search_path.session():
            loader = GlobalHydra.instance().config_loader()
            parsed = OverridesParser.create().parse_overrides(list(self.overrides))
            groups = [
                override
                for override in parsed
                if not isinstance(override.value(), dict)
                and loader.get_group_options(override.key_or_group, ObjectType.CONFIG)
            ]
            defaults = loader.compute_defaults_list(
                self.config_name, [str(o.input_line) for o in groups], RunMode.RUN
            )
            for default in defaults.defaults:
                file = search_path.find(default.config_path)
                if file is not None:
                    places += lines(file, default.package or "")
        for override in parsed:
            if override not in groups:
                path: KeyPath = tuple(override.key_or_group.split("."))
                origin = Origin(override=override.input_line)
                if override.is_delete():
                    places = [
                        place for place in places if place[0][: len(path)] != path
                    ]
                places.append((path, origin))
                places += [(below, origin) for below in _keys(override.value(), path)]
        return places


def _keys(value: object, path: KeyPath) -> Iterator[KeyPath]:
    """Yields the key path of each key of a mapping that an override sets: the config may have others beside them."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield (*path, str(key))
            yield from _keys(item, (*path, str(key)))


def lines(file: Path, package: str) -> Iterator[tuple[KeyPath, Origin]]:
    """Yields each key path that a config file has something at, and the line."""
    prefix: KeyPath = tuple(package.split(".")) if package else ()
    shown = search_path.shown(file)
    if prefix:
        yield prefix, Origin(shown, 1)
    root = yaml.compose(file.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    if (
        isinstance(root, yaml.ScalarNode) and root.value
    ):  # to OmegaConf, a key without a value
        yield (*prefix, root.value), Origin(shown, root.start_mark.line + 1)
    elif root is not None:
        yield from _node_lines(root, prefix, shown)


def _node_lines(
    node: yaml.Node, path: KeyPath, file: str
) -> Iterator[tuple[KeyPath, Origin]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield (*path, str(key.value)), Origin(file, key.start_mark.line + 1)
            yield from _node_lines(value, (*path, str(key.value)), file)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield (*path, index), Origin(file, value.start_mark.line + 1)
            yield from _node_lines(value, (*path, index), file)
