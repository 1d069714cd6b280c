"""Builds the object that a node of the config describes by `_target_` and its arguments."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

import hydra.utils
from hydra._internal.instantiate import _instantiate2
from hydra.errors import InstantiationException

from smdecl.config.frameworks import LOAD_KERAS
from smdecl.errors import KeyPath
from smdecl.exporting import patches, user_code
from smdecl.exporting.building import unloadable
from smdecl.exporting.types import ConfigNode, PythonValue, Target
from smdecl.isolation import reports

_FULL_KEY = re.compile(r"full_key: (\S+)\s*$")
_KEY_PARTS = re.compile(r"[^.\[\]]+")


def instantiate(node: ConfigNode, path: KeyPath) -> PythonValue:
    """Builds the object of a node whose targets were checked.

    Args:
        node: The target and its arguments.
        path: The key of the node.

    Raises:
        ModelError: If the target raises an error.
        ConfigError: If the target is `load_keras` and the file cannot be loaded.
    """
    try:
        with _calls_reported(node, path):
            # TensorFlow and Keras accept plain lists and dicts only, no OmegaConf containers.
            return hydra.utils.instantiate({"_convert_": "all", **node})
    except InstantiationException as error:
        cause = error.__cause__ or error
        place, failed = _failed_node(node, path, str(error))
        target = failed["_target_"]
        if target == LOAD_KERAS:
            raise unloadable.failure(place, failed, cause) from cause
        raise user_code.failure(place, f"building {target}", cause) from cause
    except user_code.FAILURES as error:  # Hydra wraps no exit
        doing = f"building {node['_target_']}"
        raise user_code.failure(path, doing, error) from error


@contextlib.contextmanager
def _calls_reported(node: ConfigNode, path: KeyPath) -> Iterator[None]:
    """Reports each target right before Hydra calls it, the innermost first."""
    own_call = _instantiate2._call_target

    def call(
        target: Target,
        partial: bool,
        args: tuple[PythonValue, ...],
        keywords: dict[str, PythonValue],
        full_key: str,
    ) -> PythonValue:
        place, called = _node_at(node, path, full_key)
        reports.running(place, f"building {called['_target_']}")
        return own_call(target, partial, args, keywords, full_key)

    with patches.attribute_set(_instantiate2, "_call_target", call):
        yield


def _failed_node(
    node: ConfigNode, path: KeyPath, message: str
) -> tuple[KeyPath, ConfigNode]:
    """Returns the key and the node of the target that failed: `node` itself or one inside it.

    Args:
        node: The outermost node.
        path: Its key.
        message: Hydra's message, which ends with the key of the failed node below `node`.
    """
    found = _FULL_KEY.search(message)
    full_key = found.group(1) if found else ""
    return _node_at(node, path, full_key)


def _node_at(
    node: ConfigNode, path: KeyPath, full_key: str
) -> tuple[KeyPath, ConfigNode]:
    """Returns the key and the innermost node with a target that Hydra's key leads to."""
    parts = _KEY_PARTS.findall(full_key)
    place = path
    found: PythonValue = node
    failed = node
    for part in parts:
        try:
            key = int(part) if isinstance(found, list) else part
            found = found[key]
        # A key that itself contains a dot.
        except (LookupError, TypeError, ValueError):
            break
        place = (*place, key)
        if isinstance(found, dict) and "_target_" in found:
            failed = found
    return place, failed
