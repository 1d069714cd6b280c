"""Decompresses Snappy blocks, of which the indexes of older checkpoints consist.

The format is that of Snappy's `format_description.txt`: the size, then literals and copies of
earlier content.
"""

from __future__ import annotations

from smdecl.savedmodel.checkpoint_files.varint import read_varint

_MOST_PER_BYTE = 32  # an element of 3 bytes expands to at most 64
_LITERAL = 0
_OFFSET_SIZES = {1: 1, 2: 2, 3: 4}  # kind of copy to the bytes of its offset
# A longer literal has its length in the bytes that follow.
_LONGEST_INLINE = 60


def decompress(data: bytes) -> bytes:
    """Returns the content of a Snappy block.

    Raises:
        ValueError: If it is malformed, or claims more content than its bytes can hold.
    """
    size, place = read_varint(data, 0)
    if size > len(data) * _MOST_PER_BYTE:
        raise ValueError(
            f"a Snappy block of {len(data)} bytes claims to hold {size}"
        )
    content = bytearray()
    while place < len(data):
        kind = data[place] & 3
        if kind == _LITERAL:
            place = _append_literal(content, data, place)
        else:
            place = _append_copy(content, data, place, _OFFSET_SIZES[kind])
        if len(content) > size:
            raise ValueError("a Snappy block holds more bytes than it claims")
    if len(content) != size:
        raise ValueError(
            f"a Snappy block claims {size} bytes, but holds {len(content)}"
        )
    return bytes(content)


def _append_literal(content: bytearray, data: bytes, place: int) -> int:
    """Appends a literal; returns the place after it."""
    length = (data[place] >> 2) + 1
    place += 1
    extra = length - _LONGEST_INLINE
    if extra > 0:
        length = int.from_bytes(data[place : place + extra], "little") + 1
        place += extra
    if place + length > len(data):
        raise ValueError("a Snappy block is truncated")
    content += data[place : place + length]
    return place + length


def _append_copy(
    content: bytearray, data: bytes, place: int, offset_size: int
) -> int:
    """Appends a copy of earlier content, which may overlap itself; returns the place after it."""
    tag = data[place]
    place += 1
    offset = int.from_bytes(data[place : place + offset_size], "little")
    length = (tag >> 2) + 1
    if offset_size == 1:
        length = ((tag >> 2) & 7) + 4
        offset |= (tag >> 5) << 8
    if place + offset_size > len(data) or not 0 < offset <= len(content):
        raise ValueError("a Snappy block copies what it does not hold")
    start = len(content) - offset
    source = content[start : start + length]
    repeats = -(-length // len(source))
    content += (source * repeats)[:length]
    return place + offset_size
