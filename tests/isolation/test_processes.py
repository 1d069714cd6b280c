"""Functions run in pristine processes, and a process that dies is an error."""

import ast
import ctypes
import gc
import os
import signal
import subprocess
import sys
import textwrap
import time
import weakref
from multiprocessing import Pipe
from pathlib import Path

import pytest
from smdecl.errors import ConfigError, InternalError, Problem, VerificationError
from smdecl.isolation import child
from smdecl.pipeline.children import children

from tests.conftest import ROOT, server_pid
from tests.waiting import is_gone, wait_for


def run(function, *args, **options):
    return children.run(function, *args, failure=VerificationError, doing="testing", **options)


def name_of_a_layer():
    import keras

    return (
        keras.layers.Dense(1).name,
        os.environ["PYTHONHASHSEED"],
        hash("a"),
        keras.config.backend(),
    )


def test_all_processes_start_from_the_same_state():
    first, second = run(name_of_a_layer), run(name_of_a_layer)

    assert first == second
    assert first[0] == "dense"


def frozen():
    return gc.get_freeze_count()


def test_the_garbage_collector_of_a_child_ignores_what_the_server_imported():
    assert run(frozen) > 100_000


def imported_by(file):
    """Returns the modules of smdecl that a file imports, including in function bodies."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module.startswith("smdecl"):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in names if (ROOT / f"{name.replace('.', '/')}.py").is_file()}


def not_imported(names):
    return sorted(names - sys.modules.keys())


@pytest.mark.parametrize("name", ["stages", "worker", "loader_processes"])
def test_the_server_imports_what_each_child_needs(name):
    needed = imported_by(ROOT / f"smdecl/pipeline/{name}.py")

    assert needed
    assert run(not_imported, needed) == []


class Cycle:
    def __init__(self):
        self.itself = self


def living(cycles):
    references = [weakref.ref(Cycle()) for _ in range(cycles)]
    return sum(reference() is not None for reference in references)


def test_garbage_of_a_long_build_is_collected():
    assert run(living, 200_000) < 100_000


def pass_on(receiver, sender):
    sender.send(receiver.recv() + 1)


def test_two_functions_run_concurrently():
    options = {"failure": VerificationError, "doing": "passing on"}
    (ours, first), (second, third), (fourth, theirs) = (Pipe() for _ in range(3))
    with (
        children.running(pass_on, second, theirs, **options) as running,
        children.running(pass_on, first, third, **options),
    ):
        ours.send(1)
        running.result()

    assert fourth.recv() == 3


def crash():
    ctypes.string_at(0)


def test_a_crash_in_native_code_is_an_error():
    with pytest.raises(
        VerificationError,
        match="the process that was testing was killed by SIGSEGV, by an invalid access to memory",
    ):
        run(crash)


def send_to_nobody():
    receiver, sender = Pipe(duplex=False)
    receiver.close()
    child._send(sender, "result")


def test_a_result_that_nobody_waits_for_ends_the_process_silently(capfd):
    with pytest.raises(VerificationError, match="the process that was testing exited"):
        run(send_to_nobody)

    assert capfd.readouterr().err == ""


def leave():
    os._exit(7)


def test_a_process_that_exits_without_a_result_is_an_error():
    with pytest.raises(VerificationError, match="exited with status 7 without a result"):
        run(leave)


def end_with_the_server():
    """Ends all processes of a job, as a scheduler does."""
    os.kill(server_pid(), signal.SIGKILL)
    os.kill(os.getppid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_process_whose_server_was_killed_is_not_blamed_on_the_model():
    with pytest.raises(
        VerificationError, match="was ended from outside, with the server it came from"
    ):
        run(end_with_the_server)
    assert run(say) == "result"


def fail():
    try:
        raise OSError("disk")
    except OSError as cause:
        raise ConfigError(Problem(("a", 0, "b"), "is wrong")) from cause


def test_an_error_arrives_complete_with_its_cause_as_text():
    with pytest.raises(ConfigError) as error:
        run(fail)

    assert error.value.problems == (Problem(("a", 0, "b"), "is wrong"),)
    assert "OSError: disk" in str(error.value.__cause__)


def divide():
    return 1 // 0


def test_an_unexpected_exception_is_reported_as_a_bug_with_its_traceback():
    with pytest.raises(InternalError) as error:
        run(divide)

    assert error.value.exit_code == 1
    assert "return 1 // 0" in error.value.traceback_text


def say():
    print("from the model")  # as a model's own code may
    return "result"


def test_what_a_model_prints_does_not_reach_standard_output(capfd):
    assert run(say) == "result"

    out, err = capfd.readouterr()
    assert out == ""
    assert "from the model" in err


def leave_a_file():
    import tempfile

    return tempfile.mkstemp()[1]


def test_the_temporary_directory_of_a_child_is_removed():
    assert not Path(run(leave_a_file)).exists()


def sleep_beside_a_child(path):
    child = subprocess.Popen(["sleep", "3600"], start_new_session=True)
    Path(path).write_text(f"{os.getpid()} {child.pid}")
    time.sleep(3600)


def sleep_alone(path):
    Path(path).write_text(f"{os.getpid()} ")
    time.sleep(3600)


def test_a_function_that_starts_no_processes_needs_no_keeper():
    runs = [run(os.getppid, starts_processes=starts) for starts in (False, False, True)]
    first, second, keeper = runs

    assert first == second != keeper


def test_a_process_without_a_keeper_ends_although_its_caller_ignores_sigterm(tmp_path):
    pid = tmp_path / "pid"
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with (
            children.apart() as processes,
            processes.running(
                sleep_alone,
                str(pid),
                failure=VerificationError,
                doing="sleeping",
                starts_processes=False,
            ),
        ):
            wait_for(lambda: pid.exists() and " " in pid.read_text())
    finally:
        signal.signal(signal.SIGTERM, before)

    assert is_gone(pid.read_text().strip())


SLEEPING = """
import sys, threading
from smdecl.pipeline.children import children
from smdecl.errors import ModelError
from tests.isolation import test_processes

def sleep(name):
    function = getattr(test_processes, name)
    keeper = function is test_processes.sleep_beside_a_child
    children.run(function, name, failure=ModelError, doing="sleeping", starts_processes=keeper)

first, *others = sys.argv[1:]
for name in others:
    threading.Thread(target=sleep, args=(name,), daemon=True).start()
sleep(first)
"""


@pytest.mark.parametrize(
    ("number", "functions"),
    [
        (signal.SIGKILL, [sleep_beside_a_child, sleep_alone]),
        *(
            pytest.param(number, [function], marks=pytest.mark.slow)
            for number in (signal.SIGTERM, signal.SIGINT)
            for function in (sleep_beside_a_child, sleep_alone)
        ),
    ],
)
def test_no_process_outlives_its_caller(tmp_path, interruptible, number, functions):
    names = [function.__name__ for function in functions]
    process = interruptible(
        [sys.executable, "-c", SLEEPING, *names],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
    )
    files = [tmp_path / name for name in names]

    def are_sleeping():
        return all(file.exists() and " " in file.read_text() for file in files)

    wait_for(lambda: process.poll() is not None or are_sleeping())
    process.send_signal(number)
    process.communicate(timeout=300)

    started = [pid for file in files for pid in file.read_text().split()]
    assert len(started) == len(functions) + (sleep_beside_a_child in functions)
    wait_for(lambda: all(map(is_gone, started)))


def test_a_script_without_a_main_guard_exports_once_and_does_not_recurse(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent("""
        import os, sys
        print("started", file=sys.stderr, flush=True)
        count = int(os.environ.get("COUNT", "0"))
        os.environ["COUNT"] = str(count + 1)
        if count > 2:
            os._exit(9)
        import smdecl
        class Net: pass
        try:
            print(smdecl.export(smdecl.compose(["model=adder"])).path)
            print("own", file=sys.stderr, flush=True)
            smdecl.export(smdecl.compose(["model._target_=script.Net"]))
        except smdecl.errors.UsageError as error:
            sys.exit(f"{error.exit_code} {error}")
        """),
        encoding="utf-8",
    )
    done = subprocess.run(
        [sys.executable, script], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip

    assert done.stdout == "exports/adder/1\n"
    # The second start is the model's process, which imports the script and is refused there.
    assert done.stderr.startswith("started\nown\nstarted\n")
    assert done.stderr.count("started") == 2
    assert 'put the call below `if __name__ == "__main__":`' in done.stderr
