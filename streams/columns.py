"""Many Avro bodies of one schema at once: every field of all of them in one step, as numpy columns.

Avro (specification 1.12, "Binary encoding") has no index: where a field begins depends on all before it. So
the bodies are walked together, field by field, each at its own place. What is not laid out as our own writer
does it (a text that is not ASCII, a UUID in another form, an array in several blocks) is marked and left to
the codec, which reads one record at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Longs = NDArray[np.int64]
Mask = NDArray[np.bool_]

LONGEST_VARINT = 10
MICROS = (-62_135_596_800_000_000, 253_402_300_799_999_999)
"""Of the years 1 to 9999, which a timestamp has to be in."""
UUID_TEXT = 36
DASHES = (8, 13, 18, 23)
_HEX = np.full(256, 255, np.uint8)
_HEX[np.frombuffer(b"0123456789abcdef", np.uint8)] = np.arange(16)
_HEX[np.frombuffer(b"ABCDEF", np.uint8)] = np.arange(10, 16)
_DIGITS = np.setdiff1d(np.arange(UUID_TEXT), DASHES)


class Texts(NamedTuple):
    """UTF-8 of n texts one after another, and where each begins and the last ends: (n + 1,) 32-bit."""

    data: NDArray[np.uint8]
    offsets: NDArray[np.int32]

    def array(self) -> pa.StringArray:
        return pa.StringArray.from_buffers(
            len(self.offsets) - 1, pa.py_buffer(self.offsets), pa.py_buffer(self.data)
        )


class Bodies:
    """Bodies of one schema, with a place in each that moves from field to field.

    A body whose `right` is False has been left: its values mean nothing.
    """

    def __init__(self, values: Sequence[bytes], begin: Longs) -> None:
        """values: framed messages; begin: (n,) where the body of each begins."""
        lengths = np.fromiter(map(len, values), np.int64, len(values))
        ends = np.cumsum(lengths)
        # Reading behind the last body, which only a wrong one asks for, finds zeros.
        self.bytes = np.frombuffer(b"".join([*values, bytes(UUID_TEXT)]), np.uint8)
        self.end = ends
        self.at = ends - lengths + begin
        self.right = (begin >= 0) & (begin <= lengths)

    def longs(self, least: int = -(2**63), most: int = 2**63 - 1) -> Longs:
        """Zigzag varints; those out of bounds are marked."""
        found = np.zeros(len(self.at), np.uint64)
        more = self.right.copy()
        for k in range(LONGEST_VARINT):
            byte = self.bytes[np.minimum(self.at, len(self.bytes) - 1)]
            found[more] |= (byte[more] & np.uint64(0x7F)) << np.uint64(7 * k)
            self.at[more] += 1
            if k == LONGEST_VARINT - 1:
                self.right &= ~more | (byte <= 1)
            more &= byte >= 0x80
            if not more.any():
                break
        value = (found >> np.uint64(1)).view(np.int64) ^ -(found & np.uint64(1)).view(np.int64)
        self._keep((value >= least) & (value <= most) & (self.at <= self.end))
        return value

    def texts(self, *, ascii_only: bool) -> Texts:
        """Texts; of bodies that are not right empty ones."""
        start, length = self._text()
        data = self._gathered(start, length)
        if ascii_only and len(high := np.flatnonzero(data >= 0x80)):
            self.right[np.repeat(np.arange(len(length)), length)[high]] = False
        return Texts(data, np.concatenate([[0], np.cumsum(length)]).astype(np.int32))

    def _text(self) -> tuple[Longs, Longs]:
        length = self.longs(least=0, most=len(self.bytes))
        start = self._skipped(length)
        return start, np.where(self.right, length, 0)

    def _gathered(self, start: Longs, length: Longs) -> NDArray[np.uint8]:
        before = np.cumsum(length) - length
        found: NDArray[np.uint8] = self.bytes[np.repeat(start - before, length) + np.arange(length.sum())]
        return found

    def uuids(self) -> NDArray[np.void]:
        """UUIDs as 36 characters of text, to 16 bytes each: (n,)."""
        start, length = self._text()
        self._keep(length == UUID_TEXT)
        start = np.where(self.right, start, 0)
        characters = self.bytes[start[:, None] + np.arange(UUID_TEXT)]
        digits = _HEX[characters[:, _DIGITS]]
        self._keep((digits < 16).all(axis=1) & (characters[:, DASHES] == ord("-")).all(axis=1))
        return np.ascontiguousarray(digits[:, ::2] << 4 | digits[:, 1::2] & 15).view("V16")[:, 0]

    def floats(self) -> NDArray[np.float32]:
        start = self._skipped(np.full(len(self.at), 4))
        start = np.where(self.right, start, 0)
        return np.ascontiguousarray(self.bytes[start[:, None] + np.arange(4)]).view("<f4")[:, 0]

    @contextmanager
    def where(self, present: Mask) -> Iterator[None]:
        """Within the block only these bodies are read."""
        all_right, self.right = self.right, self.right & present
        yield
        self.right = np.where(present, self.right, all_right)

    def present(self) -> Mask:
        """Which have the second branch of a union with null."""
        return np.asarray(self.longs(least=0, most=1) == 1)

    def blocks(self, size: int) -> tuple[Longs, Longs]:
        """Where the one block of the array begins that ends each body, and how many items it has."""
        count = self.longs(least=0, most=len(self.bytes))
        start = self.at
        ends = np.where(count > 0, start + count * size + 1, start)
        self._keep(ends == self.end)
        last = self.bytes[np.where(self.right, self.end - 1, 0)]
        self._keep((count == 0) | (last == 0))
        return start, np.where(self.right, count, 0)

    def _skipped(self, length: Longs) -> Longs:
        start = self.at
        self.at = start + np.where(self.right, length, 0)
        self._keep(self.at <= self.end)
        return start

    def _keep(self, right: Mask) -> None:
        self.right = self.right & right
