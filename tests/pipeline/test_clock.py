"""Stages are measured, and reported to whoever listens; a child can report only its own."""

import threading

import pytest
from smdecl import progress
from smdecl.isolation.reports import Report
from smdecl.pipeline import verify
from smdecl.pipeline.clock import Clock
from smdecl.progress import Listener, Peak, Step

# Claims stages that are not its own, and numbers that are none.
FORGER = """
from smdecl.isolation import reports
from smdecl.models import Scaler
from smdecl.pipeline import clock

def make():
    clock.peak_memory = lambda: 10**400
    reports.report("publish", 1, 2)
    reports.report("no such stage")
    reports.report("build", -7, 10**100)
    return Scaler()
"""


class Recorder(Listener):
    def __init__(self):
        self.steps, self.stages, self.peaks = [], {}, []

    def reached(self, run, step):
        self.steps.append(step)

    def took(self, run, stage, seconds):
        self.stages[stage] = seconds

    def finished(self, run, seconds, peak):
        self.peaks.append(peak)


@pytest.fixture
def recorder():
    recorder = Recorder()
    with progress.listening([recorder]):
        yield recorder


def test_an_export_reports_each_stage_in_order_and_counts_examples_and_bytes(project, recorder):
    project.write("mynet.py", FORGER)

    release = project.export("model=scaler", "model._target_=mynet.make", "~model.factor")

    seen = list(dict.fromkeys(step.stage for step in recorder.steps))
    assert seen == [stage for stage in progress.STAGES if stage in seen]
    assert set(seen) == set(recorder.stages) == set(progress.STAGES) - {
        "hash", "reproduce", "compare", "compatible", "sign", "launch"
    }  # fmt: skip
    last = {step.stage: step for step in recorder.steps}
    assert last["examples"] == Step("examples", 3, 3)
    assert last["verify"] == Step("verify", 6, 6)  # by two loaders
    size = sum(path.stat().st_size for path in release.path.rglob("*") if path.is_file())
    assert 0 < last["seal"].done == last["seal"].total < size
    assert Step("publish", 1, 2) not in recorder.steps
    (peak,) = recorder.peaks
    assert 50 * 2**20 < peak.memory == release.peak_memory < 2**63


def test_a_verification_has_the_stages_of_its_process_too(project, recorder):
    release = project.export("model=scaler")
    recorder.steps.clear()
    recorder.stages.clear()

    verify.verify(release.path)

    seen = list(dict.fromkeys(step.stage for step in recorder.steps))
    assert seen == list(recorder.stages) == ["hash", "start", "verify"]
    assert recorder.steps[-1] == Step("verify", 6, 6)


def test_a_stage_of_a_child_that_never_begins_is_not_measured(recorder):
    with pytest.raises(ZeroDivisionError), Clock().stage_of_child("verify"):
        _ = 1 / 0

    assert list(recorder.stages) == ["start"]


def test_start_ends_with_the_first_report_of_a_child(recorder):
    clock = Clock(composed=2.0)
    reported = clock.starting()
    assert "start" not in clock.seconds

    reported(Report("build"))
    first = clock.seconds["start"]
    reported(Report("trace"))
    clock.add({"build": -1.0, "trace": 3.0, "publish": 9.0})
    clock.add({"save": float("inf"), "inspect": float("nan"), "examples": float("-inf")})
    clock.add({"sources": 10**400})
    clock.finish(Peak(1, "build"))

    assert clock.seconds["start"] == first
    assert clock.seconds | {"start": 0.0, "total": 0.0} == {
        "compose": 2.0, "start": 0.0, "build": 0.0, "trace": 3.0, "total": 0.0
    }  # fmt: skip
    assert clock.seconds["total"] >= 2.0


def test_a_failing_stage_is_measured(recorder):
    with pytest.raises(ZeroDivisionError), Clock().stage("check"):
        _ = 1 / 0

    assert list(recorder.stages) == ["check"]


def test_other_threads_and_contexts_without_listeners_report_to_nobody(recorder):
    with progress.listening(()):
        progress.reached("silent")
    thread = threading.Thread(target=progress.reached, args=["thread"])
    thread.start()
    thread.join()

    assert recorder.steps == []


def test_bytes_are_counted_for_the_innermost_block(recorder):
    progress.advance(5)
    progress.reached("publish")
    with progress.counting([10, 20]):
        progress.advance(10)
        with progress.counting([7]):
            progress.advance(7)
        progress.advance(20)

    assert recorder.steps[1:] == [
        Step("publish", 10, 30), Step("publish", 7, 7), Step("publish", 30, 30)
    ]  # fmt: skip
