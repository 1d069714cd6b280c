"""As many variants run at the same time as fit into memory; no export runs here."""

import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from smdecl.isolation import groups, memory
from smdecl.isolation.groups import AbandonedError, Group
from smdecl.pipeline import sweep_jobs
from smdecl.pipeline.sweep_jobs import Jobs, fitting

GIB = 1 << 30


@pytest.mark.parametrize(
    ("peak", "available", "cores", "fit"),
    [
        (GIB, 16 * GIB, 4, 4),
        (5 * GIB, 16 * GIB, 4, 3),
        (9 * GIB, 16 * GIB, 4, 1),
        (17 * GIB, 16 * GIB, 4, 1),
        (GIB, -GIB, 4, 1),
        (0, GIB, 4, 4),
    ],
)
def test_as_many_variants_run_as_fit(peak, available, cores, fit):
    assert fitting(peak, available, cores) == fit


class Machine:
    """Cores, memory and what is noted."""

    def __init__(self, monkeypatch, cores: int, gibibytes: float) -> None:
        self.notes: list[str] = []
        self.group = Group()
        self.available = int(gibibytes * GIB) if gibibytes else sys.maxsize
        monkeypatch.setattr(sweep_jobs.os, "sched_getaffinity", lambda _: {*range(cores)})
        monkeypatch.setattr(memory, "available", lambda: self.available)

    def jobs(self, variants: int, chosen: int | None = None) -> Jobs:
        return Jobs(variants, chosen, self.group, self.notes.append)


def most_at_a_time(jobs: Jobs, variants: int, peak: int) -> list[int]:
    """Runs variants; returns how many had a turn when each began."""
    lock = threading.Lock()
    running = 0
    seen: list[int] = []

    def run() -> None:
        nonlocal running
        with jobs.turn():
            with lock:
                running += 1
                seen.append(running)
            jobs.measured(peak)
            with lock:
                running -= 1

    with ThreadPoolExecutor(jobs.most) as pool:
        for future in [pool.submit(run) for _ in range(variants)]:
            future.result()
    return seen


def test_the_first_variant_runs_alone_and_tells_how_many_fit(monkeypatch):
    machine = Machine(monkeypatch, cores=4, gibibytes=16)
    jobs = machine.jobs(8)
    assert machine.group.is_frugal

    seen = most_at_a_time(jobs, 8, 6 * GIB)

    assert len(seen) == 8
    assert seen[0] == 1
    assert max(seen) <= 2
    assert machine.notes == [
        "2 variants run at a time: one takes 6.0 GiB of memory, and 16.0 GiB are available"
    ]
    assert machine.group.is_frugal


def test_nothing_is_noted_if_memory_suffices(monkeypatch):
    machine = Machine(monkeypatch, cores=4, gibibytes=16)

    seen = most_at_a_time(machine.jobs(8), 8, GIB)

    assert seen[0] == 1
    assert machine.notes == []
    assert not machine.group.is_frugal


def test_after_a_failure_all_cores_are_used_until_a_variant_succeeds(monkeypatch):
    machine = Machine(monkeypatch, cores=4, gibibytes=16)
    jobs = machine.jobs(8)
    everybody = threading.Barrier(4, timeout=60)

    def fail() -> None:
        with jobs.turn():
            everybody.wait()

    with jobs.turn():
        pass
    with ThreadPoolExecutor(4) as pool:
        for future in [pool.submit(fail) for _ in range(4)]:
            future.result()
    assert machine.notes == []
    assert not machine.group.is_frugal

    assert len(most_at_a_time(jobs, 8, 6 * GIB)) == 8
    assert machine.notes == [
        "2 variants run at a time: one takes 6.0 GiB of memory, and 16.0 GiB are available"
    ]
    assert machine.group.is_frugal


@pytest.mark.parametrize(
    ("variants", "chosen", "cores", "gibibytes"),
    [(8, 3, 4, 1), (1, None, 4, 1), (8, None, 1, 1), (8, None, 4, 0)],
    ids=["the user chose", "one variant", "one core", "unknown memory"],
)
def test_nothing_is_measured_if_it_decides_nothing(monkeypatch, variants, chosen, cores, gibibytes):
    machine = Machine(monkeypatch, cores, gibibytes)
    jobs = machine.jobs(variants, chosen)
    everybody = threading.Barrier(jobs.most)

    def run() -> None:
        with jobs.turn():
            everybody.wait()
            jobs.measured(100 * GIB)

    with ThreadPoolExecutor(jobs.most) as pool:
        for future in [pool.submit(run) for _ in range(jobs.most)]:
            future.result()

    assert machine.notes == []
    assert not machine.group.is_frugal


def test_who_waits_for_a_turn_learns_that_the_sweep_was_interrupted(monkeypatch):
    machine = Machine(monkeypatch, cores=2, gibibytes=16)
    jobs = machine.jobs(2)

    def wait() -> None:
        groups.join(machine.group)
        with jobs.turn():
            raise AssertionError("an interrupted sweep begins no variant")

    with ThreadPoolExecutor(1) as pool:
        with jobs.turn():
            waiting = pool.submit(wait)
            machine.group.is_abandoned = True
        with pytest.raises(AbandonedError):
            waiting.result()


def test_variants_begin_in_their_order(monkeypatch):
    jobs = Machine(monkeypatch, cores=1, gibibytes=16).jobs(4)
    turns = [jobs.turn() for _ in range(4)]
    begun = []

    def run(number: int) -> None:
        with turns[number]:
            begun.append(number)

    with ThreadPoolExecutor(4) as pool:
        for future in [pool.submit(run, number) for number in (3, 2, 1, 0)]:
            future.result()

    assert begun == [0, 1, 2, 3]


def test_the_next_variant_begins_while_one_is_published(monkeypatch):
    jobs = Machine(monkeypatch, cores=2, gibibytes=16).jobs(4, chosen=2)

    with jobs.turn(), jobs.turn():
        assert jobs.running == jobs.allowed
        sweep_jobs.end_turn()
        assert jobs.running < jobs.allowed
    assert jobs.running == 0


def test_one_at_a_time_stays_one_at_a_time(monkeypatch):
    jobs = Machine(monkeypatch, cores=2, gibibytes=16).jobs(4, chosen=1)

    with jobs.turn():
        sweep_jobs.end_turn()
        assert jobs.running == jobs.allowed


@pytest.mark.parametrize(("peak", "allowed"), [(GIB, 2), (3 * GIB, 1)])
def test_another_begins_when_the_first_is_built_if_memory_is_plentiful(monkeypatch, peak, allowed):
    machine = Machine(monkeypatch, cores=4, gibibytes=16)
    jobs = machine.jobs(8)

    with jobs.turn():
        assert jobs.allowed == 1
        sweep_jobs.built(peak)
        assert jobs.allowed == allowed
        machine.available = GIB  # because others run already
        sweep_jobs.measured(4 * GIB)
        assert jobs.allowed == 4
    assert machine.notes == []


def test_a_later_failure_tells_nothing_about_memory(monkeypatch):
    jobs = Machine(monkeypatch, cores=4, gibibytes=16).jobs(8)

    with jobs.turn():
        sweep_jobs.built(GIB)
        with jobs.turn():
            sweep_jobs.built(GIB // 100)
        assert jobs.allowed == 2
    assert jobs.allowed == 4
