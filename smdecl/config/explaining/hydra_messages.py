"""Reads what Hydra's own error messages say."""

from __future__ import annotations

import re

from hydra.errors import OverrideParseException

_EXPECTED = (
    "expected key=value without spaces around =; quote a value that contains"
    " $ { } [ ] ( ) , : = or spaces, such as 'key=\"a value\"'"
)
# Outside of quotes; a quoted value may have commas anywhere.
_EMPTY_VALUE = re.compile(r"""^[^'"]*(?:[=,\[({]\s*,|,\s*[\])}]|,\s*$)""")
_NO_VALUE = "expected a value before and after each comma"
_BOILERPLATE = ("Error parsing override", "See https", "LexerNoViableAlt")


def text(error: Exception) -> str:
    """Returns the message on one line, without OmegaConf's details."""
    message = str(error.__cause__ or error)
    return " ".join(message.split()).partition(" full_key:")[0]


def parse_error(error: OverrideParseException) -> str:
    """Returns what is wrong with an override that Hydra cannot parse."""
    return f"invalid override: {_reason(error)}"


def _reason(error: OverrideParseException) -> str:
    """Returns what Hydra's parser reports, without the override and the pointer into it."""
    if _EMPTY_VALUE.match(str(error.override)):
        return _NO_VALUE
    for line in str(error).splitlines():
        if re.search(r"\w", line) and not line.startswith(_BOILERPLATE):
            reason = line.strip().partition(" expecting {")[0]
            return f"{reason}; {_EXPECTED}"
    return _EXPECTED


def group_chosen_twice(message: str) -> str | None:
    """Returns the group of which two options are chosen, if the message is about that."""
    found = re.match(
        r"(?:Multiple values for (\S+)\. |(\S+) appears more than once)",
        message,
    )
    if found is None:
        return None
    return found.group(1) or found.group(2)


def nothing_to_override(error: Exception) -> str | None:
    """Returns the group that has no option to override, if an error is about that."""
    found = re.match(r"Could not override '([^']+)'\. No match", str(error))
    return found and found.group(1)


def refused_override(error: Exception) -> str | None:
    """Returns the override that cannot be merged into the config, if an error is about one."""
    found = re.match(r"Error merging override (.+)", str(error), re.DOTALL)
    return found and found.group(1)


def invalid_index(error: Exception) -> str | None:
    """Returns the key that Hydra took for the index of a list, if an error is about one."""
    if not isinstance(error, ValueError):
        return None
    found = re.match(r"invalid literal for int\(\) .*: '(.*)'$", str(error))
    return found and found.group(1)


def is_unchecked(error: Exception) -> bool:
    """Returns whether Hydra used a value without checking it; the message names no origin then."""
    if isinstance(error, (TypeError, AttributeError, KeyError)):
        return True
    return "override must be a string or a list" in str(error)
