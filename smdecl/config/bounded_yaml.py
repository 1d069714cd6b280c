"""Loads YAML whose contents stay small.

Aliases and merges let a few hundred bytes represent millions of nodes. The nodes are counted as the
parser reports them; an alias counts as everything that it repeats. A document that exceeds a limit
is refused before any object is made of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import yaml
from omegaconf._utils import get_yaml_loader
from yaml.constructor import ConstructorError

Document: TypeAlias = dict[Any, Any] | list[Any]

MOST_BYTES = 1 << 22
MOST_NODES = 20_000
DEEPEST = 64
TOO_DEEP = f"nested more than {DEEPEST} levels deep; expected fewer"
# For a text with interpolations, which OmegaConf parses slowly.
_CHARACTERS_PER_NODE = 8
MOST_DIGITS = 4300  # of an integer that Python reads and writes
TOO_LONG = f"an integer has more than {MOST_DIGITS} digits; expected fewer"
_INTEGER = "tag:yaml.org,2002:int"


class UnfitError(yaml.MarkedYAMLError):
    """Valid YAML, but not a valid config: too many nodes, too deeply nested, or no mapping."""

    def __init__(self, problem: str, mark: yaml.Mark | None) -> None:
        super().__init__(problem=problem, problem_mark=mark)


def _unfit(problem: str, event: yaml.Event) -> UnfitError:
    mark: Any = event.start_mark  # PyYAML has two classes of marks
    return UnfitError(problem, mark)


@dataclass
class _Open:
    """A collection that has not ended yet.

    Attributes:
        anchor: Its name for aliases.
        nodes_before: How many nodes precede it.
        height: How deep its contents are nested so far.
    """

    anchor: str | None
    nodes_before: int
    height: int = 0


@dataclass(frozen=True)
class _Anchored:
    """A node that aliases may repeat."""

    nodes: int
    height: int


class _Counter:
    """Counts the nodes of a document, including those that aliases repeat."""

    def __init__(self) -> None:
        self._nodes = 0
        self._open: list[_Open] = []
        # None marks a collection that has not ended yet.
        self._anchored: dict[str, _Anchored | None] = {}

    def count(self, event: yaml.Event) -> None:
        """Counts the nodes that one event begins or repeats.

        Raises:
            UnfitError: If they exceed a limit, or an alias refers to a node that contains it.
        """
        if isinstance(event, yaml.CollectionStartEvent):
            self._nodes += 1
            self._open.append(_Open(event.anchor, self._nodes - 1))
            if event.anchor is not None:
                self._anchored[event.anchor] = None
        elif isinstance(event, yaml.CollectionEndEvent):
            self._close()
        elif isinstance(event, yaml.ScalarEvent):
            self._count_scalar(event)
        elif isinstance(event, yaml.AliasEvent):
            self._repeat(event)
        self._require_bounded(event)

    def _count_scalar(self, event: yaml.ScalarEvent) -> None:
        nodes = 1
        if "${" in event.value:
            nodes += len(event.value) // _CHARACTERS_PER_NODE
        self._nodes += nodes
        if event.anchor is not None:
            self._anchored[event.anchor] = _Anchored(nodes, 0)

    def _close(self) -> None:
        ended = self._open.pop()
        height = ended.height + 1
        if ended.anchor is not None:
            nodes = self._nodes - ended.nodes_before
            self._anchored[ended.anchor] = _Anchored(nodes, height)
        self._raise_height(height)

    def _repeat(self, event: yaml.AliasEvent) -> None:
        # The parser itself refuses an alias of an unknown anchor.
        anchored = self._anchored.get(str(event.anchor), _Anchored(1, 0))
        if anchored is None:
            message = (
                f"the alias *{event.anchor} refers to a node that contains it"
            )
            raise _unfit(message, event)
        self._nodes += anchored.nodes
        self._raise_height(anchored.height)

    def _raise_height(self, height: int) -> None:
        if self._open:
            parent = self._open[-1]
            parent.height = max(parent.height, height)

    def _require_bounded(self, event: yaml.Event) -> None:
        if self._nodes > MOST_NODES:
            message = (
                f"more than {MOST_NODES} values, counting those that aliases repeat;"
                " expected fewer"
            )
            raise _unfit(message, event)
        height = self._open[-1].height if self._open else 0
        if len(self._open) + height > DEEPEST:
            raise _unfit(TOO_DEEP, event)


def load(text: str, name: str) -> Document:
    """Returns what `OmegaConf.load` makes a config of.

    Args:
        text: The document.
        name: The file, for errors.

    Raises:
        UnfitError: If the document exceeds a limit, or is a single number or date.
        yaml.YAMLError: If it is not valid YAML.
    """
    found = _document(text, name)
    if isinstance(found, str):
        # OmegaConf parses a document that is a single text once more.
        found = _document(found, name)
    if isinstance(found, str):
        return {found: None}
    if found is None:
        return {}
    if isinstance(found, (dict, list)):
        return found
    start = yaml.Mark(name, 0, 0, 0, None, 0)
    raise UnfitError(f"expected a mapping, got {found!r}", start)


def _require_short(node: yaml.ScalarNode) -> None:
    """Refuses long integers: reading those with colons, such as 1:30, takes quadratic time."""
    digits = len(node.value) - node.value.count("_")
    if node.tag == _INTEGER and digits > MOST_DIGITS:
        raise UnfitError(TOO_LONG, node.start_mark)


def _document(text: str, name: str) -> Any:
    counter = _Counter()
    loader_class: Any = get_yaml_loader()

    class Loader(loader_class):  # type: ignore[misc]
        def get_event(self) -> Any:
            event = super().get_event()
            counter.count(event)
            return event

        def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
            if not isinstance(node, yaml.ScalarNode):
                return super().construct_object(node, deep)
            _require_short(node)
            try:
                return super().construct_object(node, deep)
            except (
                ArithmeticError,
                AttributeError,
                LookupError,
                ValueError,
            ) as error:
                problem = f"invalid value {node.value!r} of {node.tag}"
                raise ConstructorError(
                    None, None, problem, node.start_mark
                ) from error

    loader = Loader(text)
    loader.name = name
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()
