"""The processes that the stages with TensorFlow run in."""

from __future__ import annotations

from smdecl.isolation.processes import Processes

# Modules are named, because an import of them here would delay the start of the server.
PRELOAD = ("smdecl.pipeline.preload",)
RESULTS = (
    "smdecl.config.settings",
    "smdecl.errors",
    "smdecl.exporting.building.records",
    "smdecl.pipeline.records",
    "smdecl.savedmodel.records",
    "smdecl.verification.records",
)

children = Processes(PRELOAD, RESULTS)
