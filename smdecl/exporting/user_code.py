"""Finds the user's own code in tracebacks, and describes how it failed."""

from __future__ import annotations

import os
import re
import sys
import sysconfig
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from smdecl import installed
from smdecl.config import project_modules
from smdecl.errors import KeyPath, ModelError, Problem
from smdecl.exporting import keras_errors
from smdecl.resources import PACKAGE

FAILURES = (BaseException,)
"""What the user's code may raise: it may also call `sys.exit`, or derive from BaseException."""

_INSTALLED = [
    sysconfig.get_path(name)
    for name in ("stdlib", "platstdlib", "purelib", "platlib")
]
_ERROR_LINE = re.compile(r"\w+(Error|Exception|Interrupt|Exit): ")
_CALLING = "Exception encountered when calling"  # Keras's first line, before the reason

# Parts of the text of an error that TensorFlow raises while it runs a graph.
_GRAPH_ERROR = "Graph execution error"
_NODE = re.compile(r"Detected at node (\S+)")
_FRAME = re.compile(
    r'Detected at node|File "|<stack traces unavailable>|\d+ root error'
)
# The first line if several nodes fail at the same time, as they do with a GPU.
_SEVERAL = re.compile(r"\d+ root error")
_CODE = re.compile(r"\(\d+\) [A-Z_]+: +")

# A frame in the text of an error: AutoGraph adds the line of code, TensorFlow an empty line.
_FRAME_LINES = re.compile(
    r'^(?P<indent> *)File "(?P<file>[^"\n]+)", line \d+, in [^\n]*\n'
    r"(?:(?:(?P=indent) +[^\n]*\n)+|\n)?",
    re.MULTILINE,
)

# Colours, and the function that TensorFlow wraps around an op it runs eagerly.
_NOISE = re.compile(r"\x1b\[\d*m|\{\{function_node __wrapped__\w+[^}]*\}\} ?")


def summary(error: BaseException) -> str:
    """Returns the type and the message of an error in one line.

    Frames that AutoGraph and Keras put into messages are left out.
    """
    kind = type(error).__name__
    text = keras_errors.reason(_plain(str(error)))
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if lines and lines[0] == "in user code:":
        lines = _after_frames(lines)
        kind, _, lines[0] = lines[0].partition(": ")
    if lines and _begins_graph_error(lines[0]):
        lines = _of_graph(lines)
    if len(lines) > 1 and lines[0].startswith(_CALLING):
        del lines[0]
    # The line announces what comes next.
    while len(lines) > 1 and lines[0].endswith(":"):
        lines[:2] = [f"{lines[0]} {lines[1]}"]
    return f"{kind}: {lines[0]}" if lines else kind


def _begins_graph_error(line: str) -> bool:
    """Returns whether a line begins an error that TensorFlow raises while it runs a graph."""
    return line.startswith(_GRAPH_ERROR) or _SEVERAL.match(line) is not None


def _after_frames(lines: list[str]) -> list[str]:
    """Returns the lines of AutoGraph's text from the last error on."""
    starts = [
        index for index, line in enumerate(lines) if _ERROR_LINE.match(line)
    ]
    return lines[starts[-1] :] if starts else lines[-1:]


def _of_graph(lines: list[str]) -> list[str]:
    """Returns the reason in a graph error; its first lines only show where the node was defined."""
    frames = [index for index, line in enumerate(lines) if _FRAME.match(line)]
    start = frames[-1] + 1 if frames else 1
    reason = [
        line for line in lines[start:] if not line.startswith("[[{{node")
    ]
    if not reason:
        return lines
    reason[0] = _CODE.sub("", reason[0])
    for line in lines:
        found = _NODE.match(line)
        if found:
            node = found[1].strip("'")
            reason[0] += f" (node {node})"
            break
    return reason


def _plain(text: str) -> str:
    """Returns the text of an error without noise, and without frames of smdecl.

    An op that is traced passes through smdecl, so AutoGraph and TensorFlow list its frames.
    """
    return _FRAME_LINES.sub(_unless_smdecl, _NOISE.sub("", text))


def _unless_smdecl(lines: re.Match[str]) -> str:
    file = lines["file"]
    is_ours = Path(file).is_relative_to(PACKAGE) and not is_users(file)
    return "" if is_ours else lines[0]


def traceback_text(error: BaseException) -> str:
    """Returns the traceback of an error with the frames of the user's own files only."""
    frames = _users_frames(_frames_of(error))
    message = _plain(
        "".join(traceback.format_exception_only(type(error), error))
    )
    if not frames:
        return message
    return (
        "Traceback (your code):\n"
        + "".join(traceback.format_list(frames))
        + message
    )


def extracted(error: BaseException) -> traceback.StackSummary:
    """Returns all frames of an error, even if the model's code sets `sys.tracebacklimit`."""
    return traceback.extract_tb(error.__traceback__, limit=sys.maxsize)


def _frames_of(error: BaseException) -> list[traceback.FrameSummary]:
    """Returns the frames of an error, those in copies made by AutoGraph as the user's lines.

    AutoGraph itself puts these lines into the text of an Exception, but not of a SystemExit.
    """
    frames = []
    origins: dict[tuple[str, int], Any] = {}
    summaries = extracted(error)
    walked = traceback.walk_tb(error.__traceback__)
    for (frame, line), summary in zip(walked, summaries, strict=True):
        # A frame of AutoGraph that calls a copy; the copy knows its origin.
        copy = frame.f_locals.get("converted_f")
        origins.update(getattr(copy, "ag_source_map", {}))
        origin = origins.get((frame.f_code.co_filename, line))
        if origin is None:
            frames.append(summary)
        else:
            file, own_line = origin.loc.filename, origin.loc.lineno
            name = origin.function_name
            frames.append(traceback.FrameSummary(file, own_line, name))
    return frames


def _users_frames(
    frames: Iterable[traceback.FrameSummary],
) -> list[traceback.FrameSummary]:
    return [frame for frame in frames if is_users(frame.filename)]


def is_users(filename: str) -> bool:
    """Returns True for a source file of the user: not smdecl's, installed, or made by AutoGraph."""
    path = Path(filename)
    if path.is_relative_to(PACKAGE) and path.name != "models.py":
        return False
    if "autograph" in filename or not path.is_file():
        # AutoGraph runs functions from temporary copies, whose lines are not the user's.
        return False
    return not is_installed(path)


def is_installed(path: Path) -> bool:
    """Returns whether a path is below the directories of Python and of installed packages."""
    if any(path.is_relative_to(place) for place in _INSTALLED):
        return True
    # A virtual environment is often inside the project.
    return installed.holds(path)


def source_line(frames: traceback.StackSummary) -> str | None:
    """Returns file and line of the innermost frame in the user's own files."""
    own = _users_frames(frames)
    if not own:
        return None
    return f"{os.path.relpath(own[-1].filename)}:{own[-1].lineno}"


@contextmanager
def exits_reported() -> Iterator[None]:
    """Reports what the user's code raises to end the process, wherever it does so.

    Raises:
        ModelError: If it exits.
    """
    try:
        yield
    except Exception:
        raise
    except FAILURES as error:
        raise failure(("model",), "running its code", error) from error


def failure(path: KeyPath, doing: str, error: BaseException) -> ModelError:
    """Returns the error to raise if the model's own code failed.

    Args:
        path: The config key that led to the code.
        doing: What the code was run for, such as `tracing add`.
        error: What the code raised.
    """
    message = f"{doing} failed: {summary(error)}"
    names = project_modules.shadowed_modules()
    shadowed = [name for name in names if _mentions(message, name)]
    if shadowed:
        own = f"{', '.join(shadowed)} in the current directory"
        message += (
            f"; a module of Python or of an installed package shadows {own}"
        )
    return ModelError(Problem(path, message), traceback_text(error))


def _mentions(text: str, name: str) -> bool:
    return re.search(rf"\b{re.escape(name)}\b", text) is not None
