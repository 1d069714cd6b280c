"""Prints what changed between the results of two runs of a verb."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from smdecl.cli.output import report
from smdecl.errors import Problem, SmdeclError

Result = TypeVar("Result")

_DONE = 6  # after the exit codes of all stages


@dataclass(frozen=True)
class Outcome(Generic[Result]):
    """How a run ended.

    Attributes:
        is_composed: Whether there was a config to check.
        result: What the verb returned; None if it failed.
        error: Why it failed; None if it did not.
        warnings: The warnings of either.
    """

    is_composed: bool
    result: Result | None
    error: SmdeclError | None
    warnings: tuple[Problem, ...]

    @property
    def problems(self) -> tuple[Problem, ...]:
        """The problems of the error."""
        return () if self.error is None else self.error.problems

    @property
    def reached(self) -> int:
        """How far the run came: further for a greater number."""
        if self.error is None:
            return _DONE
        return self.error.exit_code if self.is_composed else 0


def problems(before: Outcome[Result], now: Outcome[Result]) -> None:
    """Prints which errors and warnings are new, which are gone, and how many remain."""
    # A run that fails earlier does not reach what failed before.
    if now.reached and now.reached >= before.reached:
        gone = [
            *_missing(before.problems, now.problems),
            *_missing(before.warnings, now.warnings),
        ]
        report.note(f"fixed: {problem}" for problem in gone)
    report.warn(map(str, _missing(now.warnings, before.warnings)))
    if now.error is None:
        return
    new = _missing(now.problems, before.problems)
    if new:
        report.failed(
            now.error.exit_code,
            list(map(str, new)),
            now.error.traceback_text,
        )
    same = len(now.problems) - len(new)
    if same:
        errors = "1 error" if same == 1 else f"{same} errors"
        report.note([f"{errors} as before"])


def _missing(
    some: Sequence[Problem], others: Sequence[Problem]
) -> list[Problem]:
    """Returns those problems that are not among others, wherever their lines have moved to."""
    known = set(map(_identity, others))
    return [problem for problem in some if _identity(problem) not in known]


def _identity(problem: Problem) -> tuple[object, ...]:
    origin = problem.origin
    place = None if origin is None else (origin.file, origin.override)
    return problem.path, problem.message, place


def changed_lines(before: str, now: str) -> str:
    """Returns the lines that were removed and added, each group below its heading.

    A heading is a line that is not indented.
    """
    old, new = before.splitlines(), now.splitlines()
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
    found: list[str] = []
    shown = None
    for tag, old_start, old_end, new_start, new_end in matcher.get_opcodes():
        if tag == "equal":
            continue
        heading = _heading(new, new_start)
        lines = [f"- {line}" for line in old[old_start:old_end]]
        lines += [f"+ {line}" for line in new[new_start:new_end]]
        if heading is not None and heading != shown and lines[0][2:3] == " ":
            found.append(f"  {heading}")
        found += lines
        shown = heading
    return "".join(f"{line}\n" for line in found)


def _heading(lines: Sequence[str], index: int) -> str | None:
    """Returns the last line above a place that is not indented."""
    for line in reversed(lines[:index]):
        if not line.startswith(" "):
            return line
    return None
