"""What several test files need: a project of one's own to export from, and files to compare with."""

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import smdecl

ROOT = Path(__file__).resolve().parent.parent


def pytest_addoption(parser):
    parser.addoption("--update-golden", action="store_true", help="write what was got where a golden file differs")


@pytest.fixture
def golden(request):
    """Compares a text with a file beside the tests; --update-golden writes it."""

    def compare(path: Path, text: str) -> None:
        if request.config.getoption("--update-golden"):
            path.write_text(text, encoding="utf-8")
        assert path.is_file(), f"no {path}; run pytest --update-golden and read what it writes"
        assert text == path.read_text(encoding="utf-8")

    return compare


@dataclass
class Project:
    """A directory with a config and code of its own, that exports run from."""

    root: Path

    def write(self, name: str, text: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def compose(self, *overrides: str) -> smdecl.Composition:
        conf = self.root / "conf"
        return smdecl.compose(overrides, config_dir=conf if conf.is_dir() else None)

    def export(self, *overrides: str, **options) -> smdecl.Release:
        return smdecl.export(self.compose(*overrides), **options)

    def run(self, *arguments: str, **options) -> subprocess.CompletedProcess:
        """Runs the command line in a process of its own."""
        return run_cli(*arguments, cwd=self.root, **options)


def run_cli(*arguments: str, cwd: Path, env: dict | None = None) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "smdecl", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), **(env or {})},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture
def project(tmp_path, monkeypatch):
    """An empty project, which is the current directory and importable."""
    root = tmp_path / "project"
    root.mkdir()
    (root / "pyproject.toml").write_text("")
    monkeypatch.chdir(root)
    monkeypatch.syspath_prepend(root)
    before = set(sys.modules)
    yield Project(root)
    for name in set(sys.modules) - before:
        if str(root) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def tree(directory: Path) -> dict[str, bytes]:
    """Returns every file under a directory with its bytes."""
    return {
        path.relative_to(directory).as_posix(): path.read_bytes() for path in directory.rglob("*") if path.is_file()
    }


def forge_manifest(release: Path, **changed: object) -> None:
    """Changes the manifest of a release and makes digest and checksum fit, as anybody can.

    A digest that is given is kept.
    """
    path = release / "assets.extra/smdecl/manifest.json"
    manifest = json.loads(path.read_text())
    for key, value in changed.items():
        manifest[key] = dict(sorted(value.items())) if isinstance(value, dict) else value
    if "digest" not in changed:
        names = sorted(manifest["files"], key=lambda name: f"./{name}".encode())
        lines = [f"{manifest['files'][name]['sha256']}  ./{name}\n" for name in names]
        manifest["digest"] = hashlib.sha256("".join(lines).encode()).hexdigest()
    del manifest["checksum"]
    manifest["checksum"] = hashlib.sha256(_json(manifest).encode()).hexdigest()
    path.write_text(_json(manifest))


def _json(manifest: dict) -> str:
    return json.dumps(dict(sorted(manifest.items())), indent=2) + "\n"


def forge_file(release: Path, name: str) -> None:
    """Writes a changed file into the manifest of its release."""
    manifest = json.loads((release / "assets.extra/smdecl/manifest.json").read_text())
    content = (release / name).read_bytes()
    entry = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
    forge_manifest(release, files={**manifest["files"], name: entry})
