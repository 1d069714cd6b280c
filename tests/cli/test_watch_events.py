"""Which changes of files are reported."""

import threading

import pytest

pytest.importorskip("watchfiles")

from smdecl.cli.watching.watch_events import Events
from smdecl.cli.watching.watch_pace import Pace
from smdecl.errors import UsageError

from tests.waiting import wait_for


@pytest.fixture
def events():
    """Events, with the paths that were reported until now."""
    events = Events()
    events.seen = set()
    threading.Thread(target=collect, args=(events,), daemon=True).start()
    yield events
    events.close()


def collect(events):
    while True:
        events.seen |= events.wait()


def test_a_change_is_reported_although_other_directories_are_watched_from_then_on(events, tmp_path):
    (tmp_path / "other").mkdir()
    for number in range(5):
        file = tmp_path / f"file{number}"
        events.watch({tmp_path})
        file.touch()
        events.watch({tmp_path, tmp_path / "other"})

        wait_for(lambda file=file: file in events.seen, 60)


def test_a_directory_with_the_path_of_a_removed_one_is_watched(events, tmp_path):
    directory = tmp_path / "conf"
    directory.mkdir()
    assert events.watch({directory})
    assert not events.watch({directory})
    directory.rename(tmp_path / "aside")
    directory.mkdir()

    assert events.watch({directory})
    (directory / "a.yaml").touch()
    wait_for(lambda: directory / "a.yaml" in events.seen, 60)


def test_a_missing_directory_is_left_out_and_reported(events, tmp_path):
    missing = tmp_path / "missing"

    assert events.watch({tmp_path, missing})
    assert events.watch({tmp_path, missing})
    assert not events.watch({tmp_path})
    assert events.wait(0) == set()


def test_too_many_directories_are_reported(tmp_path, monkeypatch):
    def refuse(*_paths, **_options):
        raise OSError("OS file watch limit reached")

    monkeypatch.setattr("watchfiles.watch", refuse)

    with pytest.raises(UsageError, match=r"cannot watch 1 directories: .*fs.inotify"):
        Events().watch({tmp_path})


def test_work_takes_a_tenth_of_the_time_and_waits_a_few_seconds_at_most():
    now = [100.0]
    pace = Pace(lambda: now[0])

    def work(seconds):
        with pace.measured():
            now[0] += seconds
        return pace.left()

    assert pace.left() == 0
    assert work(0.25) == 2.5
    now[0] += 2.5
    assert pace.left() == 0
    assert work(60) == 5.0
