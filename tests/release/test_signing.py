"""Releases are signed and verified with real keys, by smdecl and by model-signing."""

import os
import shutil
import subprocess
import sys

import fsspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from smdecl.config.project import find_project
from smdecl.errors import ConfigError, UsageError
from smdecl.pipeline import reproduce, verify
from smdecl.release import provenance, signing

from tests.conftest import ROOT, tree
from tests.release.signatures import both, payload, write_key


def standard_verify(release, public, *flags):
    """Runs the command line of model-signing."""
    command = [
        sys.executable,
        "-m",
        "model_signing",
        "verify",
        "key",
        str(release),
        "--public_key",
        str(public),
    ]
    command += ["--signature", str(release / signing.FILE), *flags]
    return subprocess.run(command, capture_output=True, text=True, check=False).returncode


def test_signing_adds_two_files_to_a_release_that_is_reproducible(project, keys):
    sign = f"publish.sign={keys / 'release.pem'}"
    signed, again, unsigned = (
        project.export("model=scaler", *options) for options in ([sign], [sign], [])
    )

    first, second, files = tree(signed.path), tree(again.path), tree(unsigned.path)
    assert signed.digest == unsigned.digest
    assert first.keys() - files.keys() == {provenance.FILE, signing.FILE}
    assert files.items() <= first.items()
    assert first.keys() == second.keys()
    assert {name for name in first if first[name] != second[name]} == {signing.FILE}
    assert reproduce.reproduce(signed.path, find_project(project.root))[0] == signed.digest


def test_all_files_are_signed_and_the_release_loads(release, public):
    names = {entry["name"] for entry in payload(release)["predicate"]["resources"]}

    assert names == set(tree(release)) - {signing.FILE}
    assert both(release, public) == [[], []]
    for key in (None, public):
        assert verify.verify(release, key)[1].examples == {"serving_default": 3}


def test_model_signing_verifies_a_signature(release, keys, public):
    assert standard_verify(release, public, "--no-ignore-git-paths") == 0
    assert standard_verify(release, public) == 0
    assert standard_verify(release, keys / "other.pub", "--no-ignore-git-paths") == 1
    (release / ".gitattributes").write_text("")
    assert standard_verify(release, public, "--no-ignore-git-paths") == 1


def test_a_signature_by_model_signing_is_verified(release, keys, public):
    command = [
        sys.executable,
        "-m",
        "model_signing",
        "sign",
        "key",
        str(release),
        "--no-ignore-git-paths",
    ]
    command += [
        "--private_key",
        str(keys / "release.pem"),
        "--signature",
        str(release / signing.FILE),
    ]
    subprocess.run(command, capture_output=True, check=True)

    signing.verify(release, public)


@pytest.mark.parametrize(
    "curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()], ids=lambda curve: curve.name
)
def test_each_curve_signs(release, tmp_path, curve):
    key = write_key(tmp_path / "key.pem", ec.generate_private_key(curve))

    signing.sign(release, key)

    signing.verify(release, key.with_suffix(".pub"))


@pytest.mark.parametrize(
    "command",
    [
        "openssl ecparam -name prime256v1 -genkey -noout -out key.pem",
        "openssl ecparam -name prime256v1 -genkey -out key.pem",
        "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384 -out key.pem",
    ],
)
@pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl")
def test_keys_made_by_openssl_are_accepted(release, tmp_path, command):
    command += " && openssl pkey -in key.pem -pubout -out key.pub"
    subprocess.run(command, shell=True, cwd=tmp_path, check=True, capture_output=True)

    signing.sign(release, tmp_path / "key.pem")

    signing.verify(release, tmp_path / "key.pub")


def test_a_missing_library_is_reported_with_what_to_install(project, keys, public, monkeypatch):
    monkeypatch.setitem(sys.modules, "model_signing.signing", None)
    reason = (
        "signatures need model-signing: import of model_signing.signing halted; None in sys.modules;"
        " pip install 'smdecl[sign]'"
    )

    with pytest.raises(ConfigError) as error:
        project.export(f"publish.sign={keys / 'release.pem'}")
    assert str(error.value).endswith(f": publish.sign: {reason}")
    with pytest.raises(UsageError) as error:
        signing.verify(project.root, public)
    assert str(error.value) == f"--key: {reason}"
    assert isinstance(error.value.__cause__.__cause__, ImportError)
    project.export()


@pytest.mark.slow
def test_the_command_line_verifies_a_signature(project, release, keys, public):
    line = f"{release}: 5 files unchanged, 3 examples with the loaders python, cpp"

    done = project.run("verify", str(release), "--key", str(public))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{line}, signed with the key of {public}\n"

    done = project.run("verify", str(release))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{line}, the signature not checked (--key PUBLIC.pem checks it)\n"

    done = project.run("verify", str(release), "--key", str(keys / "other.pub"))
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr == (
        f"smdecl: error: {release / signing.FILE}: signed with a different key; expected that of '{keys / 'other.pub'}'\n"
    )


@pytest.mark.parametrize(
    "verb", [["export"], ["check"], ["plan"], ["reproduce", "exports/adder/1"], ["-m"]]
)
def test_only_verify_accepts_a_public_key(project, verb):
    done = project.run(*verb, "--key", "release.pub")

    assert (done.returncode, done.stdout) == (2, "")
    assert "unrecognized arguments: --key" in done.stderr


def test_replacing_and_kept_releases_are_signed(project, keys, public):
    sign = f"publish.sign={keys / 'release.pem'}"
    project.export("model=scaler", "name=adder")
    project.export("publish.version=1", "publish.replace=true", sign)
    kept = project.export("publish.keep=1", sign)

    assert sorted(path.name for path in kept.path.parent.iterdir()) == ["2"]
    signing.verify(kept.path, public)


def test_a_signature_is_uploaded(project, keys, public, tmp_path):
    store = fsspec.filesystem("memory")
    store.store.clear()
    release = project.export("export_dir=memory://signed", f"publish.sign={keys / 'release.pem'}")
    store.get(release.path, str(tmp_path / "fetched"), recursive=True)
    store.store.clear()

    verify.verify(tmp_path / "fetched", public)


@pytest.mark.slow
def test_each_variant_of_a_sweep_is_signed(project, keys, public):
    done = project.run("-m", "model=adder,scaler", f"publish.sign={keys / 'release.pem'}")

    paths = done.stdout.splitlines()
    assert (done.returncode, len(paths)) == (0, 2)
    for path in paths:
        signing.verify(project.root / path, public)


@pytest.mark.slow
def test_an_unsigned_export_does_not_import_the_library(project):
    script = (
        "import smdecl, sys\n"
        "smdecl.export(smdecl.compose(['model=adder']))\n"
        "print([name for name in sys.modules if name.partition('.')[0] in ('model_signing', 'cryptography')])\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert (done.stdout, done.stderr) == ("[]\n", "")
