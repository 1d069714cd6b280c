"""Publishing survives any failing file system call and any kill.

No version is ever partial, and the next export succeeds and sweeps what was left.
"""

import contextlib
import errno
import fcntl
import itertools
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from smdecl.release.publish_local import LocalPublisher

from tests.conftest import ROOT, run_cli, tree
from tests.pipeline import fault_runs, faults
from tests.waiting import processes_with, wait_for

RENAMES = pytest.mark.parametrize(
    "has_renameat2", [True, pytest.param(False, marks=pytest.mark.slow)], ids=["renameat2", "lock"]
)
AT_ONCE = 3
QUICK = ("next to another", "given, replaced", "null, into an empty directory")


def cases(quick):
    """Runs a test on each case, and without the slow tests on these alone."""
    values = [
        case if case in quick else pytest.param(case, marks=pytest.mark.slow)
        for case in fault_runs.CASES
    ]
    return pytest.mark.parametrize("case", values)


@pytest.fixture(scope="module")
def ready(tmp_path_factory):
    """Two real releases that differ."""
    root = tmp_path_factory.mktemp("ready")
    done = run_cli("-m", "model=adder,scaler", "signatures=scalar_float", cwd=root)
    old, new = sorted(path.parent for path in root.glob("exports/**/saved_model.pb"))
    assert done.returncode == 0
    assert faults.digest(old) != faults.digest(new)
    return old, new


@pytest.mark.parametrize(
    "code",
    [
        errno.EIO,
        *(pytest.param(code, marks=pytest.mark.soak) for code in (errno.ENOSPC, errno.EACCES)),
    ],
    ids=errno.errorcode.get,
)
@RENAMES
@cases(QUICK)
def test_a_failing_call_ends_in_a_release_or_a_publish_error(
    ready, tmp_path, case, has_renameat2, code
):
    got = fault_runs.fail_everywhere(tmp_path, fault_runs.CASES[case], *ready, has_renameat2, code)

    assert {"open", "os.scandir", "os.mkdir", "fcntl.flock", "fsync", "stat"} <= set(got["calls"])
    assert ("renameat2" in got["calls"]) == has_renameat2
    assert not got["wrong"], json.dumps(got["wrong"], indent=1)


def drive(*arguments):
    done = subprocess.run(
        [sys.executable, "-m", "tests.pipeline.fault_runs", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@RENAMES
@cases(QUICK[:1])
def test_killed_at_any_call_publishing_leaves_no_partial_version(
    ready, tmp_path, case, has_renameat2
):
    got = drive("kill", tmp_path, *ready, case, has_renameat2)

    assert got["calls"] > 30
    assert not got["wrong"], json.dumps(got["wrong"], indent=1)


def test_sixteen_processes_publish_ten_versions_each(ready, tmp_path):
    got = drive("race", tmp_path, *ready, 16, 10)

    assert got["wrong"] == []
    assert sorted(got["got"], key=str) == sorted(range(1, 161), key=str)
    (base,) = tmp_path.glob("*/*/base")
    assert sorted(os.listdir(base), key=int) == [str(number) for number in range(1, 161)]
    assert {faults.digest(base / str(number)) for number in range(1, 161)} == {
        faults.digest(ready[1])
    }


class Sweeper(faults.Calls):
    """Another process, which fails just before a call: it removes the base path while nothing is in it, finds it made
    anew, and sweeps what no process holds; it is done so many calls later."""

    def __init__(self, base, number, lasts):
        super().__init__(base.parent, number, lambda *_: self._hold())
        self.base, self.lasts, self.held, self.swept = base, lasts, [], 0

    def see(self, name, place):
        super().see(name, place)
        if not self.paused and self.held and len(self.seen) == self.number + self.lasts:
            self.sweep()

    def _hold(self):
        self.paused = True
        with contextlib.suppress(OSError):
            self.base.rmdir()
        self.base.mkdir(exist_ok=True)
        for directory in self.base.iterdir():
            descriptor = os.open(directory, os.O_RDONLY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self.held.append((directory, descriptor))
            except BlockingIOError:
                os.close(descriptor)
        self.paused = False

    def sweep(self):
        self.paused = True
        for directory, descriptor in self.held:
            directory.rmdir()
            os.close(descriptor)
            self.swept += 1
        self.held.clear()
        self.paused = False


@pytest.mark.parametrize("lasts", [1, 2, 3])
def test_a_stage_swept_before_it_is_locked_is_created_again(tmp_path, lasts):
    base, swept = tmp_path / "deep" / "base", 0
    for number in itertools.count(1):
        base.mkdir(parents=True)
        with (
            faults.watched(Sweeper(base, number, lasts)) as sweeper,
            LocalPublisher(base, faults.NEXT).stage() as stage,
        ):
            sweeper.sweep()
            sweeper.paused = True
            (stage / "file").write_text("it is there")
            with pytest.raises(BlockingIOError):
                fcntl.flock(os.open(stage, os.O_RDONLY), fcntl.LOCK_EX | fcntl.LOCK_NB)
        swept += sweeper.swept
        assert list(base.iterdir()) == []
        base.rmdir()
        if not sweeper.reached:
            break

    assert swept > 0


def test_processes_that_fail_at_the_same_time_do_not_disturb_each_other(ready, tmp_path):
    # Each makes the directories that are missing; who finds them there leaves them, empty.
    got = drive("fail", tmp_path, *ready, 16, 200)

    assert got["wrong"] == []
    assert [one for one in got["got"] if one is not None] == []
    assert list(tmp_path.rglob(".smdecl-*")) == []
    assert tree(tmp_path) == {}


@pytest.mark.parametrize("version", ["next", "5", "null"])
@pytest.mark.parametrize("name", ["loop", "x" * 300], ids=["loop", "long"])
def test_an_unreadable_base_path_is_reported(project, name, version):
    (project.root / "loop").symlink_to("loop")

    done = project.run("model=adder", f"export_dir={name}/base", f"publish.version={version}")

    assert "Traceback" not in done.stderr
    assert done.returncode in (2, 5)  # by check, or by publishing
    assert done.stdout == ""
    assert "export_dir: " in done.stderr


MODEL = """
import tensorflow as tf
class Net(tf.Module):
    def __init__(self, size):
        self.big = tf.Variable(tf.random.uniform([size]))
    @tf.function
    def add(self, x):
        return x + self.big[0]
"""


def run_limited(project, limit, *overrides):
    """Runs an export that may write no file of more than `limit` bytes, which the kernel refuses by EFBIG.

    SIGXFSZ would end a process that does not ignore it; Python ignores it from its start, and so do its forks.
    """
    return subprocess.run(
        [sys.executable, "-m", "smdecl", *overrides],
        cwd=project.root,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def require_refused(project, done):
    *_, last = done.stderr.splitlines()
    assert done.returncode == 5, done.stderr
    assert done.stdout == ""
    assert last.startswith("smdecl: error: ")
    assert ": export_dir: " in last
    assert f": {os.strerror(errno.EFBIG)}; set a different export_dir" in last
    assert "Traceback" not in done.stderr
    assert sorted(path for path in tree(project.root) if not path.endswith(".pyc")) == [
        "mynet.py",
        "pyproject.toml",
    ]
    assert not (project.root / "exports").exists()


@pytest.mark.slow
def test_a_checkpoint_that_cannot_be_written_is_a_publish_error_and_leaves_nothing(project):
    project.write("mynet.py", MODEL)
    overrides = ["model._target_=mynet.Net", "+model.size=1048576", "export_dir=exports/deep"]

    require_refused(project, run_limited(project, 1 << 20, *overrides))

    assert run_limited(project, 5 << 20, *overrides).stdout == "exports/deep/1\n"


@pytest.mark.soak
@pytest.mark.parametrize("size", [1, 100_000])
def test_any_file_that_cannot_be_written_is_a_publish_error(project, size):
    """Just short of the size of each file in turn, and of its half."""
    project.write("mynet.py", MODEL)
    overrides = ["model._target_=mynet.Net", f"+model.size={size}"]
    done = run_limited(project, resource.RLIM_INFINITY, *overrides)
    sizes = {
        path.stat().st_size
        for path in (project.root / done.stdout.strip()).rglob("*")
        if path.is_file()
    }
    subprocess.run(["rm", "-r", project.root / "exports"], check=True)

    for limit in sorted(
        {max(sizes) - 1, *(size - 1 for size in sizes), *(size // 2 for size in sizes)}
    ):
        require_refused(project, run_limited(project, limit, *overrides))


def test_a_temporary_file_that_cannot_be_written_is_reported(project):
    done = run_limited(project, 0, "model=adder", "signatures=scalar_float")

    assert done.returncode not in (0, 1), done.stderr
    assert "Traceback" not in done.stderr
    assert "temporary" in done.stderr


class Poller(threading.Thread):
    """Reads versions over and over, as a server does; keeps what was partial."""

    def __init__(self, *bases):
        super().__init__(daemon=True)
        self.bases, self.wrong, self.looks, self.ended = bases, [], 0, threading.Event()

    def run(self):
        while not self.ended.wait(0.05):
            self.looks += 1
            for base in self.bases:
                try:
                    faults.served(base, faults.NEXT)
                except Exception as error:
                    self.wrong.append(repr(error))


LOAD = """
import sys
import numpy as np
from tests.serving import serve
from pathlib import Path
for path in sys.argv[1:]:
    print(serve(Path(path), "serving_default", x=np.float32(21))["output_0"])
"""


@pytest.mark.soak
@pytest.mark.parametrize("kills", [20, 200])
def test_exports_killed_at_random_moments_leave_no_partial_version(tmp_path, kills):
    marker = f"SMDECL_TEST_{uuid.uuid4().hex}"
    scratch = Path(tempfile.mkdtemp())  # of a short path, for sockets lie in it
    env = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(scratch), marker: "1"}
    counted, swapped = tmp_path / "counted" / "base", tmp_path / "swapped" / "base"
    kinds = [(counted, ()), (swapped, ("publish.version=7", "publish.replace=true"))]

    def start(base, options):
        command = [
            sys.executable,
            "-m",
            "smdecl",
            "model=adder",
            "signatures=scalar_float",
            f"export_dir={base}",
        ]
        return subprocess.Popen(
            [*command, *options],
            env=env,
            cwd=tmp_path,
            start_new_session=True,
            stdout=subprocess.PIPE,
            stderr=-2,
        )

    def export(kind):
        begin = time.monotonic()
        out = start(*kind).communicate(timeout=300)[0].decode()
        return out, time.monotonic() - begin

    def kill(number, moment):
        process = start(*kinds[number % 2])
        try:
            process.communicate(timeout=moment)
        except subprocess.TimeoutExpired:
            # The process alone, as where memory runs out; or with the server of its forks, as a container ends.
            (os.kill if number % 4 < 2 else os.killpg)(process.pid, signal.SIGKILL)
        process.communicate()
        return process.returncode

    poller = Poller(counted, swapped)
    poller.start()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        duration = max(
            seconds
            for _, seconds in pool.map(export, itertools.islice(itertools.cycle(kinds), AT_ONCE))
        )
        moments = random.Random(0)
        codes = list(
            pool.map(
                kill, range(kills), (moments.uniform(0.05, 1.3 * duration) for _ in range(kills))
            )
        )
    wait_for(lambda: not processes_with(marker))
    last = [export(kind)[0] for kind in kinds]
    poller.ended.set()
    poller.join()

    print(last)  # shown where what follows fails
    assert set(codes) <= {0, -signal.SIGKILL}
    assert (
        codes.count(-signal.SIGKILL) > kills / 10
    )  # most, unless the machine has become less busy meanwhile
    assert poller.wrong == []
    numbers = sorted(faults.versions(counted))
    assert last == [f"{counted}/{numbers[-1]}\n", f"{swapped}/7\n"]
    assert numbers == list(range(1, len(numbers) + 1))
    assert sorted(os.listdir(counted), key=int) == [str(number) for number in numbers]
    assert os.listdir(swapped) == ["7"]
    paths = [swapped / "7", *faults.versions(counted).values()]
    assert {faults.digest(path) for path in paths} == {faults.digest(paths[0])}
    done = subprocess.run(
        [sys.executable, "-c", LOAD, *map(str, paths)],
        env=env,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["42.0"] * len(paths)
