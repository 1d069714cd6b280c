"""Which files a run with `--watch` reads."""

import os
from pathlib import Path

import pytest
from smdecl.cli.watching import watch_places
from smdecl.cli.watching.watch_trees import Place
from smdecl.config.project import Project

CONFIG = {
    "export_dir": "exports/net",
    "model": {"_target_": "mynet.make", "vocabulary": "data/words.txt"},
    "weights": {"format": "checkpoint", "path": "ckpt/model-5"},
    "verify": {"examples": {"serving_default": [{"inputs": {"x": {"file": "data/x.npy"}}}]}},
    "publish": {"sign": "key.pem", "run_record": "record.jsonl", "models_config": "models.config"},
    "sha256": {"net.py": "00"},
}


@pytest.fixture
def found(project):
    for name in ("conf/model", "src/mynet", "data", "ckpt", ".git", "exports/net/1", "elsewhere"):
        Path(name).mkdir(parents=True)
    Path("env/lib").mkdir(parents=True)
    Path("env/pyvenv.cfg").touch()
    Path("elsewhere/real.yaml").touch()
    Path("conf/model/link.yaml").symlink_to("../../elsewhere/real.yaml")
    Path("conf/audit").symlink_to("../elsewhere")
    return find(project.root, CONFIG)


def find(root, config):
    return watch_places.find(root, Project(root, custom_ops=("libmine.so",)), ["conf"], config)


@pytest.mark.parametrize(
    "name",
    [
        "conf/model/net.yaml", "conf/new/net.yaml", "conf/model/link.yaml", "elsewhere/real.yaml",
        "elsewhere/other.yaml", "net.py", "src/mynet/__init__.py", "src/mynet/ops.so", "libmine.so",
        "pyproject.toml", "data/words.txt", "data/x.npy", "key.pem",
        "ckpt/model-5.index", "ckpt/model-5.data-00000-of-00001",
    ],
)  # fmt: skip
def test_what_a_run_reads(found, project, name):
    assert found.reads(project.root / name)


@pytest.mark.parametrize(
    "name",
    [
        "conf/model/.net.yaml.swp", "conf/model/.#net.yaml", "conf/model/net.yaml~", "conf/4913",
        "conf/model/net.txt", "sweeps/today/multirun.yaml", "conf/.hidden/net.yaml", "data/other.txt",
        "src/mynet/__pycache__/net.cpython-311.pyc", ".git/hook.py", "exports/net/1/assets/net.py",
        "record.jsonl", "models.config", "ckpt/model-55.index", "ckpt/checkpoint", "README.md",
    ],
)  # fmt: skip
def test_what_a_run_does_not_read(found, project, name):
    assert not found.reads(project.root / name)


def test_only_directories_in_which_a_change_matters_are_watched(found, project):
    own = {path for path in found.directories if path.is_relative_to(project.root)}
    names = {str(path.relative_to(project.root)) for path in own}

    assert names == {
        ".", "conf", "conf/model", "elsewhere", "src", "src/mynet", "data", "ckpt", "exports",
        "exports/net",
    }  # fmt: skip


@pytest.mark.parametrize(
    "name", ["conf", "conf/new", "src/mynet/new", "data", "ckpt", "elsewhere/new", ".", "latest"]
)
def test_a_directory_may_have_what_a_run_reads(found, project, name):
    Path("latest").symlink_to("ckpt")
    config = {**CONFIG, "weights": {"path": "latest/model-5"}}

    assert find(project.root, config).leads(project.root / name)


@pytest.mark.parametrize("name", ["conf/.new", "src/__pycache__", "../new", "../new/conf"])
def test_a_directory_elsewhere_cannot_have_it(found, project, name):
    assert not found.leads(Path(os.path.normpath(project.root / name)))


def test_a_directory_that_is_not_there_is_awaited_above(project):
    config = {"weights": {"path": "runs/5/model"}}

    assert project.root in find(project.root, config).directories
    assert find(project.root, config).reads(project.root / "runs/5/model.index")


def test_a_value_that_is_no_path_is_left_out(project):
    config = {"model": ["gs://bucket/x", "nul\0", "x" * 5000, "x" * 300, "\ud800/x", 1, None, ""]}

    assert find(project.root, config).directories


def test_the_project_may_be_in_the_base_path(project):
    assert find(project.root, {"export_dir": "."}).reads(project.root / "net.py")


@pytest.mark.parametrize("version", ["next", 7, None])
def test_the_base_path_may_hold_what_a_run_reads(project, version):
    for name in ("conf/1/assets", "conf/.smdecl-host-5-ab/made"):
        Path(name).mkdir(parents=True)
        Path(name, "a.yaml").touch()
    config = {"export_dir": "conf", "publish": {"version": version}, "weights": {"path": "conf/w"}}
    found = find(project.root, config)
    written = [path for path in found.directories if path.is_relative_to(project.root / "conf/1")]

    for name in ("conf/export.yaml", "conf/model/net.yaml", "conf/w", "conf/net.py"):
        assert found.reads(project.root / name)
    for name in (
        "conf/1/assets/a.yaml",
        "conf/7/a.py",
        "conf/.smdecl-host-5-ab/made/a.yaml",
        "conf/seed=1/1/a.yaml",
    ):
        assert found.writes(project.root / name)
        assert not found.reads(project.root / name)
    assert written == []


@pytest.mark.parametrize("place", ["conf/runs", "conf/runs/${now:%Y}", "conf/runs/a-${now:%Y}/b"])
def test_what_hydra_and_sweeps_write_is_not_read(project, place):
    found = find(project.root, {"hydra": {"run": {"dir": "."}, "sweep": {"dir": place}}})

    assert not found.reads(project.root / "conf/runs/a-2026/b/multirun.yaml")
    assert found.reads(project.root / "conf/model/net.yaml")


def test_a_base_path_that_is_the_release_is_not_read(project):
    config = {"export_dir": "exports", "publish": {"version": None}}

    assert not find(project.root, config).reads(project.root / "exports/assets/net.py")


def test_a_directory_that_is_no_project_is_not_searched_for_modules(project):
    Path("below").mkdir()
    found = watch_places.find(project.root, Project(project.root, is_project=False), [], {})

    assert not found.reads(project.root / "net.py")
    assert project.root / "below" not in found.directories


def test_configs_link_only_to_directories_that_configs_are_read_from(project, tmp_path):
    for name in ("outside", "named/below"):
        (tmp_path / name).mkdir(parents=True)
    Path("conf").mkdir()
    for name in ("outside", "named/below"):
        Path("conf", Path(name).name).symlink_to(tmp_path / name)
    config_dirs = ["conf", str(tmp_path / "named")]
    found = watch_places.find(project.root, Project(project.root), config_dirs, {})

    assert tmp_path / "outside" not in found.directories
    assert tmp_path / "named/below" in found.directories


def test_a_link_to_a_directory_elsewhere_adds_no_modules(project, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    Path("data").symlink_to(tmp_path / "elsewhere")

    assert tmp_path / "elsewhere" not in find(project.root, {}).directories


def test_a_directory_below_a_file_is_not_there(project):
    project.write("conf", "a file now")

    assert Place.find(project.root / "conf/model") is None
