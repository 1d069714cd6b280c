"""The caller's side of a call: what is run in a child, and what comes back from it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

from smdecl.errors import KeyPath, Problem, SmdeclError
from smdecl.isolation import reports, results
from smdecl.isolation.child import Task
from smdecl.isolation.reports import Answer, Report, ReportHandler
from smdecl.isolation.results import ResultError
from smdecl.printing import printable

# The answers fit into the smallest pipe, so sending one never waits for the child to read.
_MOST_QUESTIONS = 100
_LARGEST_RESULT = 1 << 30  # bytes


@dataclass(frozen=True)
class Call:
    """A task, and what its caller does with its reports and its end.

    Attributes:
        task: What the child runs.
        failure: The error to raise if the child ends without a result.
        doing: What the child does, for the text of that error.
        handler: What to do with the reports of the child.
    """

    task: Task
    failure: type[SmdeclError]
    doing: str
    handler: ReportHandler

    def failed(self, message: str, key: KeyPath = ()) -> SmdeclError:
        """Returns the error of a child that ended without a result."""
        return self.failure(Problem(key, message))


@dataclass
class Activity:
    """What a child did last, by its reports.

    Attributes:
        stage: Its stage; empty before its first report.
        doing: What code of the user it ran; empty if that is not known.
        key: The config key that led to that code.
        peak: The most memory that it used, in bytes; 0 if that is not known.
    """

    stage: str = ""
    doing: str = ""
    key: KeyPath = ()
    peak: int = 0

    def hear(self, report: Report) -> None:
        """Updates this with what a report says."""
        if report.doing:
            self.doing = report.doing
            self.key = report.key
        elif report.stage != self.stage and not report.asks:
            self.stage = report.stage
            self.doing = ""
            self.key = ()

    def __str__(self) -> str:
        """Returns when the child ended, to follow how it ended."""
        doing = f" while {printable(self.doing)}" if self.doing else ""
        stage = f" (stage {printable(self.stage)})" if self.stage else ""
        return f"{doing}{stage}"


class EndedError(Exception):
    """A child ended before it had sent its result.

    Attributes:
        activity: What it did last; None if its function had not begun.
    """

    def __init__(self, activity: Activity | None) -> None:
        super().__init__()
        self.activity = activity


@dataclass
class Conversation:
    """What a caller and a child say to each other.

    Attributes:
        receiver: What the child sends.
        go: What the child receives.
        sentinel: Is ready when the child ends.
        call: What the child runs.
        modules: Names of the modules whose records and errors may be in a result.
        has_begun: Whether the function of the child has begun, as far as the caller knows.
    """

    receiver: Connection
    go: Connection
    sentinel: int
    call: Call
    modules: Sequence[str]
    has_begun: bool = False

    def receive(self) -> Any:
        """Waits for the next outcome of the child, and passes on its reports until then.

        Returns:
            The result, or an error.

        Raises:
            EndedError: If the child ended without a result.
        """
        if not self.has_begun:
            self._await_begin()
        call = self.call
        try:
            data = _result(self.receiver, self.go, call.handler)
            expected = results.returned_by(call.task.function)
            return results.read(data, expected, self.modules)
        except ResultError as error:
            return call.failed(
                f"the process that was {call.doing} returned no result: {error}"
            )

    def _await_begin(self) -> None:
        ready = wait([self.receiver, self.sentinel])
        if self.receiver not in ready and not self.receiver.poll():
            raise EndedError(None)
        _next(self.receiver, None)  # says that the function begins
        self.has_begun = True


def _result(
    receiver: Connection, go: Connection, handler: ReportHandler
) -> bytes:
    """Returns the pickled result of a child, after all its reports.

    Raises:
        ResultError: If the child asks too much.
        EndedError: If it ended without a result.
    """
    answers = dict(handler.answers or {})
    asked = 0
    activity = Activity()
    while True:
        data = _next(receiver, activity)
        if not reports.is_report(data):
            return data
        report = reports.read(data)
        if report is None:
            continue
        if report.stage == reports.PEAK:
            activity.peak = report.done or 0
            continue
        activity.hear(report)
        if handler.reported is not None:
            handler.reported(report)
        if report.asks:
            asked += 1
            if asked > _MOST_QUESTIONS:
                raise ResultError(
                    f"it asked more than {_MOST_QUESTIONS} questions"
                )
            # Once each: the child may ask again.
            answer = answers.pop(report.stage, Answer)()
            send(go, answer.text)
            answer.afterwards()


def _next(receiver: Connection, activity: Activity | None) -> bytes:
    try:
        return receiver.recv_bytes(_LARGEST_RESULT)
    except (EOFError, OSError) as error:
        # The process ended before it had sent all.
        raise EndedError(activity) from error


def send(go: Connection, message: str) -> None:
    """Sends a message to a child; does nothing if the child has ended."""
    with suppress(BrokenPipeError):
        go.send_bytes(message.encode())
