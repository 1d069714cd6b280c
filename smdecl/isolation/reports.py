"""Messages between a child and its caller while the function of the child runs.

A child may run any code. So reports are JSON, and the caller ignores invalid ones.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection

_MARK = b"report "  # no pickle begins with it
_LONGEST = 1000  # bytes
_MOST = 2**63  # counts are smaller


@dataclass(frozen=True)
class Report:
    """How far a child is.

    Attributes:
        stage: What it does.
        done: How many of `total` are done; None if it does not count.
        total: How many there are; None if it does not count.
        asks: Whether the child waits for an answer.
    """

    stage: str
    done: int | None = None
    total: int | None = None
    asks: bool = False


def _nothing() -> None:
    pass


@dataclass(frozen=True)
class Answer:
    """What a caller answers, and what it does while the child goes on.

    Attributes:
        text: The answer.
        afterwards: Called when the answer is sent.
    """

    text: str = ""
    afterwards: Callable[[], None] = _nothing


@dataclass(frozen=True)
class ReportHandler:
    """What a caller does with the reports of a child.

    Attributes:
        reported: Gets each report.
        answers: Stage to a function that returns the answer, for reports that ask. Each is
            called at most once; to all else the answer is empty.
    """

    reported: Callable[[Report], None] | None = None
    answers: Mapping[str, Callable[[], Answer]] | None = None


@dataclass
class _Caller:
    """The pipes to and from the caller; None in a process that is not a child."""

    sender: Connection | None = None
    receiver: Connection | None = None


_caller = _Caller()


def connect(sender: Connection, receiver: Connection) -> None:
    """Sets the pipes of a child to and from its caller."""
    _caller.sender = sender
    _caller.receiver = receiver


def report(
    stage: str, done: int | None = None, total: int | None = None
) -> None:
    """Sends the caller a report of the progress; does nothing outside of a child."""
    _send(Report(stage, done, total))


def ask(stage: str) -> str:
    """Tells the caller that a stage is reached, and returns its answer; empty if it has none."""
    _send(Report(stage, asks=True))
    return listen()


def listen() -> str:
    """Waits for a message of the caller and returns it; empty outside of a child.

    Raises:
        EOFError: If the caller has ended.
    """
    if _caller.receiver is None:
        return ""
    return _caller.receiver.recv_bytes().decode()


def _send(message: Report) -> None:
    if _caller.sender is not None:
        text = json.dumps(vars(message))
        _caller.sender.send_bytes(_MARK + text.encode())


def is_report(data: bytes) -> bool:
    """Returns whether bytes from a child are meant as a report, and not as its result."""
    return data.startswith(_MARK)


def read(data: bytes) -> Report | None:
    """Returns a report that a child sent; None if it is none."""
    if len(data) > _LONGEST:
        return None
    try:
        found = json.loads(data.removeprefix(_MARK))
        message = Report(**found)
    except (ValueError, TypeError, RecursionError):
        return None
    return message if _is_valid(message) else None


def _is_valid(message: Report) -> bool:
    if not isinstance(message.stage, str):
        return False
    if not isinstance(message.asks, bool):
        return False
    return _is_valid_count(message.done, message.total)


def _is_valid_count(done: object, total: object) -> bool:
    if done is None and total is None:
        return True
    # By `type`, because True is an instance of int.
    if type(done) is not int or type(total) is not int:
        return False
    return 0 <= done <= total < _MOST
