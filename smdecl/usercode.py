"""Tells the user's own code in a traceback from everyone else's."""

from __future__ import annotations

import traceback
from pathlib import Path

_PACKAGE = str(Path(__file__).resolve().parent)


def summary(error: BaseException) -> str:
    """Returns type and message of an error, cut where a framework repeats its own internals."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else ""
    if text == "in user code:" and len(lines) > 1:
        text = lines[-1].strip()
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def traceback_text(error: BaseException) -> str:
    """Returns the traceback of an error, with only the frames that lie in the user's own files."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_users(frame.filename)]
    message = "".join(traceback.format_exception_only(type(error), error))
    if not frames:
        return message
    return "Traceback (your code):\n" + "".join(traceback.format_list(frames)) + message


def _is_users(filename: str) -> bool:
    path = Path(filename)
    if filename.startswith(_PACKAGE) and path.name != "models.py":
        return False
    # AutoGraph runs functions from temporary copies, whose lines are not the user's.
    return path.is_file() and not {"site-packages", "dist-packages", "lib"} & set(path.parts) and "autograph" not in filename
