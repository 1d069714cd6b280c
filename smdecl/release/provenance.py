"""The provenance of a release: an in-toto Statement v1 with a SLSA v1 predicate.

It is made from the manifest alone, without time, host or path, so that the same manifest
gives the same text.

    buildType     urn:smdecl:export:v1. `externalParameters.config` is the resolved config
                  without `export_dir` and `publish`; values from the environment are
                  unresolved. If this format changes, so does the number.
    builder.id    pkg:pypi/smdecl, with its version
    dependencies  the source commit (`annotations.clean` is false if the commit lacks code
                  that ran), the files that the release was made from, and the packages
"""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Iterator, Mapping
from typing import Any

from smdecl import schema
from smdecl.names import OWN_FILES
from smdecl.release.manifest_types import Manifest

FILE = f"{OWN_FILES}/provenance.json"
BUILD_TYPE = "urn:smdecl:export:v1"
_BUILDER = "pkg:pypi/smdecl"


def text(manifest: Manifest, digests: Mapping[str, str]) -> str:
    """Returns the statement about a release, as it is written to disk.

    Args:
        manifest: The manifest of the release.
        digests: Name to sha256 of every file that the statement covers.
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


def _dependencies(manifest: Manifest) -> Iterator[dict[str, Any]]:
    source = manifest["source"]
    if source is not None:
        yield {
            "name": "source",
            "digest": {"gitCommit": source["commit"]},
            "annotations": {"clean": source["clean"]},
        }
    for name, sha256 in sorted(manifest["inputs"].items()):
        yield {"name": name, "digest": {"sha256": sha256}}
    for package, version in sorted(manifest["environment"].items()):
        yield {"uri": _package_url(package, version)}


def _package_url(package: str, version: str) -> str:
    # Python is not on PyPI.
    kind = "generic" if package == "python" else "pypi"
    name = urllib.parse.quote(package.lower().replace("_", "-"), safe="")
    return f"pkg:{kind}/{name}@{urllib.parse.quote(version, safe='')}"
