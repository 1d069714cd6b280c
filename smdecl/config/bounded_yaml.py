"""Loads a YAML file whose contents stay small: aliases and merges let a few hundred bytes stand for millions of nodes.

The nodes are counted while the parser reports them, with an alias for all that it repeats. What exceeds a limit is
refused before any object is made of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import yaml
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf._utils import get_yaml_loader

MOST_BYTES = 1 << 22
MOST_NODES = 20_000
DEEPEST = 64
_PARSED = 8  # characters of a text with interpolations that count as a node


class UnfitError(yaml.MarkedYAMLError):
    """A file is YAML, and more than a config may be: too many nodes, nested too deeply, or no mapping."""

    def __init__(self, problem: str, mark: Any) -> None:
        super().__init__(problem=problem, problem_mark=mark)


@dataclass
class _Open:
    """A collection that has not ended yet: its anchor, the nodes before it, and the depth of what it holds."""

    anchor: str | None
    before: int
    height: int = 0


@dataclass(frozen=True)
class _Anchored:
    """What an alias repeats; a collection that has not ended yet is None in its place."""

    nodes: int
    height: int


class _Counter:
    """Counts the nodes of a document, and of all that its aliases repeat."""

    def __init__(self) -> None:
        self._nodes = 0
        self._open: list[_Open] = []
        self._anchored: dict[str, _Anchored | None] = {}

    def take(self, event: yaml.Event) -> None:
        """Counts what one event begins or repeats.

        Raises:
            UnfitError: If it exceeds a limit, or an alias repeats what it is in.
        """
        if isinstance(event, yaml.CollectionStartEvent):
            self._nodes += 1
            self._open.append(_Open(event.anchor, self._nodes - 1))
            if event.anchor is not None:
                self._anchored[event.anchor] = None
        elif isinstance(event, yaml.CollectionEndEvent):
            self._close()
        elif isinstance(event, yaml.ScalarEvent):
            # OmegaConf parses a text with interpolations slowly.
            nodes = 1 + len(event.value) // _PARSED if "${" in event.value else 1
            self._nodes += nodes
            if event.anchor is not None:
                self._anchored[event.anchor] = _Anchored(nodes, 0)
        elif isinstance(event, yaml.AliasEvent):
            self._repeat(event)
        self._require_bounded(event)

    def _close(self) -> None:
        ended = self._open.pop()
        height = ended.height + 1
        if ended.anchor is not None:
            self._anchored[ended.anchor] = _Anchored(self._nodes - ended.before, height)
        self._raise_height(height)

    def _repeat(self, event: yaml.AliasEvent) -> None:
        # The parser itself refuses an alias of an anchor that does not exist.
        anchored = self._anchored.get(str(event.anchor), _Anchored(1, 0))
        if anchored is None:
            raise UnfitError(
                f"the alias *{event.anchor} repeats what contains it", event.start_mark
            )
        self._nodes += anchored.nodes
        self._raise_height(anchored.height)

    def _raise_height(self, height: int) -> None:
        if self._open:
            self._open[-1].height = max(self._open[-1].height, height)

    def _require_bounded(self, event: yaml.Event) -> None:
        if self._nodes > MOST_NODES:
            message = f"more than {MOST_NODES} values, with all that aliases repeat; expected fewer"
            raise UnfitError(message, event.start_mark)
        depth = len(self._open) + (self._open[-1].height if self._open else 0)
        if depth > DEEPEST:
            raise UnfitError(
                f"nested more than {DEEPEST} deep; expected less", event.start_mark
            )


def load(text: str, name: str) -> DictConfig | ListConfig:
    """Returns the config that a YAML document holds, as `OmegaConf.load` does.

    Args:
        text: The document.
        name: The file, for errors.

    Raises:
        UnfitError: If the document exceeds a limit, or is a lone number or date.
        yaml.YAMLError: If it is no YAML.
    """
    found = _document(text, name)
    if isinstance(found, str):
        found = _document(found, name)  # OmegaConf reads a lone text once more
    if isinstance(found, str):
        return OmegaConf.create({found: None})
    if found is None:
        return OmegaConf.create()
    if isinstance(found, (dict, list)):
        return OmegaConf.create(found)
    start = yaml.Mark(name, 0, 0, 0, None, 0)
    raise UnfitError(f"expected a mapping, got {found!r}", start)


def _document(text: str, name: str) -> Any:
    counter = _Counter()
    loader_class: Any = get_yaml_loader()

    class Loader(loader_class):  # type: ignore[misc]
        def get_event(self) -> Any:
            event = super().get_event()
            counter.take(event)
            return event

    loader = Loader(text)
    loader.name = name
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()
