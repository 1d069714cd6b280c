"""Compositions that share work have exactly what Hydra composes without it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from smdecl.config import compose, search_path, sharing
from smdecl.config.explaining import attempts

PRIMARY = """\
defaults:
  - export
  - optional local: mine
  - optional site: missing
  - team@people: red
  - override model: scaler
  - _self_
name: ${people.lead}
"""
FILES = {
    "mine.yaml": PRIMARY,
    "local/mine.yaml": "# @package _global_\nseed: 3\n",
    "local/nested.yaml": "defaults:\n  - /team: ${model}\nother: ${seed}\n",
    "team/red.yaml": "lead: r\n",
    "team/blue.yaml": "defaults:\n  - red\n  - _self_\nlead: b\nsize: 2\n",
    "team/scaler.yaml": "lead: s\n",
    "model/own.yaml": "defaults:\n  - scaler\n  - _self_\nfactor: ${seed}\n",
}
# Consecutive variants share most of their choices, and some fail.
VARIANTS = (
    [],
    ["model.factor=1", "seed=1"],
    ["model.factor=2", "hydra.sweep.dir=somewhere", "+hydra.job.env_set.A=b"],
    ["model=own"],
    ["model=own", "model.factor=${people.lead}", "+more.deep.er=[1,{a: 2}]"],
    ["team@people=blue", "people.size=5"],
    ["+team@model.crew=blue", "model.crew.lead=c"],
    ["local=nested"],
    ["~local", "++model.factor=7", "++new=8"],
    ["~model.factor", "~people.lead=r"],
    ["~people.lead=wrong"],
    ["signatures=[scalar_float,vector_float]", "verify.examples={}"],
    ["signatures=[vector_float]"],
    ["model={factor: 9}", "hydra/launcher=basic"],
    ["hydra.searchpath=[file://elsewhere]"],
    ["hydra.searchpath=[]", "model.factor=1"],
    ["model=none", "model.factor=3"],
    ["+seed=1", "~unknown"],
    ["name=${unknown}"],
    ["++model=own"],
    ["+site=missing"],
)


@pytest.fixture
def configs(project):
    for name, text in FILES.items():
        project.write(f"conf/{name}", text)
    return project


@contextmanager
def _searching(directory: str) -> Iterator[None]:
    search_path.use([Path(directory)])
    with search_path.session():
        yield


def _composed(overrides: list[str]) -> object:
    """Returns the whole config, with Hydra's settings, and Hydra's errors."""
    with _searching("conf"):
        attempt = attempts.attempt("mine", overrides)
    errors = [str(failure.error) for failure in attempt.failures]
    if attempt.config is None:
        return errors
    whole = OmegaConf.to_container(attempt.config, resolve=False)
    OmegaConf.update(attempt.config, "model.factor", "changed later", force_add=True)
    return errors, whole


def test_compositions_that_share_work_are_the_same_as_separate_ones(configs, monkeypatch):
    monkeypatch.setattr(sharing, "MOST_CHOSEN", 8)
    separate = [_composed(overrides) for overrides in VARIANTS]

    with sharing.sharing(sharing.Shared()):
        shared = [_composed(overrides) for overrides in VARIANTS]

    for one, other in zip(shared, separate, strict=True):
        assert one == other


def test_all_see_the_files_as_they_were_first_and_others_as_they_are(configs):
    work = sharing.Shared()

    def seed() -> object:
        return compose.compose(directories=["conf"], config_name="mine").values["seed"]

    with sharing.sharing(work):
        assert seed() == 3
    configs.write("conf/local/mine.yaml", "# @package _global_\nseed: 4\n")

    assert seed() == 4
    with sharing.sharing(work):
        assert seed() == 3
