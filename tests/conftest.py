"""What several test files need: a project of one's own to export from, and files to compare with."""

import contextlib
import gc
import hashlib
import io
import json
import logging.config
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.util import Finalize
from pathlib import Path

import pytest
import smdecl
from smdecl import scratch
from smdecl.cli import main
from smdecl.config import sharing
from smdecl.config.sharing import Shared
from smdecl.errors import ModelError
from smdecl.isolation import memory
from smdecl.pipeline.children import children

ROOT = Path(__file__).resolve().parent.parent
ENOUGH = 8 << 30  # bytes of memory for the tests and for their files


def pytest_addoption(parser):
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="write what was got where a golden file differs",
    )


def pytest_configure(config):
    gc.disable()  # imports make much to search and almost no garbage
    # The processes of a test run would compete for the memory of a GPU, and its kernels check less.
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    if not hasattr(config, "workerinput"):  # the processes of a run inherit the directory
        use_temporary_directory()


def use_temporary_directory() -> None:
    """Makes a directory for the temporary files of a test run, which is removed at its end.

    Killed processes cannot remove theirs, and worker processes end without doing so. Its path is
    short, because sockets in it need short paths. The directories of pytest stay where they are,
    unless they are in memory: then they are in it too.
    """
    in_memory = directory_in_memory()
    if in_memory is not None:
        remove_leftovers(in_memory)
    place = Path(tempfile.mkdtemp(prefix=f"t-{os.getpid()}-", dir=in_memory))
    place.chmod(0o711)  # a test may open a directory in it to other users
    root = tempfile.gettempdir() if in_memory is None else str(place)
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", root)
    os.environ["TMPDIR"] = str(place)
    tempfile.tempdir = None  # computed again, from the new environment
    # After multiprocessing has removed its own directory there, with the priority -100.
    Finalize(None, scratch.remove, args=(place,), exitpriority=-200)


def directory_in_memory() -> Path | None:
    """Returns a directory in memory if there is enough of it and the user chose no other one.

    Tests write, sync and remove thousands of small files, and would wait for a disk each time.
    """
    shared = Path("/dev/shm")
    if "TMPDIR" in os.environ or not os.access(shared, os.W_OK | os.X_OK):
        return None
    if os.statvfs(shared).f_flag & os.ST_NOEXEC:  # tests build programs and libraries
        return None
    room = min(shutil.disk_usage(shared).free, memory.available())
    return shared if room >= ENOUGH else None


def remove_leftovers(directory: Path) -> None:
    """Removes what killed test runs of this user have left, because it occupies memory."""
    for place in directory.glob("t-*-*"):
        _, pid, _ = place.name.split("-", 2)
        with contextlib.suppress(FileNotFoundError):  # if a different run removes it
            is_own = place.stat().st_uid == os.getuid()
            if is_own and pid.isdigit() and not Path("/proc", pid).exists():
                scratch.remove(place)


def pytest_collection_finish():
    gc.freeze()  # as the process that exports are forked from does: see smdecl.preloading
    gc.set_threshold(50_000, 20, 20)  # composing a config makes many objects and little garbage
    gc.enable()


@pytest.fixture
def golden(request):
    """Compares a text with a file beside the tests; --update-golden writes it."""

    def compare(path: Path, text: str) -> None:
        if request.config.getoption("--update-golden"):
            path.write_text(text, encoding="utf-8")
        assert path.is_file(), f"no {path}; run pytest --update-golden and read what it writes"
        assert text == path.read_text(encoding="utf-8")

    return compare


CONF = ROOT / "conf"
INVALID = ROOT / "tests/invalid"
SOURCES = {
    ("hydra", "hydra.conf"),
    ("main", str(CONF)),
    ("schema", ""),
    ("smdecl", str(INVALID)),
}


def is_built_in(key: object) -> bool:
    """Returns whether a key of `Shared` stands for files that no test changes."""
    match key:
        case Path():
            return key.is_relative_to(CONF) or key.is_relative_to(INVALID)
        case (package, str()):
            return package == "hydra.conf"
        case (*_, tuple(sources)):
            return SOURCES.issuperset(sources)
    return False


class Unchanged(dict):
    """Finds again only what is made from files that no test changes."""

    def __contains__(self, key: object) -> bool:
        return is_built_in(key) and super().__contains__(key)

    def __setitem__(self, key: object, value: object) -> None:
        for other in [other for other in self if not is_built_in(other)]:
            del self[other]
        super().__setitem__(key, value)


class UnchangedKeys(set):
    """Finds again only the keys of files that no test changes."""

    def __contains__(self, key: object) -> bool:
        return is_built_in(key) and super().__contains__(key)


COMPOSING = ("test_compose.py", "test_interrupting.py", "test_sharing.py")  # as a user does
BUILT_IN = Shared(files=Unchanged(), chosen=Unchanged(), searched=UnchangedKeys())


@pytest.fixture(scope="module", autouse=True)
def shared_compositions(request):
    """Shares compositions of built-in configs, which take a tenth of the time then."""
    if request.path.name in COMPOSING:
        yield
        return
    with sharing.sharing(BUILT_IN):
        yield


@dataclass
class Project:
    """A directory with a config and code, from which exports run."""

    root: Path

    def write(self, name: str, text: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def compose(self, *overrides: str) -> smdecl.Composition:
        conf = self.root / "conf"
        if conf.is_dir():
            return smdecl.compose(overrides, config_dir=conf)
        return smdecl.compose(overrides)

    def export(self, *overrides: str, **options) -> smdecl.Release:
        return smdecl.export(self.compose(*overrides), **options)

    def run(self, *arguments: str, **options) -> subprocess.CompletedProcess:
        """Runs the command line in this process."""
        return run_cli(*arguments, cwd=self.root, **options)

    def spawn(self, *arguments: str, **options) -> subprocess.CompletedProcess:
        """Runs the command line in a new process."""
        return spawn_cli(*arguments, cwd=self.root, **options)


def run_cli(
    *arguments: str, cwd: Path, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs the command line in this process, which has imported TensorFlow for its children.

    It takes a tenth of the time of a new process. `spawn_cli` is for what only a new process shows:
    its imports, signals, streams that cannot be written, and what the interpreter's own
    variables, such as PYTHONPATH, decide.
    """
    with (
        tempfile.TemporaryFile() as stdout,
        tempfile.TemporaryFile() as stderr,
        unchanged_process(cwd, env or {}),
    ):
        with (
            redirected(1, stdout.fileno(), "strict"),
            redirected(2, stderr.fileno(), "backslashreplace"),
        ):
            code = _exit_code(arguments)
        return subprocess.CompletedProcess(arguments, code, _text(stdout), _text(stderr))


def _exit_code(arguments: Sequence[str]) -> int:
    try:
        return main.run(arguments)
    except SystemExit as end:
        assert end.code is None or isinstance(end.code, int)
        return end.code or 0


@contextlib.contextmanager
def unchanged_process(cwd: Path, env: dict[str, str]) -> Iterator[None]:
    """Enters a directory and an environment, and restores them and all else that a call sets."""
    log, sigpipe = logging.getLogger(), signal.getsignal(signal.SIGPIPE)
    handlers, level = list(log.handlers), log.level
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(cwd)
        patch.setattr(logging.config, "dictConfig", _refuse_logging)
        for place in reversed(
            [str(cwd), *filter(None, env.get("PYTHONPATH", "").split(os.pathsep))]
        ):
            patch.syspath_prepend(place)
        for name, value in env.items():
            patch.setenv(name, value)
        try:
            yield
        finally:
            signal.signal(signal.SIGPIPE, sigpipe)
            log.handlers[:] = handlers
            log.setLevel(level)


def _refuse_logging(_config: object) -> None:
    # It would close the handlers that pytest has.
    raise AssertionError("Hydra sets up the logging of the whole process here: take spawn_cli")


@contextlib.contextmanager
def redirected(number: int, descriptor: int, errors: str) -> Iterator[None]:
    """Sends a standard stream of this process and of its children to a file descriptor."""
    name = {1: "stdout", 2: "stderr"}[number]
    before, kept = getattr(sys, name), os.dup(number)
    before.flush()
    os.dup2(descriptor, number)
    stream = open(number, "w", encoding="utf-8", errors=errors, closefd=False)  # noqa: SIM115
    setattr(sys, name, stream)
    try:
        yield
        stream.flush()
    finally:
        setattr(sys, name, before)
        os.dup2(kept, number)
        os.close(kept)


def _text(file: io.BufferedRandom) -> str:
    file.seek(0)
    return file.read().decode()


def run_script(code: str, *arguments: str) -> None:
    """Runs a script in a new process that has imported TensorFlow, in the current directory."""
    children.run(_run_script, code, arguments, failure=ModelError, doing="running a script")


def _run_script(code: str, arguments: Sequence[str]) -> None:
    sys.path.insert(0, str(Path.cwd()))
    sys.argv[1:] = arguments
    exec(compile(code, "script", "exec"), {"__name__": "__main__"})


def server_pid() -> int:
    """Returns, in a process that was started by `children.run`, the id of its server."""
    return parent_of(os.getppid())


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def spawn_cli(*arguments: str, cwd: Path, env: dict | None = None) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "smdecl", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), **(env or {})},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture
def project(tmp_path, monkeypatch, request):
    """An empty project, which is the current directory and importable."""
    root = tmp_path / "project"
    root.mkdir()
    (root / "pyproject.toml").write_text("")
    monkeypatch.chdir(root)
    monkeypatch.syspath_prepend(root)
    before = set(sys.modules)
    yield Project(root)
    for name in set(sys.modules) - before:
        if str(root) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def tree(directory: Path) -> dict[str, bytes]:
    """Returns every file under a directory with its bytes."""
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }


def forge_manifest(release: Path, **changed: object) -> None:
    """Changes the manifest of a release and makes digest and checksum fit, as anybody can.

    A digest that is given is kept.
    """
    path = release / "assets.extra/smdecl/manifest.json"
    manifest = json.loads(path.read_text())
    for key, value in changed.items():
        manifest[key] = dict(sorted(value.items())) if isinstance(value, dict) else value
    if "digest" not in changed:
        names = sorted(manifest["files"], key=lambda name: f"./{name}".encode())
        lines = [f"{manifest['files'][name]['sha256']}  ./{name}\n" for name in names]
        manifest["digest"] = hashlib.sha256("".join(lines).encode()).hexdigest()
    del manifest["checksum"]
    manifest["checksum"] = hashlib.sha256(_json(manifest).encode()).hexdigest()
    path.write_text(_json(manifest))


def _json(manifest: dict) -> str:
    return json.dumps(dict(sorted(manifest.items())), indent=2) + "\n"


def forge_file(release: Path, name: str) -> None:
    """Writes a changed file into the manifest of its release."""
    manifest = json.loads((release / "assets.extra/smdecl/manifest.json").read_text())
    content = (release / name).read_bytes()
    entry = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
    forge_manifest(release, files={**manifest["files"], name: entry})


@pytest.fixture
def interruptible():
    """Starts processes that signals end, and lets none outlive the test.

    A shell's background job ignores SIGINT, and so does every process that it starts.
    """
    started = []

    def start(arguments: Sequence[str | Path], **options) -> subprocess.Popen:
        command = ["env", "--default-signal=INT,TERM,HUP", *map(str, arguments)]
        process = subprocess.Popen(command, start_new_session=True, **options)
        started.append(process)
        return process

    yield start
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
