#!/usr/bin/env bash
# Pins all packages by hash, in one file per supported Python. Requires uv: pip install uv.
set -euo pipefail
cd "$(dirname "$0")/.."
for version in 3.10 3.11 3.12 3.13; do
    uv pip compile --quiet --no-config --no-header --generate-hashes --upgrade --extra dev \
        --python-version "$version" --python-platform x86_64-manylinux_2_28 \
        --output-file "constraints/python$version.txt" pyproject.toml
done
