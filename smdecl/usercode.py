"""Tells the user's own code in a traceback from everyone else's."""

from __future__ import annotations

import functools
import os
import re
import sys
import sysconfig
import traceback
from pathlib import Path

from smdecl import digests
from smdecl.errors import KeyPath, ModelError, Problem

_PACKAGE = Path(__file__).resolve().parent
_INSTALLED = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
_NAMED = re.compile(r"\w+(Error|Exception|Interrupt|Exit): ")


def summary(error: BaseException) -> str:
    """Returns type and message of an error in a line, without the frames that AutoGraph and Keras put into messages."""
    kind = type(error).__name__
    lines = [line.strip() for line in _plain(str(error)).splitlines() if line.strip()]
    if lines and lines[0] == "in user code:":
        named = [index for index, line in enumerate(lines) if _NAMED.match(line)]
        lines = lines[named[-1] :] if named else lines[-1:]
        kind, _, lines[0] = lines[0].partition(": ")
    if len(lines) > 1 and lines[0].startswith("Exception encountered when calling"):
        del lines[0]
    return f"{kind}: {lines[0]}" if lines else kind


def _plain(text: str) -> str:
    return re.sub(r"\x1b\[\d*m", "", text)


def traceback_text(error: BaseException) -> str:
    """Returns the traceback of an error, with only the frames that lie in the user's own files."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_users(frame.filename)]
    message = _plain("".join(traceback.format_exception_only(type(error), error)))
    if not frames:
        return message
    return "Traceback (your code):\n" + "".join(traceback.format_list(frames)) + message


def _is_users(filename: str) -> bool:
    path = Path(filename)
    if path.is_relative_to(_PACKAGE) and path.name != "models.py":
        return False
    # AutoGraph runs functions from temporary copies, whose lines are not the user's.
    return (
        path.is_file() and not any(path.is_relative_to(place) for place in _INSTALLED) and "autograph" not in filename
    )


def source_line(frames: traceback.StackSummary) -> str | None:
    """Returns file and line of the innermost frame that lies in the user's own files."""
    own = [frame for frame in frames if _is_users(frame.filename)]
    return f"{os.path.relpath(own[-1].filename)}:{own[-1].lineno}" if own else None


def modules(root: Path) -> dict[str, str]:
    """Returns the sha256 of the project's own modules that this process has imported, by their place in the project."""
    found = [vars(module).get("__file__") for module in [*sys.modules.values()] if hasattr(module, "__dict__")]
    files = {file for file in found if isinstance(file, str) and file.endswith(".py")}

    @functools.cache  # TensorFlow has thousands of modules, in far fewer directories
    def is_own(directory: str) -> bool:
        place = Path(directory).resolve()
        # A virtual environment often lies in the project.
        return place.is_relative_to(root) and not {"site-packages", "dist-packages"} & {*place.parts}

    paths = {Path(file).resolve() for file in files if is_own(file.rpartition("/")[0])}
    own = [path for path in paths if path.is_relative_to(root) and _is_users(str(path))]
    return {path.relative_to(root).as_posix(): digests.sha256(path) for path in sorted(own)}


def failure(path: KeyPath, doing: str, error: BaseException) -> ModelError:
    """Returns the error that says that the model's own code failed, with its part of the traceback."""
    return ModelError(Problem(path, f"{doing} failed: {summary(error)}"), traceback_text(error))
