"""The caller's side of a call: what is run in a child, and what comes back from it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

from smdecl.errors import Problem, SmdeclError
from smdecl.isolation import reports, results
from smdecl.isolation.child import Task
from smdecl.isolation.reports import Answer, ReportHandler
from smdecl.isolation.results import ResultError

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

    def failed(self, message: str) -> SmdeclError:
        """Returns the error of a child that ended without a result."""
        return self.failure(Problem((), message))


class EndedError(Exception):
    """A child ended before it had sent its result.

    Attributes:
        has_begun: Whether its function had begun.
    """

    def __init__(self, has_begun: bool) -> None:
        super().__init__()
        self.has_begun = has_begun


def receive(
    receiver: Connection,
    go: Connection,
    sentinel: int,
    call: Call,
    modules: Sequence[str],
) -> Any:
    """Waits for the outcome of a child, and passes on its reports until then.

    Args:
        receiver: What the child sends.
        go: What the child receives.
        sentinel: Is ready when the child ends.
        call: What the child runs.
        modules: Names of the modules whose records and errors may be in a result.

    Returns:
        The result, or an error.

    Raises:
        EndedError: If the child ended without a result.
    """
    ready = wait([receiver, sentinel])
    if receiver not in ready and not receiver.poll():
        raise EndedError(has_begun=False)
    _next(receiver, has_begun=False)  # says that the function begins
    try:
        data = _result(receiver, go, call.handler)
        expected = results.returned_by(call.task.function)
        return results.read(data, expected, modules)
    except ResultError as error:
        return call.failed(
            f"the process that was {call.doing} returned no result: {error}"
        )


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
    while True:
        data = _next(receiver, has_begun=True)
        if not reports.is_report(data):
            return data
        report = reports.read(data)
        if report is None:
            continue
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


def _next(receiver: Connection, has_begun: bool) -> bytes:
    try:
        return receiver.recv_bytes(_LARGEST_RESULT)
    except (EOFError, OSError) as error:
        # The process ended before it had sent all.
        raise EndedError(has_begun) from error


def send(go: Connection, message: str) -> None:
    """Sends a message to a child; does nothing if the child has ended."""
    with suppress(BrokenPipeError):
        go.send_bytes(message.encode())
