"""Code of a model starts processes that leave its group and its parent, in order to outlive it."""

import os
import time
from pathlib import Path

import pytest
import smdecl
from smdecl.errors import SmdeclError, VerificationError
from smdecl.pipeline.children import children

from tests.waiting import is_gone, wait_for

# Starts a process by setsid and two forks, which writes its id to a file, and then waits to change a release.
DAEMON = """
import glob, os, pathlib, time

def start(pid_file, stages=""):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            go_on(pid_file, stages)
        os._exit(0)
    os.wait()
    while not pathlib.Path(pid_file).exists():
        time.sleep(0.01)

def go_on(pid_file, stages):
    new = pathlib.Path(f"{pid_file}.new")
    new.write_text(str(os.getpid()))
    new.rename(pid_file)
    while True:
        for manifest in glob.glob(f"{stages}/.smdecl-*/moved/assets.extra/smdecl/manifest.json"):
            with open(manifest.replace("assets.extra/smdecl/manifest.json", "saved_model.pb"), "ab") as file:
                file.write(b"changed")
        time.sleep(0.001)
"""
NET = """
import daemon, tensorflow as tf

class Net(tf.Module):
    def __init__(self, pid_file, stages):
        super().__init__()
        daemon.start(pid_file, stages)

    @tf.function(input_signature=[tf.TensorSpec([], tf.float32, name="x")])
    def __call__(self, x):
        return {"y": x + 1.0}
"""


def test_a_daemon_of_a_model_changes_no_release_and_does_not_outlive_its_export(project, tmp_path):
    pid_file = tmp_path / "pid"
    project.write("daemon.py", DAEMON)
    project.write("net.py", NET)
    stages = project.root / "exports" / "net"
    project.write(
        "conf/model/net.yaml", f"_target_: net.Net\npid_file: {pid_file}\nstages: {stages}\n"
    )

    release = project.export("model=net", "signatures=none", "verify.generate=1")

    assert not Path("/proc", pid_file.read_text()).exists()
    smdecl.verify(release.path)


def leave_behind(code, pid_file, ending):
    """Starts a daemon, and ends as is asked for."""
    module: dict = {}
    exec(code, module)
    module["start"](pid_file)
    if ending == "exit":
        os._exit(7)
    if ending == "signal":
        os.abort()
    if ending == "error":
        raise ValueError
    return ending


@pytest.mark.parametrize("ending", ["return", "error", "exit", "signal"])
def test_a_daemon_ends_however_the_process_that_started_it_does(tmp_path, ending):
    pid_file = tmp_path / "pid"
    if ending == "return":
        children.run(
            leave_behind, DAEMON, str(pid_file), ending, failure=VerificationError, doing="testing"
        )
    else:
        with pytest.raises(SmdeclError):
            children.run(
                leave_behind,
                DAEMON,
                str(pid_file),
                ending,
                failure=VerificationError,
                doing="testing",
            )

    assert not Path("/proc", pid_file.read_text()).exists()


def start_a_crowd(directory, size):
    """Starts a chain of processes: each adopts the orphans of its own, and is left by the one before it."""
    import ctypes

    for number in range(size):
        if os.fork() != 0:
            break
        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
        os.setsid()
        Path(directory, str(number)).write_text(str(os.getpid()))
    else:
        number = size
    if number > 0:
        time.sleep(1000)
    while len(os.listdir(directory)) < size:
        time.sleep(0.01)


def test_descendants_that_adopt_their_own_orphans_end_too(tmp_path):
    children.run(start_a_crowd, str(tmp_path), 5, failure=VerificationError, doing="testing")

    pids = [path.read_text() for path in tmp_path.iterdir()]
    assert len(pids) == 5
    assert not any(Path("/proc", pid).exists() for pid in pids)


def kill_the_keeper(pid_file):
    Path(pid_file).write_text(str(os.getpid()))
    os.kill(os.getppid(), 9)
    time.sleep(1000)


def test_a_process_ends_with_its_keeper_and_nothing_comes_of_it(tmp_path):
    pid_file = tmp_path / "pid"
    with pytest.raises(VerificationError, match="was killed by SIGKILL"):
        children.run(kill_the_keeper, str(pid_file), failure=VerificationError, doing="testing")

    wait_for(lambda: is_gone(pid_file.read_text()))
