"""Hydra's own settings in a composed config."""

from __future__ import annotations

from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from smdecl.config import nodes
from smdecl.config.interrupting import interrupts_first

_INSTANTIATED = ("launcher", "sweeper")


def provide_settings(config: DictConfig) -> None:
    """Makes the settings in a config those that interpolations such as `${hydra:job.num}` read.

    Hydra's own `HydraConfig.set_config` copies them, which takes longer than most compositions.
    """
    OmegaConf.set_readonly(config.hydra, True)
    settings = DictConfig({})
    settings.__dict__["_content"]["hydra"] = config.hydra
    instance: Any = HydraConfig.instance()
    instance.cfg = settings


def plain_settings(config: DictConfig) -> dict[str, Any]:
    """Returns the key `hydra` as plain values.

    The launcher and the sweeper are resolved as Hydra instantiates them; the rest is unresolved.
    """
    settings: dict[str, Any] = nodes.plain(config.hydra)
    for part in _INSTANTIATED:
        unresolved = settings.get(part)
        if isinstance(unresolved, dict):
            settings[part] = {
                key: _resolved(config.hydra[part], key, value)
                for key, value in unresolved.items()
            }
    return settings


def _resolved(node: DictConfig, key: str, unresolved: object) -> object:
    """Returns a resolved setting; `unresolved` if it can only be resolved within a job."""
    try:
        with interrupts_first():
            value = node[key]
            if OmegaConf.is_config(value):
                return OmegaConf.to_container(value, resolve=True)
            return value
    except OmegaConfBaseException:
        return unresolved
