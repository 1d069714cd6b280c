"""Explains why OmegaConf could not resolve a value, with the nearest name for a typo."""

from __future__ import annotations

import re

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from smdecl.errors import KeyPath, closest, did_you_mean, dotted

_QUOTED = re.compile(r"'([^']+)'")
_ABSENT_KEY = re.compile(r"Interpolation key '([^']+)' not found")
_ABSENT_RESOLVER = re.compile(r"Unsupported interpolation type (\S+)")
# The resolvers of OmegaConf and Hydra.
_RESOLVERS = (
    "hydra",
    "now",
    "oc.create",
    "oc.decode",
    "oc.deprecated",
    "oc.dict.keys",
    "oc.dict.values",
    "oc.env",
    "oc.select",
    "python_version",
)


def message(error: OmegaConfBaseException) -> str:
    """Returns why OmegaConf could not resolve a value, without the details of its types."""
    text = str(error).splitlines()[0]
    text = text.removeprefix("KeyError raised while resolving interpolation: ")
    return text.strip('"')


def hint(error: OmegaConfBaseException, text: object, path: KeyPath) -> str:
    """Returns the hint at the name that was meant; an empty string if none is similar.

    Args:
        error: What OmegaConf raised.
        text: The unresolved value.
        path: The key path of the value.
    """
    return did_you_mean(_meant(error, message(error), str(text), path))


def is_consequence(problem: str, text: object) -> bool:
    """Returns whether a value cannot be resolved because one that it refers to cannot.

    Args:
        problem: The message for the value.
        text: The unresolved value.
    """
    name = _ABSENT_RESOLVER.match(problem) or _QUOTED.search(problem)
    return name is not None and name[1] not in str(text)


def _meant(
    error: OmegaConfBaseException, said: str, text: str, path: KeyPath
) -> str | None:
    resolver = _ABSENT_RESOLVER.match(said)
    if resolver is not None:
        known = filter(OmegaConf.has_resolver, _RESOLVERS)
        return closest(resolver[1], known)
    key = _ABSENT_KEY.match(said)
    node = error.parent_node
    is_relative = "${." in text
    if key is None or node is None or is_relative:
        return None
    return _similar_key(node._get_root(), key[1], path)


def _similar_key(root: object, key: str, path: KeyPath) -> str | None:
    """Returns the key of a config that is most similar to an absent one, which no value has.

    Args:
        root: The whole config.
        key: The absent key.
        path: The key path of the value that refers to it; a value cannot refer to itself.
    """
    node = root
    parts = key.split(".")
    for index, part in enumerate(parts):
        if not isinstance(node, DictConfig):
            return None
        if part in node:
            node = node._get_node(part)
            continue
        before = parts[:index]
        known = [
            ".".join([*before, str(name), *parts[index + 1 :]])
            for name in node
        ]
        own = dotted(path)
        return closest(key, [name for name in known if name != own])
    return None
