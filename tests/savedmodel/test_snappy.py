"""Snappy blocks are decompressed; a malformed one is an error."""

import pytest
from smdecl.savedmodel.checkpoint_files import snappy


def literal(data):
    if len(data) <= 60:
        return bytes([(len(data) - 1) << 2]) + data
    return bytes([61 << 2]) + (len(data) - 1).to_bytes(2, "little") + data


LONG = bytes(range(256)) * 2
BLOCKS = {
    "nothing": (b"\x00", b""),
    "a literal": (b"\x03" + literal(b"abc"), b"abc"),
    "a long literal": (b"\x80\x04" + literal(LONG), LONG),
    "a copy with an offset of 1 byte": (b"\x08" + literal(b"abcd") + b"\x01\x04", b"abcdabcd"),
    "a copy with an offset of 2 bytes": (b"\x06" + literal(b"abcd") + b"\x06\x04\x00", b"abcdab"),
    "a copy with an offset of 4 bytes": (
        b"\x06" + literal(b"abcd") + b"\x07\x03\x00\x00\x00",
        b"abcdbc",
    ),
    "a copy from more than 255 bytes before": (
        b"\x84\x04" + literal(LONG) + b"\x21\x2c",
        LONG + LONG[212:216],
    ),
    "a copy that overlaps itself": (b"\x0a" + literal(b"ab") + b"\x1e\x02\x00", b"ab" * 5),
}


@pytest.mark.parametrize("row", BLOCKS)
def test_blocks_are_decompressed(row):
    data, content = BLOCKS[row]
    assert snappy.decompress(data) == content


MALFORMED = {
    "an absurd size": (
        b"\xff\xff\xff\xff\x0f" + literal(b"abc"),
        "a Snappy block of 9 bytes claims to hold 4294967295",
    ),
    "a size without an end": (b"\xff" * 12, "an integer has more than 64 bits"),
    "a literal that is cut off": (b"\x08\x1cabc", "is truncated"),
    "a copy from before the beginning": (
        b"\x08" + literal(b"ab") + b"\x0e\x03\x00",
        "copies what it does not hold",
    ),
    "a copy with the offset zero": (
        b"\x08" + literal(b"ab") + b"\x0e\x00\x00",
        "copies what it does not hold",
    ),
    "a copy that is cut off": (
        b"\x08" + literal(b"ab") + b"\x0e\x01",
        "copies what it does not hold",
    ),
    "more than it claims": (b"\x02" + literal(b"abc"), "holds more bytes than it claims"),
    "less than it claims": (b"\x04" + literal(b"abc"), "claims 4 bytes, but holds 3"),
}


@pytest.mark.parametrize("row", MALFORMED)
def test_a_malformed_block_is_an_error(row):
    data, message = MALFORMED[row]
    with pytest.raises(ValueError, match=message):
        snappy.decompress(data)
