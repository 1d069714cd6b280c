"""Every error that smdecl raises, with the exit code that each one stands for.

An error carries `Problem`s: all that were found, each with the config key it is about and, once located, the file and
line or the override that the value came from.
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
from typing import Any

KeyPath = tuple[str | int, ...]
_SHOWN = 1000  # characters of an override
_SECRET = 4  # characters; what is shorter is in every text
STAGE = ".smdecl-"  # what the name of a directory begins with that a release is made in
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EIO, errno.EFBIG)


def dotted(path: KeyPath) -> str:
    """Returns a key path as a person writes it: `("examples", 0, "x")` is `examples[0].x`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text


def _masked(text: str, secrets: Mapping[str, str]) -> str:
    """Returns a text with the names of secrets for them, however they are quoted in it, and where they are cut off."""
    named: dict[str, str] = {}
    for name, value in secrets.items():
        instead = f"${{oc.env:{name}}}"
        for form in _forms(value):
            named.setdefault(form, instead)
            cuts = (
                f"{form[:size]}..."
                for size in range(_SECRET, len(form))
                if "..." in text
            )
            named.update(
                dict.fromkeys((cut for cut in cuts if cut in text), f"{instead}...")
            )
    if not named:
        return text
    # All at once and the longest first: one secret may begin another, or stand in the name of another.
    longest = sorted(named, key=len, reverse=True)
    return re.sub(
        "|".join(map(re.escape, longest)), lambda found: named[found[0]], text
    )


def _forms(value: str) -> list[str]:
    quoted = {
        json.dumps(value)[1:-1],
        json.dumps(value, ensure_ascii=False)[1:-1],
        repr(value)[1:-1],
    }
    forms = {
        value,
        " ".join(value.split()),
        *quoted,
        *(line.strip() for line in value.splitlines()),
    }
    return [form for form in forms if len(form) >= _SECRET]


def nearest(word: object, known: Iterable[object]) -> str:
    """Returns `" (did you mean 'float32'?)"` if `word` is close to one of `known`, else `""`."""
    matches = difflib.get_close_matches(
        str(word), [str(name) for name in known], n=1, cutoff=0.6
    )
    return f" (did you mean {matches[0]!r}?)" if matches else ""


@dataclass(frozen=True)
class Origin:
    """Where a config value came from: a line of a file, or an override on the command line."""

    file: str | None = None
    line: int | None = None
    override: str | None = None

    def __str__(self) -> str:
        if self.override is not None:
            cut = (
                self.override
                if len(self.override) <= _SHOWN
                else f"{self.override[: _SHOWN - 3]}..."
            )
            return f"override {cut!r}"
        return f"{self.file}:{self.line}" if self.line is not None else str(self.file)


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: the config key it is about, what was found there and what is taken."""

    path: KeyPath
    message: str
    origin: Origin | None = None

    @property
    def key(self) -> str:
        """The config key as it is written in an override; empty where the problem belongs to no key."""
        return dotted(self.path)

    def at(self, origin: Origin | None) -> Problem:
        """Returns the same problem with its origin, unless it has one already."""
        return (
            self
            if self.origin is not None
            else dataclasses.replace(self, origin=origin)
        )

    def masked(self, secrets: Mapping[str, str]) -> Problem:
        """Returns the same problem with the names of secrets in the place of their values."""
        path = tuple(
            _masked(part, secrets) if isinstance(part, str) else part
            for part in self.path
        )
        return dataclasses.replace(
            self, path=path, message=_masked(self.message, secrets)
        )

    def __str__(self) -> str:
        places = [str(place) for place in (self.origin, self.key) if place]
        return ": ".join([*places, self.message])


class SmdeclError(Exception):
    """Any error of smdecl.

    Attributes:
        exit_code: What the command line exits with.
        problems: All that was found; never empty.
        traceback_text: The part of the traceback that lies in the user's own code, where that is what failed.
        warnings: What the config lets pass, where a release was made and then failed.
    """

    exit_code = 1

    def __init__(
        self, problems: Problem | str | Sequence[Problem], traceback_text: str = ""
    ) -> None:
        if isinstance(problems, str):
            problems = Problem((), problems)
        self.problems: tuple[Problem, ...] = (
            (problems,) if isinstance(problems, Problem) else tuple(problems)
        )
        self.traceback_text = traceback_text
        self.warnings: tuple[Problem, ...] = ()
        super().__init__(self.problems, traceback_text)

    def masked(
        self, problems: Sequence[Problem], secrets: Mapping[str, str]
    ) -> SmdeclError:
        """Returns this error with other problems in the place of its own, and with the names of secrets for them.

        Its cause and traceback are kept.
        """
        told = [problem.masked(secrets) for problem in problems]
        other = type(self)(told, _masked(self.traceback_text, secrets))
        other.warnings = tuple(warning.masked(secrets) for warning in self.warnings)
        other.__cause__ = self.__cause__
        return other.with_traceback(self.__traceback__)

    def __reduce__(self) -> tuple[Any, ...]:
        cause = self.__cause__
        if cause is not None and not isinstance(cause, CauseText):
            # The cause itself may be of a class that only the process which raised it has, or has imported.
            cause = CauseText("".join(traceback.format_exception(cause)).rstrip())
        return type(self), (self.problems, self.traceback_text), {"__cause__": cause}

    def __setstate__(self, state: dict[str, Any] | None) -> None:
        self.__cause__ = (state or {}).get("__cause__")

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)


class CauseText(Exception):  # noqa: N818 - it stands for an error of any kind
    """What caused an error in another process: its traceback, as text."""


class InternalError(SmdeclError):
    """A bug in smdecl itself."""


class UsageError(SmdeclError):
    """The command line, or a call of the Python API, is not one that smdecl takes."""

    exit_code = 2


class ConfigError(SmdeclError):
    """The config cannot be composed, breaks its schema, or contradicts itself or the model."""

    exit_code = 2


class TrustError(ConfigError):
    """The config names code that may not run."""


class ModelError(SmdeclError):
    """The model's own code failed while it was built, restored, traced or saved."""

    exit_code = 3


class ContractError(SmdeclError):
    """What was traced or saved is not what the config declares, or breaks an audit rule."""

    exit_code = 4


class VerificationError(SmdeclError):
    """The saved model does not load, or does not compute what the object in memory computes."""

    exit_code = 4


class PublishError(SmdeclError):
    """The release could not be put in its place: the version exists, the disk is full, permission is denied."""

    exit_code = 5


@contextlib.contextmanager
def disk_errors(place: Path) -> Iterator[None]:
    """Turns what the file system refuses below `place` into a PublishError.

    Raises:
        PublishError: For every OSError, and for the errors that TensorFlow's writers make of one.
    """
    try:
        yield
    except OSError as error:
        raise _refused(
            place,
            error.filename2 or error.filename or place,
            error.strerror or str(error),
        ) from error
    except Exception as error:
        # TensorFlow's own error types cannot be named here, for they would have to be imported.
        refusal = next(
            (reason for code in _DISK if (reason := os.strerror(code)) in str(error)),
            None,
        )
        if refusal is None or isinstance(error, SmdeclError):
            raise
        raise _refused(place, place, refusal) from error


def _refused(place: Path, file: str | Path, reason: str) -> PublishError:
    base, part = _above_stage(place), _above_stage(Path(file))
    where = reason if base.is_relative_to(part) else f"{str(part)!r}: {reason}"
    message = f"{str(base)!r} cannot be written to: {where}; export_dir=DIR takes another place"
    return PublishError(Problem(("export_dir",), message))


def _above_stage(place: Path) -> Path:
    """Returns the directory that a stage lies in, for nobody who exports has named the stage itself."""
    return next(
        (
            path.parent
            for path in reversed((place, *place.parents))
            if path.name.startswith(STAGE)
        ),
        place,
    )
