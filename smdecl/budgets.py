"""Limits how much data a small file can expand to while it is read."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator

# Zeros unpack to a thousand times their stored size; weights, images and text to at most twenty.
_MOST_TIMES = 100
_ALWAYS_ALLOWED = 64 << 20  # bytes


class Budget:
    """An amount that reading a file may spend.

    Args:
        most: The whole amount; far more than any file that TensorFlow writes needs.
        what: The unit and its place in the file, for the error.
    """

    def __init__(self, most: int, what: str) -> None:
        self._most = most
        self._left = most
        self._what = what

    def spend(self, amount: int) -> None:
        """Spends an amount.

        Raises:
            ValueError: If less than that is left.
        """
        self._left -= amount
        if self._left < 0:
            raise ValueError(f"{self._what}: more than {self._most}")


def refuse_archive(
    archive: zipfile.ZipFile, name: str, size: int
) -> Iterator[str]:
    """Yields why an archive must not be unpacked, judged by the sizes that it claims.

    Args:
        archive: The archive. Its members may share their stored bytes.
        name: The name of its file.
        size: The size of its file in bytes.
    """
    members = archive.infolist()
    has_large_member = False
    for member in members:
        reason = refuse_size(member.file_size, member.compress_size)
        if reason is not None:
            has_large_member = True
            yield f"the member {member.filename!r} of {name!r} {reason}"
    unpacked = sum(member.file_size for member in members)
    reason = refuse_size(unpacked, size)
    if reason is not None and not has_large_member:
        yield f"{name!r} {reason}"


def refuse_size(unpacked: int, stored: int) -> str | None:
    """Returns why data must not be unpacked; None if it may be.

    Args:
        unpacked: Its unpacked size in bytes.
        stored: Its stored size in bytes.
    """
    if unpacked <= max(_ALWAYS_ALLOWED, _MOST_TIMES * stored):
        return None
    return f"unpacks {stored} bytes to {unpacked}; expected at most {_MOST_TIMES} times its size"
