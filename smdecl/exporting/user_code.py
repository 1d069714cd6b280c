"""Tells the user's own code in a traceback from everyone else's."""

from __future__ import annotations

import os
import re
import sysconfig
import traceback
from pathlib import Path

from smdecl.config import project_modules
from smdecl.errors import KeyPath, ModelError, Problem
from smdecl.exporting import keras_errors
from smdecl.resources import PACKAGE

_INSTALLED = [
    sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")
]
_NAMED = re.compile(r"\w+(Error|Exception|Interrupt|Exit): ")


def summary(error: BaseException) -> str:
    """Returns type and message of an error in a line, without the frames that AutoGraph and Keras put into messages."""
    kind = type(error).__name__
    text = keras_errors.reason(_plain(str(error)))
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if lines and lines[0] == "in user code:":
        named = [index for index, line in enumerate(lines) if _NAMED.match(line)]
        lines = lines[named[-1] :] if named else lines[-1:]
        kind, _, lines[0] = lines[0].partition(": ")
    if lines and lines[0].startswith(_GRAPH_ERROR):
        lines = _of_graph(lines)
    if len(lines) > 1 and lines[0].startswith("Exception encountered when calling"):
        del lines[0]
    while len(lines) > 1 and lines[0].endswith(
        ":"
    ):  # what it announces is on the next line
        lines[:2] = [f"{lines[0]} {lines[1]}"]
    return f"{kind}: {lines[0]}" if lines else kind


_GRAPH_ERROR = "Graph execution error"
_NODE = re.compile(r"Detected at node (\S+)")
_FRAME = re.compile(
    r'Detected at node|File "|<stack traces unavailable>|\d+ root error'
)
_CODE = re.compile(r"\(\d+\) [A-Z_]+: +")


def _of_graph(lines: list[str]) -> list[str]:
    """Returns what an error in a graph says: its first lines only tell where the node was defined."""
    frames = [index for index, line in enumerate(lines) if _FRAME.match(line)]
    said = [
        line
        for line in lines[frames[-1] + 1 if frames else 1 :]
        if not line.startswith("[[{{node")
    ]
    if not said:
        return lines
    nodes = [found[1].strip("'") for line in lines if (found := _NODE.match(line))]
    where = f" (node {nodes[0]})" if nodes else ""
    return [_CODE.sub("", said[0]) + where, *said[1:]]


def _plain(text: str) -> str:
    # Colours, and the node that TensorFlow wraps an op in which it runs by itself; the op's own name stands at the end.
    return re.sub(r"\x1b\[\d*m|\{\{function_node __wrapped__\w+[^}]*\}\} ?", "", text)


def traceback_text(error: BaseException) -> str:
    """Returns the traceback of an error, with only the frames that lie in the user's own files."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if is_users(frame.filename)
    ]
    message = _plain("".join(traceback.format_exception_only(type(error), error)))
    if not frames:
        return message
    return "Traceback (your code):\n" + "".join(traceback.format_list(frames)) + message


def is_users(filename: str) -> bool:
    """Tells whether a file of source is the user's own: not smdecl's, not installed, not made by AutoGraph."""
    path = Path(filename)
    if path.is_relative_to(PACKAGE) and path.name != "models.py":
        return False
    # AutoGraph runs functions from temporary copies, whose lines are not the user's.
    return (
        path.is_file()
        and not any(path.is_relative_to(place) for place in _INSTALLED)
        and "autograph" not in filename
    )


def source_line(frames: traceback.StackSummary) -> str | None:
    """Returns file and line of the innermost frame that lies in the user's own files."""
    own = [frame for frame in frames if is_users(frame.filename)]
    return f"{os.path.relpath(own[-1].filename)}:{own[-1].lineno}" if own else None


def failure(path: KeyPath, doing: str, error: BaseException) -> ModelError:
    """Returns the error that says that the model's own code failed, with its part of the traceback."""
    message = f"{doing} failed: {summary(error)}"
    shadowed = [
        name
        for name in project_modules.shadowed_modules()
        if re.search(rf"\b{re.escape(name)}\b", message)
    ]
    if shadowed:
        other = "a module of Python or of an installed package"
        message += f"; {', '.join(shadowed)} in the current directory has the name of {other}, which goes before it"
    return ModelError(Problem(path, message), traceback_text(error))
