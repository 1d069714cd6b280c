"""Reads sorted tables in LevelDB's format (`table_format.md`), such as the index of a checkpoint.

The data is not trusted: sizes are checked before they are used, so that a small file takes little
memory, and the checksum of each block is verified.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from smdecl.savedmodel.checkpoint_files import snappy
from smdecl.savedmodel.checkpoint_files.crc32c import crc32c, masked
from smdecl.savedmodel.checkpoint_files.varint import read_varint

_FOOTER = 48  # bytes: the handles of two blocks, padded, and the magic number
_MAGIC = struct.pack("<Q", 0xDB4775248B80FB57)
# Bytes after a block: its compression, and the checksum of the block and that byte.
_TRAILER = 5
_UNCOMPRESSED, _SNAPPY = 0, 1
_LONGEST_KEY = 1 << 16  # bytes
# Each sixteenth key is stored whole, so the keys of a block have at most this many times its bytes.
_MOST_SHARED = 16
_MOST_CONTENT = 1 << 28  # bytes of all keys and values
_MOST_ENTRIES = 1 << 20


def entries(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yields the keys and values of a table, in order.

    Raises:
        ValueError: If it is not a table, or a checksum differs.
        IndexError: If it is truncated.
    """
    footer = data[-_FOOTER:]
    if footer[-len(_MAGIC) :] != _MAGIC:
        raise ValueError("it does not end like a sorted table")
    # The first handle is that of an empty block of metadata.
    _, place = read_varint(footer, 0)
    _, place = read_varint(footer, place)
    yield from _bounded(_entries_of_blocks(data, footer[place:]))


def _entries_of_blocks(
    data: bytes, top: bytes
) -> Iterator[tuple[bytes, bytes]]:
    """Yields the entries of every block that the top block lists."""
    end = 0
    for _, handle in _entries_of_block(_block(data, top)):
        start, place = read_varint(handle, 0)
        size, _ = read_varint(handle, place)
        if start < end:
            raise ValueError("its blocks overlap")
        end = start + size + _TRAILER
        yield from _entries_of_block(_block(data, handle))


def _bounded(
    found: Iterator[tuple[bytes, bytes]],
) -> Iterator[tuple[bytes, bytes]]:
    """Yields entries while they are in order, and not more than a checkpoint has."""
    last = None
    content = 0
    for count, (key, value) in enumerate(found):
        if last is not None and key <= last:
            raise ValueError("its keys are not in order")
        content += len(key) + len(value)
        if content > _MOST_CONTENT:
            raise ValueError(
                f"its entries have more than {_MOST_CONTENT} bytes"
            )
        if count >= _MOST_ENTRIES:
            raise ValueError(f"it has more than {_MOST_ENTRIES} entries")
        yield key, value
        last = key


def _block(data: bytes, handle: bytes) -> bytes:
    """Returns the content of the block that a handle points to."""
    start, place = read_varint(handle, 0)
    size, _ = read_varint(handle, place)
    end = start + size
    if end + _TRAILER > len(data):
        raise ValueError("a block is truncated")
    compression = data[end]
    (stored,) = struct.unpack("<I", data[end + 1 : end + _TRAILER])
    if masked(crc32c(data[start : end + 1])) != stored:
        raise ValueError(
            f"content of the block at byte {start} differs from its checksum"
        )
    if compression == _UNCOMPRESSED:
        return data[start:end]
    if compression == _SNAPPY:
        return snappy.decompress(data[start:end])
    raise ValueError(
        f"a block has the unknown compression {compression}; expected none or Snappy"
    )


def _entries_of_block(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yields keys and values. A key is stored as its difference from the previous one."""
    (restarts,) = struct.unpack("<I", block[-4:])
    end = len(block) - 4 * (restarts + 1)
    if end < 0:
        raise ValueError("a block is truncated")
    left = _MOST_SHARED * len(block)
    key = b""
    place = 0
    while place < end:
        shared, place = read_varint(block, place)
        added, place = read_varint(block, place)
        length, place = read_varint(block, place)
        if shared > len(key) or shared + added > _LONGEST_KEY:
            raise ValueError("a key is longer than any that TensorFlow writes")
        left -= shared + added
        if left < 0:
            raise ValueError(
                "its keys share more bytes than TensorFlow allows"
            )
        if place + added + length > end:
            raise ValueError("a block is truncated")
        key = key[:shared] + block[place : place + added]
        yield key, block[place + added : place + added + length]
        place += added + length
