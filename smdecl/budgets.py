"""Bounds what reading a file makes of it, where few bytes can stand for many."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator

# An archive of zeros unpacks to a thousand times its size; of weights, images or text, to twenty.
_MOST_UNPACKED = 64 << 20  # bytes, whatever they are packed in
_MOST_TIMES = 100


class Budget:
    """An amount that is spent while a file is read.

    Args:
        most: The whole amount, far more than any file takes that TensorFlow writes.
        what: Takes it, for the error.
    """

    def __init__(self, most: int, what: str) -> None:
        self._most, self._left, self._what = most, most, what

    def spend(self, amount: int) -> None:
        """Takes an amount.

        Raises:
            ValueError: Where there is less left.
        """
        self._left -= amount
        if self._left < 0:
            raise ValueError(f"{self._what}: more than {self._most}")


def refuse_archive(archive: zipfile.ZipFile, name: str, size: int) -> Iterator[str]:
    """Yields what is wrong with the sizes in an archive; nothing is unpacked.

    Args:
        archive: The archive. Its members may share their bytes.
        name: Of its file.
        size: Of its file, in bytes.
    """
    members = archive.infolist()
    refused = False
    for member in members:
        if reason := refuse_size(member.file_size, member.compress_size):
            refused = True
            yield f"the member {member.filename!r} of {name!r} {reason}"
    unpacked = sum(member.file_size for member in members)
    reason = refuse_size(unpacked, size)
    if reason and not refused:
        yield f"{name!r} {reason}"


def refuse_size(unpacked: int, stored: int) -> str | None:
    """Says why data that is stored in some bytes may not be unpacked; None if it may."""
    if unpacked <= max(_MOST_UNPACKED, _MOST_TIMES * stored):
        return None
    return f"unpacks {stored} bytes to {unpacked}; expected at most {_MOST_TIMES} times its size"
