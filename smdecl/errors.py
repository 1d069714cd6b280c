"""Every error that smdecl raises, with its exit code.

An error carries all `Problem`s that were found. Each has the config key that it is about and, once
located, its origin: a file and line, or an override.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import errno
import json
import os
import re
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

KeyPath = tuple[str | int, ...]
# The prefix of the directories in which releases are made.
STAGE = ".smdecl-"
_LONGEST_OVERRIDE = 1000  # characters
# Characters; a shorter value occurs in too many texts to be replaced.
_SHORTEST_SECRET = 4
_DISK_ERRORS = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EACCES,
    errno.EROFS,
    errno.EIO,
    errno.EFBIG,
)


def dotted(path: KeyPath) -> str:
    """Returns a key path as users write it: `("examples", 0, "x")` becomes `examples[0].x`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text


def _masked(text: str, secrets: Mapping[str, str]) -> str:
    """Replaces the values of secrets by their names: quoted or not, cut off or not."""
    names: dict[str, str] = {}
    for name, value in secrets.items():
        instead = f"${{oc.env:{name}}}"
        for form in _forms(value):
            names.setdefault(form, instead)
            for cut in _cuts(form, text):
                names[cut] = f"{instead}..."
    if not names:
        return text
    # All at once, the longest first: a secret may be the beginning of another, or part of its name.
    longest_first = sorted(names, key=len, reverse=True)
    pattern = "|".join(map(re.escape, longest_first))
    return re.sub(pattern, lambda found: names[found[0]], text)


def _forms(value: str) -> list[str]:
    """Returns the ways in which messages quote a value."""
    forms = {
        value,
        " ".join(value.split()),
        json.dumps(value)[1:-1],
        json.dumps(value, ensure_ascii=False)[1:-1],
        repr(value)[1:-1],
        *(line.strip() for line in value.splitlines()),
    }
    return [form for form in forms if len(form) >= _SHORTEST_SECRET]


def _cuts(form: str, text: str) -> Iterator[str]:
    """Yields the beginnings of a secret that a text has before `...`."""
    if "..." not in text:
        return
    for size in range(_SHORTEST_SECRET, len(form)):
        cut = f"{form[:size]}..."
        if cut in text:
            yield cut


def closest(
    word: object, known: Iterable[object], cutoff: float = 0.6
) -> str | None:
    """Returns the one of `known` that is most similar to `word`; None if none is similar.

    Args:
        word: What was written.
        known: What can be meant.
        cutoff: The least similarity, between 0 and 1. Upper and lower case are the same.
    """
    names: dict[str, str] = {}
    for name in map(str, known):
        names.setdefault(name.casefold(), name)
    written = str(word).casefold()
    matches = difflib.get_close_matches(written, names, n=8, cutoff=cutoff)
    # Such as int64 for int46, which resembles int4 more.
    swapped = [name for name in matches if sorted(name) == sorted(written)]
    best = [*swapped, *matches]
    return names[best[0]] if best else None


def did_you_mean(name: str | None) -> str:
    """Returns the hint `" (did you mean 'float32'?)"`, or `""` for None."""
    return "" if name is None else f" (did you mean {name!r}?)"


def nearest(word: object, known: Iterable[object]) -> str:
    """Returns `" (did you mean 'float32'?)"` if `word` is close to one of `known`, else `""`."""
    meant = closest(word, known)
    if meant == str(word):
        return ""
    return did_you_mean(meant)


@dataclass(frozen=True)
class Origin:
    """The origin of a config value: a line of a file, or an override on the command line."""

    file: str | None = None
    line: int | None = None
    override: str | None = None

    def __str__(self) -> str:
        if self.override is not None:
            return f"override {_cut_override(self.override)!r}"
        if self.line is None:
            return str(self.file)
        return f"{self.file}:{self.line}"


def _cut_override(text: str) -> str:
    if len(text) <= _LONGEST_OVERRIDE:
        return text
    return f"{text[: _LONGEST_OVERRIDE - 3]}..."


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        path: The config key that it is about; empty if there is none.
        message: What was found, what was expected, and a hint if there is one.
        origin: Where the value came from; None until it is located.
    """

    path: KeyPath
    message: str
    origin: Origin | None = None

    @property
    def key(self) -> str:
        """The config key as an override has it; empty if the problem is about no key."""
        return dotted(self.path)

    def at(self, origin: Origin | None) -> Problem:
        """Returns this problem with an origin; an origin that it already has is kept."""
        if self.origin is not None:
            return self
        return dataclasses.replace(self, origin=origin)

    def masked(self, secrets: Mapping[str, str]) -> Problem:
        """Returns this problem with the values of secrets replaced by their names.

        Args:
            secrets: The names of environment variables with their values.
        """
        path: list[str | int] = []
        for part in self.path:
            path.append(
                _masked(part, secrets) if isinstance(part, str) else part
            )
        message = _masked(self.message, secrets)
        return dataclasses.replace(self, path=tuple(path), message=message)

    def __str__(self) -> str:
        places = [str(place) for place in (self.origin, self.key) if place]
        return ": ".join([*places, self.message])


class SmdeclError(Exception):
    """Base class of the errors of smdecl.

    Attributes:
        exit_code: The exit code of the command line.
        problems: All problems that were found; never empty.
        traceback_text: The frames of the traceback in the user's code, if that code failed.
        warnings: Warnings about the config, if a release was made before the error.
    """

    exit_code = 1

    def __init__(
        self,
        problems: Problem | str | Sequence[Problem],
        traceback_text: str = "",
    ) -> None:
        if isinstance(problems, str):
            problems = Problem((), problems)
        if isinstance(problems, Problem):
            problems = [problems]
        self.problems = tuple(problems)
        self.traceback_text = traceback_text
        self.warnings: tuple[Problem, ...] = ()
        super().__init__(self.problems, traceback_text)

    def masked(
        self, problems: Sequence[Problem], secrets: Mapping[str, str]
    ) -> SmdeclError:
        """Returns this error with other problems, and with the values of secrets replaced.

        Keeps the cause and the traceback.
        """
        masked_problems = [problem.masked(secrets) for problem in problems]
        error = type(self)(
            masked_problems, _masked(self.traceback_text, secrets)
        )
        error.warnings = tuple(
            warning.masked(secrets) for warning in self.warnings
        )
        error.__cause__ = self.__cause__
        return error.with_traceback(self.__traceback__)

    def __reduce__(self) -> tuple[object, ...]:
        cause = self.__cause__
        if cause is not None and not isinstance(cause, CauseText):
            # The process that unpickles the error may lack the class of the cause.
            cause = CauseText(
                "".join(traceback.format_exception(cause)).rstrip()
            )
        return (
            type(self),
            (self.problems, self.traceback_text),
            {"__cause__": cause},
        )

    def __setstate__(
        self, state: dict[str, BaseException | None] | None
    ) -> None:
        self.__cause__ = (state or {}).get("__cause__")

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)


class CauseText(Exception):  # noqa: N818 - it represents an exception of any class
    """The cause of an error in a different process: its traceback as text."""


class InternalError(SmdeclError):
    """A bug in smdecl itself."""


class UsageError(SmdeclError):
    """The command line or a call of the Python API is invalid."""

    exit_code = 2


class ConfigError(SmdeclError):
    """The config cannot be composed, breaks its schema, or contradicts itself or the model."""

    exit_code = 2


class TrustError(ConfigError):
    """The config names code that is not allowed to run."""


class ModelError(SmdeclError):
    """The model's code failed while the model was built, restored, traced or saved."""

    exit_code = 3


class ContractError(SmdeclError):
    """The traced or saved model differs from what the config declares, or breaks an audit rule."""

    exit_code = 4


class VerificationError(SmdeclError):
    """The saved model does not load, or its results differ from those of the object in memory."""

    exit_code = 4


class PublishError(SmdeclError):
    """The release cannot be published: its version exists, or the disk is full."""

    exit_code = 5


@contextlib.contextmanager
def disk_errors(place: Path) -> Iterator[None]:
    """Turns errors of the file system below `place` into a PublishError.

    Raises:
        PublishError: For every OSError, and for the errors that TensorFlow's writers raise instead.
    """
    try:
        yield
    except OSError as error:
        file = error.filename2 or error.filename or place
        raise _write_error(
            place, file, error.strerror or str(error)
        ) from error
    except SmdeclError:
        raise
    except Exception as error:
        # Recognizes TensorFlow's errors by message: naming their classes would import TensorFlow.
        reasons = [os.strerror(code) for code in _DISK_ERRORS]
        found = [reason for reason in reasons if reason in str(error)]
        if not found:
            raise
        raise _write_error(place, place, found[0]) from error


def _write_error(place: Path, file: str | Path, reason: str) -> PublishError:
    directory, refused = _above_stage(place), _above_stage(Path(file))
    if not directory.is_relative_to(refused):
        reason = f"{str(refused)!r}: {reason}"
    message = f"cannot write to {str(directory)!r}: {reason}; set a different export_dir"
    return PublishError(Problem(("export_dir",), message))


def _above_stage(place: Path) -> Path:
    """Returns the directory that holds the stage in a path: users never named the stage itself."""
    for path in reversed((place, *place.parents)):
        if path.name.startswith(STAGE):
            return path.parent
    return place
