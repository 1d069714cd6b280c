"""Checks the framing of TFRecord files without TensorFlow: each record's length and its checksum."""

from __future__ import annotations

import os
import struct
from pathlib import Path

from smdecl import files

SUFFIX = ".tfrecord"
_LENGTH = struct.Struct("<QI")
_FOOTER = 4  # bytes of the checksum after the data
_COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"\x78\x9c": "zlib",
    b"\x78\x01": "zlib",
    b"\x78\xda": "zlib",
}
_CASTAGNOLI = 0x82F63B78  # the polynomial of CRC-32C, its bits reversed


def require(path: Path) -> None:
    """Raises where a file is not a sequence of whole records.

    This compares the checksums of the lengths. TensorFlow compares those of the data, which take
    long in Python, when it reads the records.

    Raises:
        ValueError: With the first record that is not whole.
        OSError: Where the file cannot be read.
    """
    with files.open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        number = 0
        while head := file.read(_LENGTH.size):
            if number == 0 and _is_compressed(head):
                by = _COMPRESSED[head[:2]]
                raise ValueError(f"is compressed by {by}; takes uncompressed records")
            if len(head) < _LENGTH.size:
                raise ValueError(f"ends within record {number}")
            length, checksum = _LENGTH.unpack(head)
            if masked_crc32c(head[:8]) != checksum:
                raise ValueError(
                    f"the length of record {number} differs from its checksum"
                )
            end = file.tell() + length + _FOOTER
            if end > size:
                raise ValueError(f"ends within record {number}")
            file.seek(end)
            number += 1


def _is_compressed(head: bytes) -> bool:
    if head[:2] not in _COMPRESSED:
        return False
    return (
        len(head) < _LENGTH.size or masked_crc32c(head[:8]) != _LENGTH.unpack(head)[1]
    )


def masked_crc32c(data: bytes) -> int:
    """Returns the checksum that a TFRecord holds of some bytes."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (_CASTAGNOLI if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    rotated = (crc >> 15 | crc << 17) & 0xFFFFFFFF
    return (rotated + 0xA282EAD8) & 0xFFFFFFFF
