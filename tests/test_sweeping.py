"""A sweep runs every variant, each as an export of its own."""

import json
from pathlib import Path

import pytest

from tests.conftest import tree


def sweep_record(root):
    (path,) = root.glob("sweeps/*/*/sweep.json")
    return json.loads(path.read_text())


def test_every_variant_is_exported_into_a_directory_named_for_it(project):
    done = project.run("-m", "model=adder,scaler", "signatures=scalar_float,vector_float", "seed=3")

    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        f"exports/{model}/model={model},signatures={signatures}/1"
        for model in ("adder", "scaler")
        for signatures in ("scalar_float", "vector_float")
    ]
    record = sweep_record(project.root)
    assert [variant["path"] for variant in record] == done.stdout.splitlines()
    assert [variant["overrides"] for variant in record][1] == ["model=adder", "signatures=vector_float", "seed=3"]
    assert all(Path(variant["path"], "saved_model.pb").is_file() for variant in record)
    assert "sweep.json" in done.stderr


def test_a_flag_works_anywhere_among_the_overrides_and_a_glob_is_hydras_own(project):
    done = project.run("model=scaler", "-m", "signatures=glob(*float)")

    names = ("scalar_float", "vector_float")
    assert done.stdout.splitlines() == [f"exports/scaler/signatures={name}/1" for name in names]


def test_a_failing_variant_stops_no_other_and_the_highest_exit_code_wins(project):
    project.write(
        "mynet.py",
        "import tensorflow as tf\n"
        "class Net(tf.Module):\n"
        "    def __init__(self, size=1):\n"
        "        self.v = tf.Variable(tf.ones([size]))\n"
        "    def add(self, x):\n"
        "        return x + self.v[0]\n",
    )
    project.write("conf/model/mine.yaml", "_target_: mynet.Net\nsize: 1\n")
    arguments = ["--config-dir", "conf", "-m", "model=mine,addr,adder", "signatures.serving_default.method=add,ad"]

    done = project.run(*arguments)

    record = sweep_record(project.root)
    assert [variant["exit_code"] for variant in record] == [0, 2, 2, 2, 0, 2]
    assert len(done.stdout.splitlines()) == 2
    assert "no method 'ad' on Net; it has: add; did you mean 'add'?" in record[1]["errors"][0]
    assert (
        "'addr' is no option of model; takes adder, concat, dense, mine, scaler, typed_adder, typed_concat; did you mean 'adder'?"
        in record[2]["errors"][0]
    )
    assert done.returncode == 2
    assert done.stderr.count("error:") == 4
    assert "Traceback" not in done.stderr


def test_a_primary_config_that_cannot_be_read_is_told(project):
    project.write("conf/export.yaml", "a: [\n")

    done = project.run("-m", "--config-dir", "conf", "model=adder,scaler")

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "smdecl: error: conf/export.yaml:2: is no YAML: expected the node content, but found '<stream end>'\n"
    )


def test_a_failure_of_the_models_code_shows_in_the_exit_code(project):
    done = project.run("-m", "model=scaler", "model.factor=1,word")

    assert done.returncode == 3
    assert done.stdout == "exports/scaler/model.factor=1/1\n"


def test_a_variant_has_the_bytes_that_it_has_alone(project):
    swept = project.run("-m", "model=scaler", "signatures=scalar_float,vector_float", "seed=0,1")

    alone = project.export("model=scaler", "signatures=vector_float", "seed=1")
    assert len(swept.stdout.splitlines()) == 4
    assert tree(Path("exports/scaler/seed=1,signatures=vector_float/1")) == tree(alone.path)


def test_a_variant_stays_in_one_directory_whatever_its_values_hold(project):
    done = project.run(
        "-m", "model=scaler", "devices.build=/device:CPU:0,null", "signatures=[scalar_float],vector_float"
    )

    assert done.stdout.splitlines()[:2] == [
        "exports/scaler/devices.build=%2Fdevice:CPU:0,signatures=%5Bscalar_float%5D/1",
        "exports/scaler/devices.build=%2Fdevice:CPU:0,signatures=vector_float/1",
    ]


@pytest.mark.slow
def test_a_sweep_of_one_is_a_sweep(project):
    assert project.run("-m", "model=scaler").stdout == "exports/scaler/1\n"
