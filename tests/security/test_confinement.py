"""An attacker has code running in a process that builds or loads a model, and wants out of it."""

import os
import socket
import subprocess
import threading
from pathlib import Path

import pytest
import tensorflow as tf

import smdecl
from smdecl import confining, frameworks, isolating, pipeline
from smdecl.confining import Confinement
from smdecl.errors import ModelError, SmdeclError, VerificationError
from tests.conftest import run_cli

needs_landlock = pytest.mark.skipif(confining.abi() == 0, reason="this kernel has no Landlock")


def run(function, *args, confinement):
    return isolating.run(function, *args, failure=VerificationError, doing="trying", confinement=confinement)


def attempts(allowed, secret, parent, port):
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
        "end the parent": lambda: os.kill(parent, 15),
        "do it in a new thread": lambda: in_a_thread(lambda: Path(secret).read_text()),
        "do it in a new process": lambda: subprocess.run(["cat", secret], check=True, capture_output=True),
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
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        got = run(
            attempts, str(allowed), str(secret), os.getpid(), port,
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


DETOUR = "{_target_: tensorflow.saved_model.Asset, path: {_target_: keras.activations.linear, x: %s}}"


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
    assert "confined to the files that the config names" in str(error.value)
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
        pipeline.verify(printing)
    assert "PrintV2 reaches into files, the network or Python" in str(error.value)
    assert "--allow-ops PrintV2" in str(error.value)

    _, report = pipeline.verify(printing, allow_ops=["PrintV2"])
    assert report.examples == {"serving_default": 1}


def test_the_version_says_what_the_kernel_confines(tmp_path):
    done = run_cli("--version", "--verbose", cwd=tmp_path)

    assert done.stdout.splitlines() == [f"smdecl {smdecl.__version__}", confining.describe()]
