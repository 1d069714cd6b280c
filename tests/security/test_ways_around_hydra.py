"""Ways around the rules through Hydra: none runs code or reads other files."""

import json
import re

import pytest
import smdecl
import yaml
from smdecl.errors import ConfigError

from tests.security.ways_around import ran, refused, write_evilpkg


@pytest.fixture
def evilpkg(tmp_path, monkeypatch):
    return write_evilpkg(tmp_path, monkeypatch)


SETTINGS = {
    "a callback": "callbacks: {x: {_target_: os.mkdir, path: ran}}",
    "a callback of a framework": "callbacks: {x: {_target_: tensorflow.io.write_file, filename: ran, contents: x}}",
    "a launcher": "launcher: {_target_: os.mkdir, path: ran}",
    "a sweeper": "sweeper: {_target_: os.mkdir, path: ran}",
    "a factory in the logging": "hydra_logging: {version: 1, filters: {x: {(): os.mkdir, path: ran}}}",
    "a factory in a job's logging": "job_logging: {version: 1, filters: {x: {(): os.mkdir, path: ran}}}",
    "a class of a formatter": "job_logging: {version: 1, formatters: {x: {class: evilpkg.Evil}}}",
    "a handler": "hydra_logging: {version: 1, handlers: {x: {class: logging.FileHandler, filename: ran}}}",
    "a handler of a job": "job_logging: {version: 1, handlers: {x: {class: logging.FileHandler, filename: ran}}}",
    "an object for a handler": "hydra_logging: {version: 1, handlers: {x: {class: logging.StreamHandler, stream: 'ext://evilpkg.Evil'}}}",
    "a package of configs": "searchpath: ['pkg://evilpkg']",
    "overrides of a sweeper": "sweeper: {params: {seed: '1,2'}}",
    "the environment": "job: {env_set: {PATH: bin}}",
}  # fmt: skip


def as_override(setting):
    ((key, value),) = yaml.safe_load(setting).items()
    text = re.sub(
        r'"(\w+)":', r"\1:", json.dumps(value).replace('"()"', r"\(\)").replace(": ", ":")
    )
    return f"{'' if key == 'searchpath' else '++'}hydra.{key}={text}"


SWEEP = ["-m", "model=adder,scaler"]
RUNS = [
    ("file", SWEEP),
    pytest.param("override", SWEEP, marks=pytest.mark.slow),
    *(pytest.param(where, [], marks=pytest.mark.soak) for where in ("file", "override")),
]
SHOWS = [
    pytest.param("file", flags, marks=pytest.mark.soak)
    for flags in (["--cfg", "all"], ["--help"], ["--info"])
]


@pytest.mark.parametrize(("where", "flags"), [*RUNS, *SHOWS])
@pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS)
def test_what_hydra_itself_would_run_is_refused(project, evilpkg, setting, where, flags):
    project.write("bin/git", "#!/bin/sh\necho > ran_git\n").chmod(0o755)
    project.write("conf/release/evil.yaml", f"# @package _global_\nhydra:\n  {setting}\n")
    hostile = (
        ["--config-dir", "conf", "release=evil"] if where == "file" else [as_override(setting)]
    )

    done = project.run(*flags, *hostile, env=evilpkg)

    assert ran(project) == []
    assert "Traceback" not in done.stderr
    assert not (project.root / "exports").exists()
    if flags[:1] in ([], ["-m"]):
        assert (done.returncode, done.stdout) == (2, ""), done.stderr


@pytest.mark.parametrize(("name", "text"), [
    ("mine", "hydra: {searchpath: [pkg://evilpkg]}"), ("mine.yaml", "hydra: {searchpath: [pkg://evilpkg]}"), ("mine", 'hydra: {searchpath: ["p\\x6bg://evilpkg"]}'),
    ("mine", 'hydra: {"search\\x70ath": [pkg://evilpkg/conf]}'), ("mine", "k: pk\nhydra: {searchpath: ['${k}g://evilpkg']}"),
])  # fmt: skip
def test_a_package_of_configs_is_not_imported_however_it_is_written(project, evilpkg, name, text):
    project.write("conf/mine.yaml", f"defaults: [export, _self_]\n{text}\n")

    with pytest.raises(ConfigError) as error:
        smdecl.compose(config_dir="conf", config_name=name)

    assert ran(project) == []
    assert str(error.value).startswith("conf/mine.yaml: hydra.searchpath: ")


def test_completion_imports_no_package_of_configs(project, evilpkg):
    project.write(
        "conf/mine.yaml", "defaults: [export, _self_]\nhydra: {searchpath: [pkg://evilpkg]}\n"
    )
    line = "smdecl model=a"

    done = project.run("--config-dir", "conf", "--config-name", "mine", "--shell-completion", "query=bash",
                       env={**evilpkg, "COMP_LINE": line, "COMP_POINT": str(len(line))})  # fmt: skip

    assert ran(project) == []
    assert (done.returncode, done.stdout) == (2, "")


@pytest.mark.parametrize("defaults", ["override /model: ../../../elsewhere/far", "/../../elsewhere/far@model", "../../../elsewhere/far@_global_.model"])  # fmt: skip
def test_a_defaults_list_reads_nothing_outside_of_the_config_directories(
    project, evilpkg, defaults
):
    project.write(
        "conf/release/far.yaml", f"# @package _global_\ndefaults:\n  - {defaults}\nname: mine\n"
    )

    assert refused(project, "release=far", kind=ConfigError)


@pytest.mark.parametrize(
    "place", ["../../elsewhere/far", "/../../elsewhere/far", "ROOT/elsewhere/far"]
)
def test_an_option_or_a_primary_config_outside_of_them_is_refused(
    project, evilpkg, tmp_path, place
):
    project.write("conf/model/mine.yaml", "_target_: smdecl.models.Adder\n")
    place = place.replace("ROOT", str(tmp_path))
    assert refused(project, f"model=../{place}", "name=mine", kind=ConfigError)
    with pytest.raises(ConfigError):
        smdecl.compose(config_dir="conf", config_name=place)
