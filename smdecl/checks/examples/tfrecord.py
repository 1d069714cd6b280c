"""Checks the lengths and checksums of records in TFRecord files, without TensorFlow."""

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
    """Checks that a file is a sequence of whole records.

    Compares the checksums of the lengths only: those of the data are slow to compute in Python, and
    TensorFlow compares them when it reads the records.

    Raises:
        ValueError: If it is not; names the first broken record.
        OSError: If the file cannot be read.
    """
    with files.open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        number = 0
        while head := file.read(_LENGTH.size):
            if number == 0 and _is_compressed(head):
                algorithm = _COMPRESSED[head[:2]]
                raise ValueError(
                    f"expected uncompressed records, got {algorithm}"
                )
            if len(head) < _LENGTH.size:
                raise ValueError(f"ends within record {number}")
            length, checksum = _LENGTH.unpack(head)
            if masked_crc32c(head[:8]) != checksum:
                message = (
                    f"the length of record {number} differs from its checksum"
                )
                raise ValueError(message)
            end = file.tell() + length + _FOOTER
            if end > size:
                raise ValueError(f"ends within record {number}")
            file.seek(end)
            number += 1


def _is_compressed(head: bytes) -> bool:
    if head[:2] not in _COMPRESSED:
        return False
    if len(head) < _LENGTH.size:
        return True
    _, checksum = _LENGTH.unpack(head)
    return bool(masked_crc32c(head[:8]) != checksum)


def masked_crc32c(data: bytes) -> int:
    """Returns the checksum of some bytes as TFRecord files have it."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            is_odd = crc & 1
            crc >>= 1
            if is_odd:
                crc ^= _CASTAGNOLI
    crc ^= 0xFFFFFFFF
    rotated = (crc >> 15 | crc << 17) & 0xFFFFFFFF
    return (rotated + 0xA282EAD8) & 0xFFFFFFFF
