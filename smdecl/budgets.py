"""Bounds what reading a file makes of it, where few bytes can stand for many."""

from __future__ import annotations


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
