"""Copies OmegaConf's nodes, and reads them as plain values, in a tenth of OmegaConf's time.

A composed config has some hundred nodes, most of them Hydra's own, and every variant of a sweep
needs a copy of them.
"""

from __future__ import annotations

import copy
from collections import defaultdict
from typing import Any, TypeVar

from omegaconf import DictConfig, Node
from omegaconf.base import Metadata

AnyNode = TypeVar("AnyNode", bound=Node)


def copied(node: AnyNode) -> AnyNode:
    """Returns what `copy.deepcopy` returns."""
    return _copied(node, node._get_parent())


def _copied(node: AnyNode, parent: object) -> AnyNode:
    made: AnyNode = object.__new__(type(node))
    state = made.__dict__
    state.update(node.__dict__)
    state["_parent"] = parent
    state["_flags_cache"] = None
    state["_metadata"] = _copied_metadata(node._metadata)
    content = state.get("_content")
    if isinstance(content, dict):
        state["_content"] = {
            key: _copied(item, made) for key, item in content.items()
        }
    elif isinstance(content, list):
        state["_content"] = [_copied(item, made) for item in content]
    elif isinstance(content, Node):
        state["_content"] = _copied(content, made)
    return made


def _copied_metadata(metadata: Metadata) -> Metadata:
    made: Metadata = object.__new__(type(metadata))
    state = made.__dict__
    state.update(metadata.__dict__)
    state["flags"] = dict(metadata.flags or {})
    cache = metadata.resolver_cache
    # Most nodes have an empty one.
    state["resolver_cache"] = (
        copy.deepcopy(cache) if cache else defaultdict(dict)
    )
    return made


def plain(node: Node) -> Any:
    """Returns what `OmegaConf.to_container` returns of a container, without resolving anything."""
    content = node._value()
    if isinstance(content, dict):
        return {key: plain(item) for key, item in content.items()}
    if isinstance(content, list):
        return [plain(item) for item in content]
    return plain(content) if isinstance(content, Node) else content


def plain_values(config: DictConfig) -> dict[str, Any]:
    """Returns the values of a config without Hydra's settings; interpolations stay unresolved."""
    values: dict[str, Any] = plain(config)
    values.pop("hydra", None)
    return values
