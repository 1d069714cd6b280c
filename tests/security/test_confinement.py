"""An attacker's code runs in a process that builds or loads a model, and tries to get out."""

import contextlib
import ctypes
import fcntl
import multiprocessing.resource_tracker
import os
import socket
import subprocess
import tempfile
import termios
import threading
from pathlib import Path

import pytest
import smdecl
import tensorflow as tf
from smdecl.config import frameworks
from smdecl.errors import ModelError, SmdeclError, VerificationError
from smdecl.isolation import confine
from smdecl.isolation.confine import Confinement
from smdecl.pipeline import verify
from smdecl.pipeline.children import children
from smdecl.verification import c_api

from tests.conftest import run_cli

needs_landlock = pytest.mark.skipif(confine.abi() == 0, reason="this kernel has no Landlock")


def run(function, *args, confinement):
    return children.run(
        function, *args, failure=VerificationError, doing="trying", confinement=confinement
    )


def attempts(allowed, secret, parent, port, local):
    """Tries what an attacker would try; returns what was refused, and by which error."""
    tried = {
        "read a file": lambda: Path(secret).read_text(),
        "read a file by an op": lambda: tf.io.read_file(secret),
        "list a directory": lambda: os.listdir(Path(secret).parent),
        "read the environment of the parent": lambda: Path(f"/proc/{parent}/environ").read_bytes(),
        "write a file": lambda: Path(f"{secret}.new").write_text(""),
        "write a file by an op": lambda: tf.io.write_file(f"{secret}.new", ""),
        "write beside what may be read": lambda: Path(f"{allowed}.new").write_text(""),
        "truncate what may be read": lambda: os.truncate(allowed, 0),
        "remove a file": lambda: Path(secret).unlink(),
        "link to a file": lambda: os.link(secret, Path(os.environ["TMPDIR"]) / "link"),
        "connect by TCP": lambda: socket.create_connection(("127.0.0.1", port)),
        "send by UDP": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
        "reach a socket in the file system": lambda: socket.socket(socket.AF_UNIX),
        "reach one as a GPU's driver may make it": lambda: packets().connect(local),
        "send to it by one of a pair": lambda: socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM),
        "end the parent": lambda: os.kill(parent, 15),
        "do it in a new thread": lambda: in_a_thread(lambda: Path(secret).read_text()),
        "do it in a new process": lambda: subprocess.run(
            ["cat", secret], check=True, capture_output=True
        ),
    }
    refused = {}
    for name, attempt in tried.items():
        try:
            attempt()
        except Exception as error:
            refused[name] = type(error).__name__
    can_read = Path(allowed).read_text()
    Path(os.environ["TMPDIR"], "scratch").write_text(can_read)
    return set(tried) - set(refused), can_read


def packets():
    return socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def use_a_gpu():
    """Does what CUDA does when it starts, and fails without."""
    with packets() as listening:
        listening.bind("")
        listening.listen()
    Path(f"/proc/self/task/{threading.get_native_id()}/comm").write_text("cuda-EvtHandlr")
    return os.environ["NVIDIA_TF32_OVERRIDE"]


@needs_landlock
def test_a_confined_process_can_use_a_gpu(tmp_path):
    assert run(use_a_gpu, confinement=Confinement()) == "0"


def in_a_thread(function):
    failed = []

    def call():
        try:
            function()
        except OSError as error:
            failed.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]


@needs_landlock
def test_a_confined_process_reads_writes_and_reaches_nothing_else(tmp_path):
    allowed, secret = tmp_path / "allowed", tmp_path / "elsewhere" / "secret"
    allowed.write_text("public")
    secret.parent.mkdir()
    secret.write_text("secret")
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        tempfile.TemporaryDirectory() as short,
        packets() as local,
    ):
        port = server.getsockname()[1]
        local.bind(f"{short}/local")
        local.listen()
        got = run(
            attempts, str(allowed), str(secret), os.getpid(), port, f"{short}/local",
            confinement=Confinement(reads=(allowed,)),
        )  # fmt: skip

    assert got == (set(), "public")
    assert secret.read_text() == "secret"


class Payload:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def escape(path):
    return Payload(path)


def test_a_result_runs_nothing_where_it_is_read(tmp_path):
    """The process that reads results is not confined."""
    with pytest.raises(VerificationError, match=r"it names posix.mkdir, which no stage returns"):
        run(escape, str(tmp_path / "escaped"), confinement=Confinement())

    assert not (tmp_path / "escaped").exists()


@pytest.fixture
def outside(tmp_path):
    path = tmp_path / "outside" / "secret.txt"
    path.parent.mkdir()
    path.write_text("secret\n")
    return path


DETOUR = (
    "{_target_: tensorflow.saved_model.Asset, path: {_target_: keras.activations.linear, x: %s}}"
)


@needs_landlock
def test_the_kernel_alone_keeps_a_file_out_of_a_release(project, outside, monkeypatch):
    monkeypatch.setattr(frameworks, "refuse_arguments", lambda *_: ())
    project.write(
        "conf/model/leak.yaml",
        f"""
_target_: tensorflow.train.Checkpoint
asset: {DETOUR % outside}
""",
    )

    with pytest.raises(SmdeclError) as error:
        project.export("model=leak", "signatures=none")

    assert "Permission denied" in str(error.value)
    assert "a confined process reads only the files that the config names" in str(error.value)
    assert "[tool.smdecl]" not in str(
        error.value
    )  # it names no files for configs of frameworks alone
    assert not (project.root / "exports" / "leak").exists()


@needs_landlock
def test_a_graph_that_reads_a_file_reads_none_when_it_is_verified(project, outside):
    project.write(
        "mynet.py",
        """
import tensorflow as tf

class Net(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([], tf.string, name="path")])
    def read(self, path):
        return {"content": tf.io.read_file(path)}
""",
    )
    project.write("conf/signatures/read.yaml", "serving_default: {method: read}")
    release = [
        "model._target_=mynet.Net", "signatures=read", "audit=off",
        f"+verify.examples={{serving_default: [{{inputs: {{path: {outside}}}}}]}}",
    ]  # fmt: skip

    with pytest.raises(VerificationError, match="PermissionDenied|Permission denied"):
        project.export(*release)


READER = """
import pathlib
import tensorflow as tf

class Net(tf.Module):
    def __init__(self, path):
        super().__init__()
        self.word = tf.Variable(pathlib.Path(path).read_text())

    @tf.function(input_signature=[tf.TensorSpec([], tf.string, name="x")])
    def __call__(self, x):
        return {"y": x + self.word}
"""


@needs_landlock
def test_code_of_a_project_that_confines_it_reads_what_the_project_names(project, outside):
    project.write("reader.py", READER)
    project.write("conf/model/reader.yaml", f"_target_: reader.Net\npath: {outside}\n")
    overrides = ["model=reader", "signatures=none", "verify.generate=1"]

    project.write("pyproject.toml", "[tool.smdecl]\nconfine = true\n")
    with pytest.raises(ModelError) as error:
        project.export(*overrides)
    (problem,) = error.value.problems
    assert problem.key == "model"
    assert f"Permission denied: '{outside}'" in problem.message
    assert "reads under [tool.smdecl]" in problem.message

    project.write("pyproject.toml", f"[tool.smdecl]\nconfine = true\nreads = ['{outside}']\n")
    assert project.export(*overrides).version == 1


def denied(kind, path):
    {
        "read": lambda: Path(path).read_text(),
        "read by an op": lambda: tf.io.read_file(path),
        "write": lambda: Path(f"{path}.new").write_text(""),
        "write by an op": lambda: tf.io.write_file(f"{path}.new", ""),
        "connect": lambda: socket.create_connection(("127.0.0.1", 9)),
    }[kind]()


@needs_landlock
@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (
            "read",
            "a confined process reads only the files that the config names, .* TMPDIR; name it in reads$",
        ),
        (
            "read by an op",
            "a confined process reads only the files that the config names, .* TMPDIR; name it in reads$",
        ),
        ("write", "; a confined process writes only below TMPDIR$"),
        ("write by an op", "; a confined process writes only below TMPDIR$"),
        ("connect", "names, writes only below TMPDIR and opens no socket$"),
    ],
)
def test_a_refusal_names_the_setting_that_allows_it_if_there_is_one(outside, kind, reason):
    with pytest.raises(SmdeclError, match=reason):
        run(denied, kind, str(outside), confinement=Confinement(extension="name it in reads"))


@pytest.fixture(scope="module")
def printing(tmp_path_factory):
    """A release whose graph prints, which writes into any file that it names."""
    root = tmp_path_factory.mktemp("printing")
    (root / "conf" / "signatures").mkdir(parents=True)
    (root / "conf" / "signatures" / "one.yaml").write_text("serving_default: {method: __call__}")
    (root / "pyproject.toml").write_text("")
    (root / "printer.py").write_text("""
import tensorflow as tf

class Net(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([], tf.float32, name="x")])
    def __call__(self, x):
        tf.print(x)
        return {"y": x}
""")
    done = run_cli(
        "--config-dir", "conf", "model._target_=printer.Net", "signatures=one", "audit=off", "verify.generate=1",
        "export_dir=out", cwd=root,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return root / "out" / "1"


def test_a_graph_that_reaches_outside_is_not_run_unless_its_ops_are_named(printing):
    with pytest.raises(VerificationError) as error:
        verify.verify(printing)
    assert "PrintV2 reaches into files, the network or Python" in str(error.value)
    assert "--allow-ops PrintV2" in str(error.value)

    _, report = verify.verify(printing, allow_ops=["PrintV2"])
    assert report.examples == {"serving_default": 1}


def test_the_version_says_what_the_kernel_confines(tmp_path):
    done = run_cli("--version", "--verbose", cwd=tmp_path)

    assert done.stdout.splitlines() == [f"smdecl {smdecl.__version__}", confine.describe()]


def call(name, *arguments):
    """Calls a function of the C library; raises what it fails with."""
    result = ctypes.CDLL(None, use_errno=True)[name](*arguments)
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def gaps(victim):
    """Tries what Landlock does not judge; returns what was not refused."""
    tried = {
        "change rights": lambda: Path(victim).chmod(0o777),
        "change times": lambda: os.utime(victim, (0, 0)),
        "change attributes": lambda: os.setxattr(victim, "user.a", b"b"),
        "leave the group": os.setsid,
        "share memory": lambda: call("shmget", 1234, 4096, 0o1666),
        "slow others down": lambda: os.setpriority(os.PRIO_PROCESS, os.getppid(), 19),
        "type into the terminal": lambda: fcntl.ioctl(2, termios.TIOCSTI, b"x"),
        "have the tracker remove a file": lambda: os.write(
            multiprocessing.resource_tracker._resource_tracker._fd,
            b"REGISTER:/victim:shared_memory\n",
        ),
    }
    done = set()
    for name, attempt in tried.items():
        with contextlib.suppress(OSError, TypeError):
            attempt()
            done.add(name)
    return done


@needs_landlock
def test_a_confined_process_changes_nothing_that_landlock_does_not_judge(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("")
    before = victim.stat()

    assert run(gaps, str(victim), confinement=Confinement(reads=(victim,))) == set()
    assert (victim.stat().st_mode, victim.stat().st_mtime) == (before.st_mode, before.st_mtime)


def session(directory):
    return Call(c_api.Session, (directory, ("serve",)))


class Call:
    def __init__(self, function, arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


def test_a_result_makes_no_object_that_does_something_when_it_is_made(tmp_path):
    with pytest.raises(
        VerificationError,
        match=r"it names smdecl.verification.c_api.Session, which no stage returns",
    ):
        run(session, str(tmp_path), confinement=Confinement())


LINKING = """
import os, tensorflow as tf

class Net(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([], tf.float32, name="x")])
    def __call__(self, x):
        return {"y": x}

save = tf.saved_model.save

def planting(obj, export_dir, *args, **keywords):
    save(obj, export_dir, *args, **keywords)
    os.makedirs(f"{export_dir}/assets.extra/smdecl", exist_ok=True)
    os.symlink("VICTIM", f"{export_dir}/PLACE")

tf.saved_model.save = planting
"""


@pytest.mark.parametrize("place", ["assets.extra/smdecl/manifest.json", "assets/vocabulary.txt"])
def test_a_link_that_the_model_leaves_is_neither_written_nor_read_through(project, outside, place):
    project.write("linking.py", LINKING.replace("VICTIM", str(outside)).replace("PLACE", place))

    with pytest.raises(ModelError, match="expected plain files of a model"):
        project.export("model._target_=linking.Net", "signatures=none", "verify.generate=1")

    assert outside.read_text() == "secret\n"
    assert not list((project.root / "exports").rglob("saved_model.pb"))
