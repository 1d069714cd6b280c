"""An attacker packs gibibytes of zeros into a small archive, or claims them in the header of an array."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import smdecl
from smdecl.checks import check as checking
from smdecl.checks.weights import self_contained_weights
from smdecl.config.project import find_project
from smdecl.errors import ConfigError

GIBIBYTE = 1 << 30
MEBIBYTE = 1 << 20


@pytest.fixture
def refuse(tmp_path, monkeypatch):
    """Checks a config whose example is a file; returns what is wrong with it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").write_text("")

    def check(file, key=None):
        content = f"file:{file}" if key is None else f"file:{file},key:{key}"
        example = f"+verify.examples.vector=[{{inputs:{{x:{{{content}}}}}}}]"
        composition = smdecl.compose(["signatures=vector_float", example])
        try:
            checking.check(composition, find_project(tmp_path))
        except ConfigError as error:
            return "\n".join(problem.message for problem in error.problems)
        return ""

    return check


def claiming(descr, shape):
    """Returns an array of 4 bytes whose header claims more."""
    head = (
        f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}, }}".ljust(117).encode()
        + b"\n"
    )
    return b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head + bytes(4)


def zeros(archive, name, size):
    """Adds an array of zeros to an archive without having it in memory."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        buffer, {"descr": "|u1", "fortran_order": False, "shape": (size,)}
    )
    block = bytes(MEBIBYTE)
    with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
        member.write(buffer.getvalue())
        for _ in range(size // MEBIBYTE):
            member.write(block)


def test_an_example_that_is_a_zip_bomb_is_refused(tmp_path, refuse):
    with zipfile.ZipFile(tmp_path / "x.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        zeros(archive, "a", 100 * MEBIBYTE)

    message = refuse("x.npz")
    assert "the member 'a.npy' of 'x.npz' unpacks" in message
    assert "expected at most 100 times its size" in message


def test_members_that_share_their_bytes_are_judged_together(tmp_path, refuse):
    with zipfile.ZipFile(tmp_path / "x.npz", "w", zipfile.ZIP_STORED) as archive:
        zeros(archive, "a", MEBIBYTE)
        # The directory of the archive lists the one member under many names.
        for number in range(200):
            info = zipfile.ZipInfo(f"b{number}.npy")
            first = archive.infolist()[0]
            info.header_offset, info.CRC = first.header_offset, first.CRC
            info.file_size, info.compress_size = first.file_size, first.compress_size
            archive.filelist.append(info)

    assert "'x.npz' unpacks" in refuse("x.npz", "a")
    assert "'x.npz' unpacks" in "\n".join(self_contained_weights.refuse_members(Path("x.npz")))


@pytest.mark.parametrize("pack", [np.savez, np.savez_compressed])
def test_honest_examples_of_zeros_are_taken(tmp_path, refuse, pack):
    pack(tmp_path / "x.npz", a=np.zeros(4 * MEBIBYTE, np.float32), b=np.zeros([3, 0], np.float32))

    assert refuse("x.npz", "a") == ""


@pytest.mark.parametrize(("descr", "shape", "claimed"), [
    ("<f4", (GIBIBYTE, GIBIBYTE), 1 << 62),
    ("<U8", (1 << 20,), 1 << 25),
    ("|S4096", (1000,), 4096 * 1000),
    ("|b1", (-5,), -5),
    ([("x", "<f4")], (1 << 50,), 1 << 50),
], ids=["floats", "text", "bytes", "less than none", "records"])  # fmt: skip
def test_an_array_that_claims_more_than_it_has_is_refused(tmp_path, refuse, descr, shape, claimed):
    (tmp_path / "x.npy").write_bytes(claiming(descr, shape))
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("a.npy", claiming(descr, shape))

    for file in ("x.npy", "x.npz"):
        assert f"the shape {list(shape)} needs {claimed} bytes" in refuse(file)
