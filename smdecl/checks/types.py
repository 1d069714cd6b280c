"""Names the types that several checks share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeAlias

from smdecl.config.settings import Spec
from smdecl.errors import Problem

# What a check finds.
Problems: TypeAlias = Iterator[Problem]
# The specs of the inputs of a signature, by name.
Specs: TypeAlias = Mapping[str, Spec]
