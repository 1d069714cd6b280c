"""Checksums are those of CRC-32C, however the data is divided."""

import random

import pytest
from smdecl.savedmodel.checkpoint_files.crc32c import crc32c, masked

# From RFC 3720, B.4.
KNOWN = {
    "zeros": (bytes(32), 0x8A9136AA),
    "ones": (b"\xff" * 32, 0x62A8AB43),
    "ascending": (bytes(range(32)), 0x46DD794E),
    "descending": (bytes(range(31, -1, -1)), 0x113FDB5C),
    "digits": (b"123456789", 0xE3069283),
    "nothing": (b"", 0),
}


@pytest.mark.parametrize("row", KNOWN)
def test_known_checksums(row):
    data, checksum = KNOWN[row]
    assert crc32c(data) == checksum


@pytest.mark.parametrize("size", [39, 40, 41, 255, 256, 257, 4095, 65_537, (1 << 22) + 3])
def test_a_checksum_continues_from_the_bytes_before(size):
    data = random.Random(size).randbytes(size)
    bytewise = 0
    for start in range(min(size, 1000)):
        bytewise = crc32c(data[start : start + 1], bytewise)

    assert crc32c(data[:1000]) == bytewise
    for cut in (0, 1, size // 3, size - 1):
        assert crc32c(data[cut:], crc32c(data[:cut])) == crc32c(data)


def test_a_masked_checksum_is_rotated_and_shifted():
    assert masked(0) == 0xA282EAD8
    assert masked(0x00007FFF) == (0xFFFE0000 + 0xA282EAD8) & 0xFFFFFFFF
