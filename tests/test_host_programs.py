"""Calls of smdecl do not change the host program: notebooks, threads, Hydra apps, interrupts."""

import concurrent.futures
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import smdecl
import tensorflow as tf
from smdecl.errors import ModelError, UsageError
from smdecl.pipeline.children import children

from tests.conftest import ROOT, server_pid
from tests.waiting import wait_for


def test_a_process_exports_after_an_interrupted_sweep(project, interruptible):
    project.write(
        "mynet.py",
        "import pathlib, time\ndef make():\n    pathlib.Path('building').touch()\n    time.sleep(600)\n",
    )
    script = project.write(
        "script.py",
        "import smdecl\n"
        "try: smdecl.sweep(['model._target_=mynet.make', 'seed=1,2'])\n"
        "except KeyboardInterrupt: print(smdecl.export(smdecl.compose()).path)\n",
    )
    process = interruptible(
        [sys.executable, script], cwd=project.root, env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    wait_for(Path("building").exists)
    process.send_signal(signal.SIGINT)

    assert process.communicate(timeout=300)[0] == "exports/adder/1\n"


def test_a_call_within_a_tf_function_is_refused(project):
    composition = smdecl.compose()

    @tf.function
    def body():
        smdecl.export(composition)

    # AutoGraph wraps what is raised in a body into an error of its own, with the text kept.
    with pytest.raises(
        Exception,
        match="UsageError: .*called from within the body of a tf.function; call it outside",
    ):
        body()


def test_a_call_in_graph_mode_is_refused(project):
    composition = smdecl.compose()
    with tf.Graph().as_default(), pytest.raises(UsageError, match="called in graph mode"):
        smdecl.export(composition)


def test_threads_export_at_the_same_time_and_leave_the_process_unchanged(project):
    composition = smdecl.compose()
    before, main = dict(os.environ), sys.modules["__main__"]

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        releases = list(pool.map(lambda _: smdecl.export(composition), range(4)))

    assert sorted(release.version for release in releases) == [1, 2, 3, 4]
    assert len({release.digest for release in releases}) == 1
    assert dict(os.environ) == before
    assert sys.modules["__main__"] is main


def test_the_models_code_sees_the_environment_of_the_call(project, monkeypatch):
    project.write(
        "mynet.py",
        "import os\nfrom smdecl.models import Scaler\ndef make(): return Scaler(float(os.environ['MY_FACTOR']))\n",
    )
    digests = set()
    for factor in ("2", "3", "2"):
        monkeypatch.setenv("MY_FACTOR", factor)
        digests.add(project.export("model._target_=mynet.make").digest)

    assert len(digests) == 2


def test_a_second_call_imports_tensorflow_no_more_but_the_models_code_again(project):
    composition = smdecl.compose(["model._target_=mynet.make"])
    names, servers = [], []
    for model in ("Scaler", "Adder"):
        project.write("mynet.py", f"from smdecl.models import {model} as make\n")
        names.append(smdecl.plan(composition).obj.class_name)
        servers.append(children.run(server_pid, failure=ModelError, doing="asking"))

    assert names == ["smdecl.models.Scaler", "smdecl.models.Adder"]
    assert servers[0] == servers[1]


MODEL = ROOT / "tests/saved_models/half_plus_two/00000123"


ASYNC = """
import asyncio
import tensorflow as tf
import smdecl

assert tf.constant(1) + 1 == 2  # TensorFlow's runtime is in use


async def main():
    config = smdecl.compose(["model=scaler"])
    first = smdecl.export(config)
    others = await asyncio.gather(*(asyncio.to_thread(smdecl.export, config) for _ in range(2)))
    print(sorted([first.version, *(release.version for release in others)]))
    print((await asyncio.to_thread(smdecl.sweep, ["model=adder"]))[0].path)


asyncio.run(main())
assert tf.constant(1) + 1 == 2
"""


@pytest.mark.slow
def test_a_notebook_calls_smdecl_in_its_event_loop_after_tensorflow(project):
    # As in a notebook, the code is in no file.
    done = subprocess.run(
        [sys.executable], input=ASYNC, cwd=project.root, env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip

    assert done.stdout == "[1, 2, 3]\nexports/adder/1\n", done.stderr


HOST = """
import logging, os, signal, sys, threading, warnings
import multiprocessing
import numpy  # its import adds filters of warnings, whoever imports it
import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.core.singleton import Singleton
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import OmegaConf
from omegaconf.basecontainer import BaseContainer
import smdecl


EXPORTS = "--export" in os.environ["WHAT"]


class HostPath(SearchPathPlugin):
    def manipulate_search_path(self, search_path):
        search_path.append("host", "pkg://hostconf")


def state():
    source = hydra._internal.sources_registry.SourcesRegistry.instance()
    return {
        "environment": dict(os.environ), "path": list(sys.path), "argv": list(sys.argv),
        "main": sys.modules["__main__"], "directory": os.getcwd(),
        "instances": Singleton._instances, "keys": list(Singleton._instances.items()),
        "resolvers": BaseContainer._resolvers, "names": dict(BaseContainer._resolvers),
        "classes": [(kind, dict(vars(kind))) for kind in source.types.values()],
        "plugins": {kind: list(found) for kind, found in Plugins.instance().plugin_type_to_subclass_list.items()},
        "filters": list(warnings.filters), "level": logging.getLogger().level,
        "handlers": list(logging.getLogger().handlers), "start": multiprocessing.get_start_method(allow_none=True),
        "signals": [signal.getsignal(number) for number in signal.valid_signals()],
        "mask": signal.pthread_sigmask(signal.SIG_BLOCK, []),
    }


def composed():
    config = hydra.compose("export", overrides=["greeting='${oc.env:WHO,nobody} at ${host:1}'", "side=b"])
    return OmegaConf.to_container(config, resolve=True)


def run_hydra():
    assert composed() == {"greeting": "me at 2", "side": {"name": "b"}}


@hydra.main(config_path="hostconf", config_name="export", version_base="1.3")
def plain_app(config):
    # The host's own Hydra app, without smdecl.
    assert OmegaConf.to_container(config, resolve=True)["greeting"] == "hello"
    run_hydra()


@hydra.main(config_path="hostconf", config_name="export", version_base="1.3")
def app(config):
    job = HydraConfig.get()
    run_hydra_inside = OmegaConf.to_container(config, resolve=True)
    before = state()
    for _ in range(2):
        composition = smdecl.compose(["model=scaler", "name=n", "model.factor=3"])
        assert composition.values["model"]["factor"] == 3 and "greeting" not in composition.values
    try:
        smdecl.compose(["model=scaller"])
    except smdecl.errors.ConfigError as error:
        assert "did you mean 'scaler'" in str(error)
    assert smdecl.check(composition).config.name == "n"
    assert smdecl.check({"name": "m"}).config.name == "m"
    assert smdecl.inspect(os.environ["MODEL"]).damage == ()
    assert smdecl.diff(os.environ["MODEL"], os.environ["MODEL"]).verdict == "same"
    if EXPORTS:
        release = smdecl.export(composition)
        print(release.path)
        smdecl.plan(composition)
        smdecl.verify(release.path)
        smdecl.reproduce(release.path)
        (variant,) = smdecl.sweep(["model=scaler"])
        assert variant.exit_code == 0, variant.errors
        (variant,) = smdecl.sweep(["model=scaler", "hydra.output_subdir=.hydra", "hydra.sweep.dir=other"])
        assert variant.exit_code == 0, variant.errors
    after = state()
    changed = [key for key in before if before[key] != after[key]]
    assert not changed, [(key, after[key]) for key in changed]
    assert HydraConfig.get() is job
    assert OmegaConf.to_container(config, resolve=True) == run_hydra_inside == {
        "greeting": "hello", "side": {"name": "a"}
    }


os.environ["WHO"] = "me"
os.environ.pop("NOBODY", None)
OmegaConf.register_new_resolver("host", lambda number: number + 1)
Plugins.instance().register(HostPath)
plain_app()
app()
plain_app()

with hydra.initialize(config_path="hostconf", version_base="1.3"):
    run_hydra()
    before = state()
    stopped, failures = threading.Event(), []

    def keep_composing():
        while not stopped.is_set():
            try:
                run_hydra()
            except BaseException as error:
                failures.append(error)
                return

    beside = threading.Thread(target=keep_composing)
    beside.start()
    names = {}
    releases = {}

    def call(number):
        if EXPORTS:
            releases[number] = smdecl.export({"name": f"thread{number}"}).path
        names[number] = [smdecl.compose([f"name=n{number}", "release=mine"], config_dir=f"dir{number}").values for _ in range(4)]

    calls = [threading.Thread(target=call, args=(number,)) for number in range(2)]
    for thread in calls:
        thread.start()
    for thread in calls:
        thread.join()
    stopped.set()
    beside.join()
    assert not failures, failures
    for number in range(2):
        assert {values["name"] for values in names[number]} == {f"n{number}"}
        assert {values["seed"] for values in names[number]} == {number + 10}
    assert len(set(releases.values())) == (2 if EXPORTS else 0)
    after = state()
    assert [key for key in before if before[key] != after[key]] == []
    run_hydra()
plain_app()
print("done")
"""


@pytest.mark.parametrize(
    "what", ["compose", pytest.param("compose --export", marks=pytest.mark.slow)]
)
def test_a_hydra_app_and_its_threads_are_unchanged_by_smdecl_calls(project, what):
    script = project.write("host.py", HOST)
    project.write("hostconf/__init__.py", "")
    project.write("hostconf/export.yaml", "defaults: [_self_, side: a]\ngreeting: hello\n")
    project.write("hostconf/side/a.yaml", "name: a\n")
    project.write("hostconf/side/b.yaml", "name: b\n")
    for number in range(2):
        project.write(
            f"dir{number}/release/mine.yaml", f"# @package _global_\nseed: {number + 10}\n"
        )
    done = subprocess.run(
        [sys.executable, script, "hydra.run.dir=out", "hydra.output_subdir=null"],
        cwd=project.root, env={**os.environ, "PYTHONPATH": str(ROOT), "WHAT": what, "MODEL": str(MODEL)},
        capture_output=True, text=True,
        timeout=300, check=False,
    )  # fmt: skip

    printed = [
        line for line in done.stdout.splitlines() if not line.startswith("[")
    ]  # the host's own log
    assert printed == (["exports/n/1"] if "export" in what else []) + ["done"], done.stderr


def test_composing_leaves_hydra_unused_in_a_program():
    script = (
        "import smdecl; from hydra.core.singleton import Singleton; from hydra.core.config_store import ConfigStore;"
        "import smdecl.api; before = set(Singleton._instances); smdecl.compose();"
        "print(set(Singleton._instances) - before)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert done.stdout == "set()\n", done.stderr
