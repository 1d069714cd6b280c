"""Messages between a child and its caller while the function of the child runs.

A child may run any code. So reports are JSON, and the caller ignores invalid ones.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection

from smdecl.errors import KeyPath

_MARK = b"report "  # no pickle begins with it
_LONGEST = 1000  # bytes
_LONGEST_DOING = 300  # characters
_MOST = 2**63  # counts are smaller
PEAK = "peak"
"""The stage of a report of the memory of a child that was killed."""


@dataclass(frozen=True)
class Report:
    """How far a child is.

    Attributes:
        stage: What it does.
        done: How many of `total` are done; None if it does not count.
        total: How many there are; None if it does not count.
        asks: Whether the child waits for an answer.
        doing: What code of the user the child runs now, such as `building net.Net`; empty if the
            report does not say.
        key: The config key that led to that code.
    """

    stage: str
    done: int | None = None
    total: int | None = None
    asks: bool = False
    doing: str = ""
    key: KeyPath = ()


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


def running(key: KeyPath, doing: str) -> None:
    """Tells the caller what code of the user runs next, in case that it ends the process."""
    _send(Report("", doing=doing[:_LONGEST_DOING], key=key))


def report_peak(sender: Connection, memory: int) -> None:
    """Sends the caller the peak memory of a child that was killed, in bytes."""
    # The caller may wait no more.
    with suppress(OSError):
        _send_to(sender, Report(PEAK, memory, memory))


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
        _send_to(_caller.sender, message)


def _send_to(sender: Connection, message: Report) -> None:
    sender.send_bytes(_MARK + json.dumps(vars(message)).encode())


def is_report(data: bytes) -> bool:
    """Returns whether bytes from a child are meant as a report, and not as its result."""
    return data.startswith(_MARK)


def read(data: bytes) -> Report | None:
    """Returns a report that a child sent; None if it is none."""
    if len(data) > _LONGEST:
        return None
    try:
        found = json.loads(data.removeprefix(_MARK))
        found["key"] = tuple(found.get("key", ()))
        message = Report(**found)
    except (ValueError, TypeError, AttributeError, RecursionError):
        return None
    return message if _is_valid(message) else None


def _is_valid(message: Report) -> bool:
    if not isinstance(message.stage, str):
        return False
    if not isinstance(message.asks, bool):
        return False
    if not isinstance(message.doing, str):
        return False
    if not all(type(part) in (str, int) for part in message.key):
        return False
    return _is_valid_count(message.done, message.total)


def _is_valid_count(done: object, total: object) -> bool:
    if done is None and total is None:
        return True
    # By `type`, because True is an instance of int.
    if type(done) is not int or type(total) is not int:
        return False
    return 0 <= done <= total < _MOST
