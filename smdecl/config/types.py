"""Names the types that several modules of the config stage share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from smdecl.errors import KeyPath

# A plain config, or a mapping in it.
Values: TypeAlias = Mapping[str, Any]
# A key path, and the reason why its value is refused.
Refusal: TypeAlias = tuple[KeyPath, str]
# A key path, and the name of a file that the value there names.
NamedFile: TypeAlias = tuple[KeyPath, str]
