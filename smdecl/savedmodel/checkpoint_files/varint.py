"""Reads variable-length integers, as protobuf, LevelDB's tables and Snappy write them."""

from __future__ import annotations

_LONGEST = 64  # bits


def read_varint(data: bytes, place: int) -> tuple[int, int]:
    """Returns the integer at a place in the data, and the place after it.

    Raises:
        ValueError: If it has more than 64 bits.
        IndexError: If the data ends before it does.
    """
    value = shift = 0
    while True:
        byte = data[place]
        value |= (byte & 0x7F) << shift
        place += 1
        shift += 7
        if shift > _LONGEST + 7:
            raise ValueError("an integer has more than 64 bits")
        if not byte & 0x80:
            return value, place
