"""The provenance of a release: an in-toto Statement v1 with a SLSA v1 predicate, made of the manifest alone.

Nothing of time, host or place is in it, so that the same manifest gives the same text. What it names:

    buildType     urn:smdecl:export:v1, an export by smdecl: `externalParameters.config` is the resolved config without
                  `export_dir` and `publish`, what it reads from the environment unresolved. Another form of this file
                  is another number.
    builder.id    pkg:pypi/smdecl, its version beside it
    dependencies  the source commit, `annotations.clean` false where it lacks code that ran; the files that the
                  release was made of; and the packages
"""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Iterator, Mapping
from typing import Any

from smdecl import schema
from smdecl.names import OWN_FILES

FILE = f"{OWN_FILES}/provenance.json"
BUILD_TYPE = "urn:smdecl:export:v1"
_BUILDER = "pkg:pypi/smdecl"


def text(manifest: Mapping[str, Any], digests: Mapping[str, str]) -> str:
    """Returns the statement about a release, as it is written.

    Args:
        manifest: Of the release.
        digests: Name to sha256 of every file that the statement is about.
    """
    version = manifest["environment"].get("smdecl")
    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [
            {"name": name, "digest": {"sha256": digest}}
            for name, digest in sorted(digests.items())
        ],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {"config": manifest["config"]},
                "internalParameters": {},
                "resolvedDependencies": list(_dependencies(manifest)),
            },
            "runDetails": {
                "builder": {
                    "id": _BUILDER,
                    "version": {} if version is None else {"smdecl": version},
                }
            },
        },
    }
    schema.require("provenance", statement)
    return json.dumps(statement, indent=2, sort_keys=True) + "\n"


def _dependencies(manifest: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    if source := manifest["source"]:
        yield {
            "name": "source",
            "digest": {"gitCommit": source["commit"]},
            "annotations": {"clean": source["clean"]},
        }
    for name, sha256 in sorted(manifest["inputs"].items()):
        yield {"name": name, "digest": {"sha256": sha256}}
    for package, version in sorted(manifest["environment"].items()):
        yield {"uri": _purl(package, version)}


def _purl(package: str, version: str) -> str:
    """Returns the package URL; Python itself is on no index."""
    kind = "generic" if package == "python" else "pypi"
    name = urllib.parse.quote(package.lower().replace("_", "-"), safe="")
    return f"pkg:{kind}/{name}@{urllib.parse.quote(version, safe='')}"
