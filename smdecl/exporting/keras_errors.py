"""Rewords the errors of Keras about a file that it cannot load.

Keras puts the reason last, after dumps of configs. It advises what a config cannot do: to decorate
classes, or to switch its safe mode off.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

CODE = "a Lambda layer or another Python lambda, which is code in the file and is not run"
_OUTER = "Exception encountered: "
_DUMP = re.compile(r"\s*(Full object config: |config=)\{.*", re.DOTALL)
_UNKNOWN = re.compile(r"Could not locate (?P<kind>\w+) '(?P<name>[^']+)'")
_CODE = re.compile(
    r"Requested the deserialization of a .*lambda", re.IGNORECASE
)


@dataclass(frozen=True)
class Unknown:
    """A class or function of a file that Keras was not given.

    Attributes:
        kind: `class` or `function`.
        name: Its name.
        target: Its path when the file was saved, such as `mynet.Attention`; `MODULE` stands for
            an unknown module.
    """

    kind: str
    name: str
    target: str


def reason(text: str) -> str:
    """Returns the part of a message that says why, without what Keras dumps around it."""
    return _DUMP.sub("", text.rpartition(_OUTER)[2]).strip()


def unknown(error: BaseException) -> Unknown | None:
    """Returns the class or function that a file names and Keras does not know."""
    text = str(error)
    found = _UNKNOWN.search(text.rpartition(_OUTER)[2])
    if found is None:
        return None
    kind, name = found["kind"], found["name"]
    module = re.search(
        rf"'module': '([\w.]+)', 'class_name': '{re.escape(name)}'", text
    )
    return Unknown(
        kind, name, f"{'MODULE' if module is None else module[1]}.{name}"
    )


def holds_code(error: BaseException) -> bool:
    """Tells whether a file holds a Python lambda, which Keras does not run in its safe mode."""
    return _CODE.search(str(error)) is not None
