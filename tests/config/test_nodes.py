"""Copies of nodes and their plain values are what OmegaConf makes of them."""

import copy

from hydra.conf import HydraConf
from omegaconf import Node, OmegaConf, open_dict
from smdecl.config import nodes

VALUES = {
    "hydra": HydraConf(),
    "text": "a",
    "reference": "${text}",
    "whole": "${lists}",
    "missing": "???",
    "nothing": None,
    "lists": [1, [2.5, True], {"deep": [None]}],
    2: {"empty": {}, "none": []},
}


def _config():
    config = OmegaConf.create(VALUES)
    OmegaConf.set_struct(config, True)
    OmegaConf.set_readonly(config.lists, True)
    OmegaConf.set_cache(config, {"now": {("%Y",): "2026"}})
    return config


def _state(node: object) -> object:
    """Returns everything that a node and those below it consist of, except the parents."""
    if not isinstance(node, Node):
        return node
    state = {**node.__dict__, "_flags_cache": None, "_parent": None}
    content = state.get("_content")
    if isinstance(content, dict):
        state["_content"] = {key: _state(item) for key, item in content.items()}
    elif isinstance(content, list):
        state["_content"] = [_state(item) for item in content]
    return type(node), state


def test_a_copy_is_a_deep_copy():
    config = _config()

    assert _state(nodes.copied(config)) == _state(copy.deepcopy(config))


def test_a_copy_shares_nothing_with_the_original():
    config = _config()
    before = _state(copy.deepcopy(config))

    copied = nodes.copied(config)
    with open_dict(copied):
        copied.hydra.job.name = copied.added = "changed"
    OmegaConf.set_readonly(copied.lists, False)
    copied.lists[2].deep.append(1)
    copied._metadata.resolver_cache["now"].clear()

    assert copied.lists[2].deep._get_root() is copied
    assert _state(config) == before


def test_plain_values_are_those_of_omegaconf():
    config = _config()

    assert nodes.plain(config) == OmegaConf.to_container(config, resolve=False)
