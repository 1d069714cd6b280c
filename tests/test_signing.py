"""A signed release is that of its key and as it was signed; whatever else stands there is told. Keys are real ones."""

import base64
import hashlib
import json
import os
import random
import re
import shutil
import string
import subprocess
import sys

import fsspec
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from google.protobuf import json_format
from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
from in_toto_attestation.v1 import statement, statement_pb2

import smdecl
from smdecl.checks import sign_key
from smdecl.config.project import find_project
from smdecl.errors import ConfigError, UsageError, VerificationError
from smdecl.pipeline import export, reproduce
from smdecl.release import manifest, provenance, signing
from tests.conftest import ROOT, forge_file, tree

PRIVATE = "takes an EC private key (P-256, P-384 or P-521) as PEM that is not encrypted"
PUBLIC = "takes the EC public key as PEM that belongs to the private key that signed"
PEM = serialization.Encoding.PEM


def write_key(path, key, password=None):
    """Writes a private key and, beside it, its public one; returns the path of the former."""
    hidden = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    path.write_bytes(key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, hidden))
    public = key.public_key().public_bytes(PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    path.with_suffix(".pub").write_bytes(public)
    return path


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """A directory with the keys `release` and `other`."""
    directory = tmp_path_factory.mktemp("keys")
    for name in ("release", "other"):
        write_key(directory / f"{name}.pem", ec.generate_private_key(ec.SECP256R1()))
    return directory


@pytest.fixture(scope="module")
def made(tmp_path_factory, keys):
    """A signed release of the scaler."""
    base = tmp_path_factory.mktemp("made")
    overrides = ["model=scaler", f"publish.sign={keys / 'release.pem'}", f"export_dir={base}"]
    return smdecl.export(smdecl.compose(overrides))


@pytest.fixture
def release(made, tmp_path):
    return shutil.copytree(made.path, tmp_path / "copy" / "7")


@pytest.fixture
def public(keys):
    return keys / "release.pub"


def compare(release):
    if found := list(manifest.compare(release, manifest.read(release))):
        raise VerificationError(found)


def problems(check, *arguments):
    try:
        check(*arguments)
    except VerificationError as error:
        return [problem.message for problem in error.problems]
    return []


def both(release, key):
    """Returns what is wrong with a release by the manifest, and what by the signature."""
    return [problems(compare, release), problems(signing.verify, release, key)]


def payload(release):
    envelope = json.loads((release / signing.FILE).read_text())["dsseEnvelope"]
    return json.loads(base64.b64decode(envelope["payload"]))


def forge(release):
    """Changes a release, and makes all that needs no key fit: what only a signature can tell."""
    (release / "fingerprint.pb").write_bytes(b"forged")
    forge_file(release, "fingerprint.pb")
    manifest.attest(release)


def standard_verify(release, public, *flags):
    """Runs the command line of model-signing itself."""
    command = [sys.executable, "-m", "model_signing", "verify", "key", str(release), "--public_key", str(public)]
    command += ["--signature", str(release / signing.FILE), *flags]
    return subprocess.run(command, capture_output=True, text=True, check=False).returncode


def test_a_signed_release_is_the_one_without_a_signature_and_two_files(project, keys):
    signed, unsigned = project.export(f"publish.sign={keys / 'release.pem'}"), project.export()

    files = tree(signed.path)
    assert signed.digest == unsigned.digest
    assert files.keys() - tree(unsigned.path).keys() == {provenance.FILE, signing.FILE}
    assert tree(unsigned.path).items() <= files.items()


def test_all_files_are_signed_and_the_release_is_loaded_as_any_other(release, public):
    names = {entry["name"] for entry in payload(release)["predicate"]["resources"]}

    assert names == set(tree(release)) - {signing.FILE}
    assert both(release, public) == [[], []]
    for key in (None, public):
        assert export.verify(release, key)[1].examples == {"serving_default": 3}


def test_the_standard_command_line_verifies_it_too(release, keys, public):
    assert standard_verify(release, public, "--no-ignore-git-paths") == 0
    assert standard_verify(release, public) == 0
    assert standard_verify(release, keys / "other.pub", "--no-ignore-git-paths") == 1
    (release / ".gitattributes").write_text("")
    assert standard_verify(release, public, "--no-ignore-git-paths") == 1


def test_what_the_standard_command_line_signs_is_verified(release, keys, public):
    command = [sys.executable, "-m", "model_signing", "sign", "key", str(release), "--no-ignore-git-paths"]
    command += ["--private_key", str(keys / "release.pem"), "--signature", str(release / signing.FILE)]
    subprocess.run(command, capture_output=True, check=True)

    signing.verify(release, public)


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()], ids=lambda curve: curve.name)
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
def test_the_keys_of_openssl_are_taken(release, tmp_path, command):
    command += " && openssl pkey -in key.pem -pubout -out key.pub"
    subprocess.run(command, shell=True, cwd=tmp_path, check=True, capture_output=True)

    signing.sign(release, tmp_path / "key.pem")

    signing.verify(release, tmp_path / "key.pub")


def test_a_flipped_bit_anywhere_in_any_file_is_told_by_the_signature(release, public):
    rng = random.Random(0)
    files = tree(release)
    flips = [(name, rng.randrange(len(files[name])), rng.randrange(8)) for name in files for _ in range(40)]
    start, end = (files[signing.FILE].index(word) for word in (b'"payload"', b'"payloadType"'))
    flips += [
        (signing.FILE, offset, rng.randrange(8)) for offset in (*range(start), *range(end, len(files[signing.FILE])))
    ]
    for name, offset, bit in flips:
        content = bytearray(files[name])
        content[offset] ^= 1 << bit
        (release / name).write_bytes(content)

        assert problems(signing.verify, release, public), (name, offset, bit)
        if name != signing.FILE:
            assert problems(compare, release), (name, offset, bit)
        (release / name).write_bytes(files[name])
    assert both(release, public) == [[], []]


def test_a_flipped_bit_that_decoding_drops_is_told(release, keys, public):
    path = release / signing.FILE
    while '=","keyid"' not in (text := path.read_text()):
        signing.sign(release, keys / "release.pem")  # the length of a signature varies
    letters = string.ascii_uppercase + string.ascii_lowercase + string.digits + "+/"
    last = re.search(r'.(?==+","keyid")', text)
    path.write_text(text[: last.start()] + letters[letters.index(last.group()) ^ 1] + text[last.end() :])

    assert both(release, public)[1] == [f"{path}: was changed since the release was signed: it is no signature"]


def test_a_removed_file_is_told(release, public):
    for name, content in tree(release).items():
        (release / name).unlink()
        by_manifest, by_signature = both(release, public)
        assert [text[: text.index("is missing")] for text in by_manifest] == [f"{release / name}: "]
        assert [text[: text.index("is missing")] for text in by_signature] == [f"{release / name}: "]
        (release / name).write_bytes(content)


@pytest.mark.parametrize("name", ["added", ".gitignore", ".git/config", "variables/more", "assets.extra/smdecl/x.sig"])
def test_an_added_file_is_told(release, public, name):
    path = release / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("")

    assert both(release, public) == [[f"{path}: was added"], [f"{path}: is not signed"]]


def test_what_was_changed_with_all_that_needs_no_key_is_told_by_the_signature(release, public):
    before = {name: hashlib.sha256(data).hexdigest() for name, data in tree(release).items()}
    forge(release)
    after = {name: hashlib.sha256(data).hexdigest() for name, data in tree(release).items()}

    found = [
        f"{release / name}: is not what was signed: its sha256 is {after[name]}, and was {before[name]}"
        for name in (manifest.FILE, provenance.FILE, "fingerprint.pb")
    ]
    assert both(release, public) == [[], found]
    with pytest.raises(VerificationError) as error:
        export.verify(release, public)
    assert [problem.message for problem in error.value.problems] == found


def test_another_key_is_told(release, keys):
    assert both(release, keys / "other.pub") == [
        [],
        [f"{release / signing.FILE}: was made with another key than that of '{keys / 'other.pub'}'"],
    ]


def test_the_signature_of_another_release_is_told(project, release, keys, public):
    other = project.export(f"publish.sign={keys / 'release.pem'}")
    signing.verify(other.path, public)
    shutil.copy(other.path / signing.FILE, release / signing.FILE)

    assert problems(compare, release) == []
    assert f"{release / 'saved_model.pb'}: is not what was signed" in "".join(problems(signing.verify, release, public))


def test_a_signature_that_names_the_key_and_is_not_by_it_is_told(release, keys, public):
    forge(release)
    mine = json.loads((release / signing.FILE).read_text())["verificationMaterial"]
    signing.sign(release, keys / "other.pem")
    bundle = json.loads((release / signing.FILE).read_text())
    (release / signing.FILE).write_text(json.dumps({**bundle, "verificationMaterial": mine}))

    assert both(release, public) == [
        [],
        [f"{release / signing.FILE}: was changed since the release was signed: it is no signature"],
    ]


def test_what_a_signature_says_that_it_leaves_out_is_told(release, keys, public):
    from model_signing import hashing
    from model_signing import signing as library

    partly = hashing.Config().set_ignored_paths(paths=[signing.FILE, "saved_model.pb", "variables"])
    signer = library.Config().use_elliptic_key_signer(private_key=keys / "release.pem").set_hashing_config(partly)
    signer.sign(release, release / signing.FILE)

    assert both(release, public) == [
        [],
        [
            f"{release / name}: is not signed"
            for name in ("saved_model.pb", "variables/variables.data-00000-of-00001", "variables/variables.index")
        ],
    ]


@pytest.mark.parametrize(
    "text",
    [b"", b"\xff", b"[]", b"{}", b"3", b'{"dsseEnvelope": {"signatures": [{"sig": "QQ=="}]}}', b"[" * 100_000],
)
def test_what_is_no_signature_is_told(release, public, text):
    (release / signing.FILE).write_bytes(text)

    assert both(release, public) == [
        [],
        [f"{release / signing.FILE}: was changed since the release was signed: it is no signature"],
    ]


def test_what_the_library_refuses_is_told_in_its_words(release, public):
    bundle = json.loads((release / signing.FILE).read_text())
    media_type = "application/vnd.dev.sigstore.bundle+json;version=0.2"
    (release / signing.FILE).write_text(json.dumps({**bundle, "mediaType": media_type}))

    assert both(release, public)[1] == [
        f"{release / signing.FILE}: does not hold: Invalid sigstore bundle, got media type {media_type} but expected"
        " application/vnd.dev.sigstore.bundle.v0.3+json"
    ]


def test_what_a_signed_release_has_beside_its_manifest_is_compared(release):
    path, signature = release / provenance.FILE, release / signing.FILE
    content = path.read_bytes()

    path.write_bytes(content + b"\n")
    assert problems(compare, release) == [f"{path}: was changed: it is not what the manifest gives"]
    path.unlink()
    assert problems(compare, release) == [f"{path}: is missing, and {signing.FILE} is there; a signed release has both"]
    path.write_bytes(content)
    signature.rename(release.parent / "elsewhere.sig")
    assert problems(compare, release) == [
        f"{signature}: is missing, and {provenance.FILE} is there; a signed release has both"
    ]
    signature.symlink_to(release.parent / "elsewhere.sig")
    assert problems(compare, release) == [f"{signature}: is no longer a regular file"]
    signature.unlink()
    path.unlink()
    assert problems(compare, release) == []  # a release that is not signed


def test_a_release_that_is_not_signed_is_told(project, public):
    release = project.export()

    with pytest.raises(VerificationError) as error:
        export.verify(release.path, public)

    assert str(error.value) == (
        f"{release.path / signing.FILE}: is missing: the release is not signed; publish.sign signs one"
    )


def test_two_makes_differ_in_the_signature_alone(project, keys):
    first, second = (tree(project.export(f"publish.sign={keys / 'release.pem'}").path) for _ in range(2))

    assert {name for name in first if first[name] != second[name]} == {signing.FILE}
    assert first.keys() == second.keys()


def test_the_provenance_is_one_to_the_classes_of_in_toto(release):
    text = (release / provenance.FILE).read_text()
    found = json.loads(text)

    parsed = json_format.Parse(text.replace('"_type"', '"type"'), statement_pb2.Statement())
    statement.Statement.copy_from_pb(parsed).validate()
    predicate = json_format.ParseDict(found["predicate"], provenance_pb2.Provenance())  # no field that it has not

    assert json_format.MessageToDict(predicate, preserving_proto_field_name=False)["runDetails"] == {
        "builder": {"id": "pkg:pypi/smdecl", "version": {"smdecl": smdecl.__version__}}
    }
    assert found["predicate"]["buildDefinition"]["externalParameters"] == {"config": manifest.read(release)["config"]}
    files = {name: hashlib.sha256(data).hexdigest() for name, data in tree(release).items()}
    assert {entry["name"]: entry["digest"]["sha256"] for entry in found["subject"]} == {
        name: digest for name, digest in files.items() if name not in (provenance.FILE, signing.FILE)
    }


def test_the_provenance_names_the_commit_and_the_packages(project, keys):
    project.write("a.py", "")
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org"]
    for arguments in (["init", "-q"], ["add", "a.py"], ["commit", "-q", "-m", "first"]):
        subprocess.run([*git, *arguments], check=True)
    commit = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()

    found = []
    for text in ("", "changed"):
        project.write("a.py", text)
        path = project.export(f"publish.sign={keys / 'release.pem'}").path
        statement_ = json.loads((path / provenance.FILE).read_text())
        found.append(statement_["predicate"]["buildDefinition"]["resolvedDependencies"])

    environment = manifest.read(path)["environment"]
    for dependencies, clean in zip(found, (True, False), strict=True):
        assert dependencies[0] == {
            "name": "source", "digest": {"gitCommit": commit}, "annotations": {"clean": clean},
        }  # fmt: skip
        assert {"uri": f"pkg:pypi/tensorflow@{environment['tensorflow']}"} in dependencies
        assert {"uri": f"pkg:generic/python@{environment['python']}"} in dependencies
        assert len(dependencies) == 1 + len(environment)


def test_the_provenance_is_made_of_the_manifest_alone():
    inputs = {"weights.h5": "2" * 64}
    released = {"config": {}, "source": None, "inputs": inputs, "environment": {"My_Lib": "1!2.0+cpu"}}

    found = json.loads(provenance.text(released, {"b": "0" * 64, "a": "1" * 64}))

    assert [entry["name"] for entry in found["subject"]] == ["a", "b"]
    assert found["predicate"]["buildDefinition"]["resolvedDependencies"] == [
        {"name": "weights.h5", "digest": {"sha256": "2" * 64}},
        {"uri": "pkg:pypi/my-lib@1%212.0%2Bcpu"},
    ]
    assert found["predicate"]["runDetails"]["builder"] == {"id": "pkg:pypi/smdecl", "version": {}}


def test_nothing_of_the_key_is_in_a_release(made, keys):
    lines = (keys / "release.pem").read_bytes().splitlines()[1:-1]

    for name, content in tree(made.path).items():
        for secret in (str(keys).encode(), b"release.pem", *lines):
            assert secret not in content, name
            assert base64.b64encode(secret)[3:-3] not in content, name


PRIVATE_FILES = {
    "nowhere.pem": ("no file 'nowhere.pem'", None),
    "folder": ("no file 'folder'", lambda path: path.mkdir()),
    "empty.pem": ("'empty.pem' holds no such key", lambda path: path.touch()),
    "public.pem": (
        "'public.pem' holds no such key",
        lambda path: write_key(path, ec.generate_private_key(ec.SECP256R1())).with_suffix(".pub").rename(path),
    ),
    "rsa.pem": (
        "'rsa.pem' holds a key of another kind, RSAPrivateKey",
        lambda path: write_key(path, rsa.generate_private_key(65537, 2048)),
    ),
    "edwards.pem": (
        "'edwards.pem' holds a key of another kind, Ed25519PrivateKey",
        lambda path: write_key(path, ed25519.Ed25519PrivateKey.generate()),
    ),
    "curve.pem": (
        "'curve.pem' holds a key of another kind, secp256k1",
        lambda path: write_key(path, ec.generate_private_key(ec.SECP256K1())),
    ),
    "encrypted.pem": (
        "'encrypted.pem' is encrypted",
        lambda path: write_key(path, ec.generate_private_key(ec.SECP256R1()), b"password"),
    ),
}


@pytest.mark.parametrize("name", PRIVATE_FILES)
def test_a_private_key_that_cannot_be_taken_is_told_before_anything_is_built(project, name):
    text, make = PRIVATE_FILES[name]
    if make:
        make(project.root / name)
    project.write("mynet.py", "raise RuntimeError('it was built')\n")

    with pytest.raises(ConfigError) as error:
        project.export(f"publish.sign={name}", "model._target_=mynet.Net")

    assert str(error.value) == f"override 'publish.sign={name}': publish.sign: {text}; {PRIVATE}"
    assert [problem.path for problem in error.value.problems] == [("publish", "sign")]
    assert error.value.exit_code == 2
    assert not (project.root / "exports").exists()


def test_a_key_that_may_not_be_read_is_told(project, monkeypatch):
    path = project.write("release.pem", "")

    def refuse(self):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(type(path), "read_bytes", refuse)  # root may read all that there is

    with pytest.raises(ConfigError) as error:
        sign_key.require_key(path)

    assert str(error.value) == f"publish.sign: '{path}' cannot be read: Permission denied; {PRIVATE}"


def test_a_key_that_is_gone_when_it_is_needed_is_told_and_nothing_stays(project, keys):
    shutil.copy(keys / "release.pem", "release.pem")
    project.write(
        "mynet.py",
        "import os\nfrom smdecl.models import Adder\ndef make():\n    os.unlink('release.pem')\n    return Adder()\n",
    )

    with pytest.raises(ConfigError) as error:
        project.export("publish.sign=release.pem", "model._target_=mynet.make")

    assert str(error.value) == f"override 'publish.sign=release.pem': publish.sign: no file 'release.pem'; {PRIVATE}"
    assert not (project.root / "exports").exists()


def test_without_the_library_it_is_told_what_to_install(project, keys, public, monkeypatch):
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


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("nowhere.pub", "no file 'nowhere.pub'"),
        ("release.pem", "'release.pem' holds no such key"),
        ("rsa.pub", "'rsa.pub' holds a key of another kind, RSAPublicKey"),
    ],
)
def test_a_public_key_that_cannot_be_taken_is_told_first_of_all(project, keys, name, text):
    shutil.copy(keys / "release.pem", "release.pem")
    write_key(project.root / "rsa.pem", rsa.generate_private_key(65537, 2048))

    done = project.run("verify", "nothing", "--key", name)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"smdecl: error: --key: {text}; {PUBLIC}\n"


@pytest.mark.slow
def test_the_command_line_verifies_a_signature(project, release, keys, public):
    line = f"{release}: 5 files as they were made, 3 examples with the loaders python, cpp"

    done = project.run("verify", str(release), "--key", str(public))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{line}, signed with the key of {public}\n"

    done = project.run("verify", str(release))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{line}, the signature not checked (--key PUBLIC.pem checks it)\n"

    done = project.run("verify", str(release), "--key", str(keys / "other.pub"))
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr == (
        f"smdecl: error: {release / signing.FILE}: was made with another key than that of '{keys / 'other.pub'}'\n"
    )


@pytest.mark.parametrize("verb", [["export"], ["check"], ["plan"], ["reproduce", "exports/adder/1"], ["-m"]])
def test_no_other_verb_takes_a_public_key(project, verb):
    done = project.run(*verb, "--key", "release.pub")

    assert (done.returncode, done.stdout) == (2, "")
    assert "unrecognized arguments: --key" in done.stderr


def test_a_signed_release_is_made_again(project, keys):
    release = project.export("model=scaler", f"publish.sign={keys / 'release.pem'}")

    assert reproduce.reproduce(release.path, find_project(project.root))[0] == release.digest


def test_what_replaces_and_what_is_kept_is_signed(project, keys, public):
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

    export.verify(tmp_path / "fetched", public)


@pytest.mark.slow
def test_each_variant_of_a_sweep_is_signed(project, keys, public):
    done = project.run("-m", "model=adder,scaler", f"publish.sign={keys / 'release.pem'}")

    paths = done.stdout.splitlines()
    assert (done.returncode, len(paths)) == (0, 2)
    for path in paths:
        signing.verify(project.root / path, public)


@pytest.mark.slow
def test_what_signs_nothing_imports_nothing_for_it(project):
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
