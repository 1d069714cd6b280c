"""An attacker changes any part of a release, and wants a traceback, a hang or a false verdict."""

import base64
import copy
import json
import os
import random
import shutil
import signal
import time
from collections.abc import MutableMapping, MutableSequence
from contextlib import suppress
from pathlib import Path

import pytest
from google.protobuf.message import DecodeError, Message
from smdecl.cli.output import inspect_output, rendering
from smdecl.errors import SmdeclError
from smdecl.release import comparison, description, diffing, manifest, signing
from smdecl.savedmodel import inspection
from smdecl.savedmodel.audits import outside_ops
from smdecl.savedmodel.protos import saved_model_pb2

from tests.security import hostile

MODEL = "saved_model.pb"
INDEX = "variables/variables.index"
VALUES = [0, -1, 1, 2**31 - 1, 2**63 - 1, -(2**63), 10**30, 1e308, "", "x", "a\nb\u202e", "\ud800", "n" * 5000, "../x",
          "/dev/zero", None, True, [], {}, [[]], {"": {}}]  # fmt: skip
SECONDS = 20  # of the processor, for what takes a hundredth


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A release of a model with a function, two signatures and variables, signed by some key."""
    pem = pytest.importorskip("cryptography.hazmat.primitives.serialization")
    from cryptography.hazmat.primitives.asymmetric import ec

    base = tmp_path_factory.mktemp("made")
    private = ec.generate_private_key(ec.SECP256R1())
    text = private.private_bytes(pem.Encoding.PEM, pem.PrivateFormat.PKCS8, pem.NoEncryption())
    (base / "private.pem").write_bytes(text)
    public = private.public_key().public_bytes(
        pem.Encoding.PEM, pem.PublicFormat.SubjectPublicKeyInfo
    )
    (base / "key.pem").write_bytes(public)
    release = hostile.release(
        base / "1", message=model(), variables={"v": bytes(16), "w": bytes(8)}
    )
    manifest.attest(release, manifest.read(release))
    signing.sign(release, base / "private.pem")
    return release


def model():
    message, graph, objects = hostile.saved_model()
    hostile.signature(graph, "serving_default", ["x", "y"])
    hostile.signature(graph, "other", ["x"])
    hostile.trace(objects, "t", 2)
    hostile.trace(objects, "u", 3, 4)
    hostile.function(objects, "f", ["t", "u"])
    objects.nodes[hostile.child(objects, 0, "v")].variable.dtype = hostile.FLOAT
    function = graph.graph_def.library.function.add()
    function.signature.name = "__inference_f_1"
    function.node_def.add(name="c", op="Const").attr["value"].tensor.float_val.append(1)
    function.ret["y"] = "c:output:0"
    graph.graph_def.node.add(name="call", op="PartitionedCall").attr[
        "f"
    ].func.name = "__inference_f_1"
    graph.asset_file_def.add(filename="words")
    return message


def plain(path):
    if path not in plain_files(path.parent) or path.stat().st_size > 1 << 24:
        raise FileNotFoundError(path)
    return path


def plain_files(release):
    return sorted(path for path in release.rglob("*") if path.is_file() and not path.is_symlink())


def flipped(drawn, data):
    changed = bytearray(data)
    for _ in range(drawn.randint(1, 4)):
        changed[drawn.randrange(len(changed))] = drawn.randrange(256)
    return bytes(changed)


def cut(drawn, data):
    return data[: drawn.randrange(len(data))]


def spliced(drawn, data):
    start, end, place = (drawn.randrange(len(data)) for _ in range(3))
    return (
        data[:place]
        + data[min(start, end) : max(start, end)] * drawn.choice([1, 2, 50])
        + data[place:]
    )


BYTES = [flipped, cut, spliced]


def changed_bytes(drawn, release):
    path = drawn.choice([path for path in plain_files(release) if path.stat().st_size < 1 << 24])
    path.write_bytes(drawn.choice(BYTES)(drawn, path.read_bytes()))


def changed_message(drawn, release):
    """Changes fields of the SavedModel, so that it still is one."""
    path = plain(release / MODEL)
    message = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    for _ in range(drawn.randint(1, 3)):
        change_field(drawn, drawn.choice([*messages(message)]))
    path.write_bytes(message.SerializeToString())


def messages(message):
    """Yields a message and those in it."""
    yield message
    for _, value in message.ListFields():
        held = [value]
        if isinstance(value, MutableMapping):
            held = value.values()
        elif isinstance(value, MutableSequence):
            held = value
        for item in held:
            if isinstance(item, Message):
                yield from messages(item)


def change_field(drawn, message):
    field = drawn.choice(message.DESCRIPTOR.fields)
    if drawn.random() < 0.3:
        message.ClearField(field.name)
        return
    held = getattr(message, field.name)
    is_list = isinstance(held, MutableSequence)
    if field.type == field.TYPE_MESSAGE:
        change_submessage(drawn, held, is_list)
        return
    values = VALUES_OF.get(field.cpp_type, [0])
    try:
        if is_list:
            held.extend([drawn.choice(values)] * drawn.choice([1, 2, 100]))
        else:
            setattr(message, field.name, drawn.choice(values))
    except (TypeError, ValueError):  # a number that is too large for the field
        pass


NUMBERS = [0, -1, 1, 7, 99, 999, 2**31 - 1, 2**62]
TEXTS = [
    "",
    "x",
    "t",
    "__inference_f_1",
    "__inference_f_" + "9" * 5000,
    "a\nb\u202e",
    "x:0",
    "n" * 5000,
    "é",
]
VALUES_OF = {1: NUMBERS, 2: NUMBERS, 3: NUMBERS, 4: NUMBERS, 5: [0.0, 1e308, float("nan")], 6: [0.0, float("nan")],
             7: [True, False], 8: NUMBERS, 9: TEXTS}  # fmt: skip


def change_submessage(drawn, held, is_list):
    if is_list and len(held) and drawn.random() < 0.7:
        item = copy.deepcopy(drawn.choice(held))
        held.extend([item] * drawn.choice([1, 3]))
    elif is_list:
        held.add()
    elif isinstance(held, Message):
        held.SetInParent()
    elif len(held) and isinstance(held[next(iter(held))], Message):
        held[drawn.choice(TEXTS)].CopyFrom(held[drawn.choice(sorted(held))])


def changed_manifest(drawn, release):
    """Changes values of the manifest, and makes its checksum fit, as anyone can."""
    made = json.loads(plain(release / manifest.FILE).read_text())
    change_json(drawn, made)
    hostile.write_manifest(release, made, digest=drawn.random() < 0.8)


def changed_signature(drawn, release):
    path = plain(release / signing.FILE)
    bundle = json.loads(path.read_text())
    if drawn.random() < 0.3:
        change_json(drawn, bundle)
    else:
        statement = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
        change_json(drawn, statement)
        bundle["dsseEnvelope"]["payload"] = base64.b64encode(
            json.dumps(statement).encode()
        ).decode()
    path.write_text(json.dumps(bundle))


def change_json(drawn, value):
    for _ in range(drawn.randint(1, 3)):
        parent, key = drawn.choice([*places(value)])
        if drawn.random() < 0.3:
            parent.pop(key, None) if isinstance(parent, dict) else parent.clear()
        elif isinstance(parent, dict) and drawn.random() < 0.4:
            parent[drawn.choice(["", "x", "a\nb", "\ud800", "../x", "/etc/passwd", "n" * 5000])] = (
                copy.deepcopy(drawn.choice(VALUES))
            )
        elif isinstance(parent, dict) or key < len(parent):
            parent[key] = copy.deepcopy(drawn.choice(VALUES))


def places(value):
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, item in items:
        yield value, key
        yield from places(item)


def replaced_file(drawn, release):
    """Puts something else in the place of a file."""
    path = drawn.choice(plain_files(release))
    size = path.stat().st_size
    path.unlink()
    other = drawn.choice(plain_files(release))
    drawn.choice([
        os.mkfifo, Path.mkdir,
        *(lambda path, target=target: path.symlink_to(target) for target in ("/dev/zero", path, other, "/", "nothing")),
        *(lambda path, size=claimed: hostile.sparse(path, size) for claimed in (0, size, 2**26, 2**42)),
        lambda path: path.write_bytes(other.read_bytes()[: 1 << 24]) if not has_huge(release) else path.mkdir(),
    ])(path)  # fmt: skip


def added_file(drawn, release):
    name = drawn.choice(
        ["x", "a\nb", "\udcff", "variables/y", "assets.extra/smdecl/z", "n" * 250, "\u202e"]
    )
    path = release / name
    if os.path.lexists(path):
        raise FileExistsError(path)  # to write into a pipe is to wait for its reader
    drawn.choice(
        [
            os.mkfifo,
            Path.mkdir,
            lambda path: path.write_text("x"),
            lambda path: path.symlink_to("/dev/zero"),
        ]
    )(path)


MUTATIONS = [changed_bytes, changed_message, changed_message, changed_manifest, changed_manifest, changed_signature,
             replaced_file, added_file]  # fmt: skip
REMADE = [changed_bytes, changed_message, changed_message, replaced_file]


def mutate(drawn, made, directory):
    """Copies a release and does one or two things to it; in half of the cases its manifest is made to fit."""
    release = shutil.copytree(made, directory, symlinks=True)
    is_remade = drawn.random() < 0.4
    for _ in range(drawn.randint(1, 2)):
        # What one did, the other may not be able to read; pipes it would wait for.
        with suppress(OSError, DecodeError, ValueError, LookupError, TypeError):
            drawn.choice(REMADE if is_remade else MUTATIONS)(drawn, release)
    if is_remade:
        hostile.fit_manifest(release)
    return release


def listing(directory):
    """Returns what is in a directory: the bytes of files, and of all else what it is."""
    found = {}
    for path in sorted(directory.rglob("*")):
        is_plain = path.is_file() and not path.is_symlink()
        kind = str(path.readlink()) if path.is_symlink() else path.lstat().st_mode
        found[path.relative_to(directory).as_posix()] = content(path) if is_plain else kind
    return found


def content(path):
    size = path.stat().st_size
    return path.read_bytes() if size < 1 << 20 else size


def attempt(call):
    """Returns what a call returns; None where it refuses as it may."""
    try:
        return call()
    except SmdeclError as error:
        assert error.exit_code in (2, 4), error
        assert str(error)
        return None


def check(made, release, forms):
    """Asserts that all that reads a release ends well, and that what was changed is found."""
    is_changed = listing(made) != listing(release)
    compared = attempt(lambda: list(comparison.compare(release, manifest.read(release))))
    own = json.loads((made / manifest.FILE).read_text())["digest"]
    if compared == [] and is_changed:
        # Anyone can make a release that fits itself: then it has another digest, or another manifest.
        found = manifest.read(release)
        assert (
            found["digest"] != own
            or found != manifest.read(made)
            or only_signed_differs(made, release)
        )
    signed = None
    if compared == [] or not has_huge(
        release
    ):  # which the manifest tells first: hashing takes hours
        signed = attempt(lambda: signing.verify(release, made.parent / "key.pem") or "signed")
    if signed and is_changed:
        # The form of a signature is not signed, and directories are the manifest's to tell.
        assert compared or only_signed_differs(made, release), "a changed release is signed"
    described = attempt(lambda: description.describe(release))
    if described is not None:
        texts = [form(release, described) for form in forms]
        assert all(line.isprintable() for line in texts[1].splitlines())
    attempt(lambda: outside_ops.find(inspection.read(release)))
    for pair in ((made, release), (release, made)):
        found = attempt(lambda pair=pair: diffing.diff(*pair))
        if found is not None:
            assert rendering.diff_json(found)
            assert all(line.isprintable() for line in rendering.diff_text(found).splitlines())
            if files(made) != files(release):
                assert found.changes, "a changed file is not reported"


def has_huge(release):
    return any(path.stat().st_size > 1 << 30 for path in plain_files(release))


def only_signed_differs(made, release):
    """Returns whether nothing but the signature is another, which only a key can tell."""
    old, new = listing(made), listing(release)
    differing = {name for name in {*old, *new} if old.get(name) != new.get(name)}
    return differing <= {signing.FILE}


def files(directory):
    return {
        name: data
        for name, data in listing(directory).items()
        if isinstance(data, bytes) and "smdecl/" not in name
    }


class OutOfTimeError(Exception):
    """A mutant took longer than it may."""


def out_of_time(*_):
    raise OutOfTimeError


@pytest.mark.parametrize(
    "seeds",
    [
        range(100),
        pytest.param(range(100, 300), marks=pytest.mark.slow),
        pytest.param(range(300, 5000), marks=pytest.mark.soak),
    ],
    ids=len,
)
def test_a_changed_release_is_refused_or_reported_as_changed(made, tmp_path, seeds):
    before = signal.signal(signal.SIGPROF, out_of_time)
    started = time.process_time()
    try:
        for seed in seeds:
            signal.setitimer(signal.ITIMER_PROF, SECONDS)
            release = mutate(random.Random(seed), made, tmp_path / "net")
            try:
                # A page takes a hundred times as long as the others.
                forms = (
                    [inspect_output.html, inspect_output.text]
                    if seed % 10 == 0
                    else [inspect_output.to_json, inspect_output.text]
                )
                check(made, release, forms)
            except BaseException as error:
                raise AssertionError(f"seed {seed}: {type(error).__name__}: {error}") from error
            shutil.rmtree(release)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
    print(f"{len(seeds)} mutants in {time.process_time() - started:.0f} s of the processor")
