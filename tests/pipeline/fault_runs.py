"""Publishes with each file system call failing in turn, killed at each, and by many processes.

As a program it forks, which is unsafe once TensorFlow is imported: so it imports none of it.
"""

import contextlib
import errno
import functools
import itertools
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from smdecl.config.settings import Publish
from smdecl.errors import PublishError
from smdecl.release.publish_local import LocalPublisher

from tests.pipeline.faults import (
    NEXT,
    Calls,
    PartialVersionError,
    digest,
    publish,
    served,
    versions,
)


@dataclass(frozen=True)
class Case:
    """What is published, and what is there before."""

    options: Publish
    before: Publish | None = None  # how an older release was published there
    empty: bool = False  # the base path is an empty directory

    @property
    def again(self) -> Publish:
        """What publishes once more where this one has been published."""
        return Publish(None, replace=True) if self.options.version is None else NEXT


CASES = {
    "next": Case(NEXT),
    "next to another": Case(NEXT, before=NEXT),
    "next, alone": Case(Publish(version="next", replace=False, keep=1), before=NEXT),
    "given": Case(Publish(5, replace=False)),
    "given, replaced": Case(Publish(5, replace=True), before=Publish(5, replace=False)),
    "null": Case(Publish(None, replace=False)),
    "null, into an empty directory": Case(Publish(None, replace=False), empty=True),
    "null, replaced": Case(Publish(None, replace=True), before=Publish(None, replace=False)),
}


class Run:
    """One publishing of the release `new`, where `old` may be already, in a separate directory."""

    def __init__(self, root: Path, case: Case, old: Path, new: Path) -> None:
        self.root, self.case, self.new = root, case, new
        self.base = root / "deep" / "base"
        root.mkdir(parents=True)
        if case.empty:
            self.base.mkdir(parents=True)
        if case.before is not None:
            publish(old, self.base, case.before)
        self.before = self.served()
        self._new_digest = digest(new)

    def served(self) -> dict[int | None, str]:
        return served(self.base, self.case.options)

    def act(self, calls: Calls, has_renameat2: bool) -> None:
        publish(self.new, self.base, self.case.options, calls, has_renameat2)

    @property
    def after(self) -> list[dict[int | None, str]]:
        """What may stand where it has been published: what to keep is settled after that."""
        version = self.case.options.version
        added = {
            max(self.before, default=0) + 1 if version == "next" else version: self._new_digest
        }
        return (
            [{**self.before, **added}, added]
            if self.case.options.keep
            else [{**self.before, **added}]
        )

    def wrong_after_error(self, error: BaseException | None) -> Iterator[str]:
        """Yields what is wrong: it is published, or a PublishError was raised and nothing is."""
        served = self.served()
        if error is None and served not in self.after:
            yield f"reported as published, and there is {served}"
        if not isinstance(error, (PublishError, type(None))):
            yield f"{type(error).__name__} and no PublishError: {error}"
        elif error is not None and not (
            error.exit_code == 5 and all(problem.key for problem in error.problems)
        ):
            yield f"no key: {error}"
        if (
            error is not None
            and served != self.before
            and not (self.case.options.replace and served in self.after)
        ):
            yield f"reported as failed ({error}), and there is {served}"

    def unsynced(self, calls: Calls) -> list[str]:
        """Returns the directories that could have lost the release, or what leads to it, after a power failure."""
        release = self.base if self.case.options.version is None else self.base / "version"
        holding = {parent for parent in release.parents if parent.is_relative_to(self.root)}
        failed = {
            path for _, path in calls.seen[calls.number - 1 : calls.number]
        }  # published all the same
        return sorted(
            map(str, holding - failed - {path for name, path in calls.seen if name == "fsync"})
        )

    def wrong_after_next(self) -> Iterator[str]:
        """Publishes once more, undisturbed, and yields what is wrong then."""
        options = self.case.options if self.served() == self.before else self.case.again
        try:
            path = publish(self.new, self.base, options)
        except Exception as error:
            yield f"the next one fails: {type(error).__name__}: {error}"
            return
        if digest(path) != self._new_digest:
            yield "the next one is another"
        numbers = (
            [] if options.version is None else [path.name for path in versions(self.base).values()]
        )
        places = [(self.root, ["deep"]), (self.root / "deep", ["base"])]
        places += [] if options.version is None else [(self.base, numbers)]
        for place, names in places:
            if left := set(os.listdir(place)) - set(names):
                yield f"left behind in {place.relative_to(self.root)}: {left}"


def fail_everywhere(
    root: Path, case: Case, old: Path, new: Path, has_renameat2: bool, code: int
) -> dict:
    """Fails every call in turn; returns the names of the calls, and what was wrong by the call's number."""

    def refuse(name: str, path: Path) -> None:
        if name not in ("stat", "lstat") or code != errno.ENOSPC:  # to look takes no space
            raise OSError(code, os.strerror(code), str(path))

    wrong = {}
    for number in itertools.count(1):
        run, calls, raised = (
            Run(root / str(number), case, old, new),
            Calls(root, number, refuse),
            None,
        )
        try:
            run.act(calls, has_renameat2)
        except Exception as error:
            raised = error
        unsynced = [*_unsynced(calls, new), *run.unsynced(calls)] if raised is None else []
        found = [f"published without a sync: {place}" for place in unsynced]
        found += _described(lambda: [*run.wrong_after_error(raised), *run.wrong_after_next()])  # noqa: B023
        if found:
            call = " ".join(
                str(part) for call in calls.seen[number - 1 : number] for part in call
            )  # none in the last
            wrong[f"{number} {call}"] = [text.replace(str(run.root), "") for text in found]
        shutil.rmtree(run.root)
        if not calls.reached:
            return {"calls": calls.names, "wrong": wrong}
    raise AssertionError


def _unsynced(calls: Calls, release: Path) -> list[str]:
    """Returns the files and directories of a release that could be empty after a power failure."""
    synced = {
        path.as_posix().partition("/moved")[2] for name, path in calls.seen if name == "fsync"
    }
    return [
        place
        for path in release.rglob("*")
        if (place := path.as_posix().removeprefix(str(release))) not in synced
    ]


def _described(check: Callable[[], list[str]]) -> list[str]:
    try:
        return check()
    except PartialVersionError as error:
        return [f"partial: {error}"]


def _unexpected(run: Run, allowed: list) -> list[str]:
    seen = run.served()
    return [] if seen in allowed else [f"there is {seen}"]


def _wrong_after_next(run: Run) -> list[str]:
    return list(run.wrong_after_next())


def kill_everywhere(root: Path, case: Case, old: Path, new: Path, has_renameat2: bool) -> dict:
    """Kills a process at every call in turn, polling; returns the number of calls, and what was wrong by number."""
    wrong = {}
    for number in itertools.count(1):
        run = Run(root / str(number), case, old, new)
        child = os.fork()
        if child == 0:
            run.act(
                Calls(root, number, lambda *_: os.kill(os.getpid(), signal.SIGKILL)), has_renameat2
            )
            os._exit(0)
        # Without renameat2 a swap is two renames, between which there is nothing.
        allowed = [run.before, *run.after] + ([] if has_renameat2 else [{}])
        found, status = [], None
        while status is None:
            ended, code = os.waitpid(child, os.WNOHANG)
            status = code if ended else None  # a last look after the end
            found += _described(functools.partial(_unexpected, run, allowed))
        found += _described(functools.partial(_wrong_after_next, run))
        if found or status not in (0, signal.SIGKILL):
            wrong[number] = [*found, f"status {status}"]
        shutil.rmtree(run.root)
        if status != signal.SIGKILL:
            return {"calls": number - 1, "wrong": wrong}
    raise AssertionError


def race(root: Path, work: Callable[[Path], object], processes: int, times: int) -> dict:
    """Has many processes do the same at once, polling; returns what they got and what was wrong."""
    base, results = root / "deep" / "deeper" / "base", root / "results"
    results.mkdir()
    start, starter = os.pipe()
    children = []
    for index in range(processes):
        children.append(os.fork())
        if children[-1] == 0:
            os.close(starter)
            os.read(start, 1)
            got = []
            for _ in range(times):
                try:
                    got.append(work(base))
                except Exception as error:
                    got.append(f"{type(error).__name__}: {error}")
            (results / str(index)).write_text(json.dumps(got))
            os._exit(0)
    os.close(starter)
    wrong, running = [], set(children)
    while running:
        running -= {child for child in running if os.waitpid(child, os.WNOHANG)[0]}
        wrong += _described(
            lambda: [number for number, seen in served(base, NEXT).items() if not seen]
        )
        time.sleep(0.05)
    got = [one for file in results.iterdir() for one in json.loads(file.read_text())]
    shutil.rmtree(results)
    return {"got": got, "wrong": wrong}


def _fail_in_the_stage(base: Path) -> None:
    with contextlib.suppress(ZeroDivisionError), LocalPublisher(base, NEXT).stage():
        raise ZeroDivisionError


def _main(verb: str, root: str, old: str, new: str, *rest: str) -> dict:
    if verb == "kill":
        name, has_renameat2 = rest
        return kill_everywhere(
            Path(root), CASES[name], Path(old), Path(new), has_renameat2 == "True"
        )
    if verb == "race":
        return race(
            Path(root), lambda base: int(publish(Path(new), base, NEXT).name), *map(int, rest)
        )
    return race(Path(root), _fail_in_the_stage, *map(int, rest))


if __name__ == "__main__":
    json.dump(_main(*sys.argv[1:]), sys.stdout)
