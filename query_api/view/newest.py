"""The images of the window by id, each with its served detection, packed: look-ups without a query.

A Python dict of bytes: a query costs DuckDB some milliseconds of a busy core, a look-up here a hundredth.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import NamedTuple
from uuid import UUID

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from streams.circles import CIRCLE

CIRCLE_LAYOUT = struct.Struct("<16s8f")
assert CIRCLE_LAYOUT.size == CIRCLE.itemsize
_HEADER = np.dtype([("kind", "<u4"), ("micros", "<i8")])
_HEADER_LAYOUT = struct.Struct("<Iq")
_PENDING = _HEADER_LAYOUT.pack(0, 0)
Model = tuple[str, str]
"""Name and version."""
Rank = tuple[int, str, str]
"""What orders an image's detections but for promotions: microseconds since 1970, model name, version."""


class Kind(NamedTuple):
    """What many detections have in common."""

    project_id: str
    model_name: str
    model_version: str


class Circle(NamedTuple):
    """A circle as `CIRCLE` has it, in pixels; object_id: 16 bytes."""

    object_id: bytes
    x: float
    y: float
    radius: float
    score: float
    x_min: float
    y_min: float
    x_max: float
    y_max: float


class Newest:
    """By image: of which project and model its served detection is, and its circles, best score first."""

    def __init__(self) -> None:
        self._packed: dict[bytes, bytes] = {}
        self._kinds: list[Kind] = [Kind("", "", "")]
        self._numbers: dict[Kind, int] = {}

    def __len__(self) -> int:
        return len(self._packed)

    def __contains__(self, image_id: bytes) -> bool:
        return image_id in self._packed

    def get(
        self, image_id: UUID, project: str | None = None, model: Model | None = None
    ) -> list[Circle] | None:
        """The circles of an image's served detection; None where the window has none.

        project: the one that the image has to be of; None: any. How long it takes for one of another project
        does not tell that it is there. model: whose detection it has to be; None: any.
        """
        packed = self._packed.get(image_id.bytes, _PENDING)
        number = _HEADER_LAYOUT.unpack_from(packed)[0]
        kind = self._kinds[number]
        if not number or project not in (None, kind.project_id) or model not in (None, kind[1:]):
            return None
        circles = CIRCLE_LAYOUT.iter_unpack(memoryview(packed)[_HEADER_LAYOUT.size :])
        return list(map(Circle._make, circles))

    def rank(self, image_id: bytes) -> Rank | None:
        """Of an image's served detection; None where it has none."""
        number, micros = _HEADER_LAYOUT.unpack_from(self._packed.get(image_id, _PENDING))
        return (micros, *self._kinds[number][1:]) if number else None

    def add(self, image_ids: Iterable[bytes]) -> None:
        """Images that have no detection yet."""
        self._packed |= dict.fromkeys(image_ids, _PENDING)

    def put(self, detections: pa.Table, circles: pa.Table) -> None:
        """Put detections in, each in place of what its image had.

        detections: image_id, project_id, model_name, model_version, detected_at, one an image; circles:
        theirs, by image and of an image as `best_first` has them.
        """
        headers = np.empty(detections.num_rows, _HEADER)
        headers["kind"] = self._kinds_of(detections)
        headers["micros"] = detections["detected_at"].cast(pa.int64()).to_numpy()
        wanted = ids(detections["image_id"]).tolist()
        found = _by_image(circles)
        self._packed |= {
            image_id: header + found.get(image_id, b"")
            for image_id, header in zip(wanted, headers.view(f"V{_HEADER.itemsize}").tolist(), strict=True)
        }

    def _kinds_of(self, detections: pa.Table) -> NDArray[np.uint32]:
        """(n,) the number of each one's kind; new ones are noted."""
        columns = [detections[name].combine_chunks().dictionary_encode() for name in Kind._fields]
        codes = np.stack([column.indices.to_numpy() for column in columns])
        several, of_rows = np.unique(codes, axis=1, return_inverse=True)
        words = [column.dictionary.to_pylist() for column in columns]
        numbers = [
            self._number(Kind(*(word[place] for word, place in zip(words, places, strict=True))))
            for places in several.T.tolist()
        ]
        return np.array(numbers, np.uint32)[of_rows]

    def _number(self, kind: Kind) -> int:
        if kind not in self._numbers:
            self._numbers[kind] = len(self._kinds)
            self._kinds.append(kind)
        return self._numbers[kind]

    def drop(self, image_ids: Iterable[bytes]) -> None:
        """Let images go."""
        for image_id in image_ids:
            self._packed.pop(image_id, None)


def micros_of(detections: pa.Table) -> list[int]:
    """When each was made: microseconds since 1970."""
    return list(detections["detected_at"].cast(pa.int64()).to_pylist())


def best_first(circles: pa.Table) -> pa.Table:
    """Circles by image, those of an image by score from the best, then by their ids."""
    objects, images = (halves(ids(circles[name])) for name in ("object_id", "image_id"))
    keys = [objects[:, 1], objects[:, 0], -circles["score"].to_numpy(), images[:, 1], images[:, 0]]
    return circles.take(np.lexsort(keys))


def _by_image(circles: pa.Table) -> dict[bytes, bytes]:
    """Circles that stand together by image: packed as `CIRCLE`s, by image."""
    if not circles.num_rows:
        return {}
    packed = np.empty(circles.num_rows, CIRCLE)
    packed["object_id"] = ids(circles["object_id"])
    for name in (CIRCLE.names or ())[1:]:
        packed[name] = circles[name].to_numpy()
    images = ids(circles["image_id"])
    begins = begins_of(images)
    data, cuts = packed.tobytes(), [*(begins * CIRCLE.itemsize).tolist(), packed.nbytes]
    return dict(zip(images[begins].tolist(), map(data.__getitem__, map(slice, cuts, cuts[1:])), strict=True))


def begins_of(images: NDArray[np.void]) -> NDArray[np.int64]:
    """(k,) where another image begins among ids, (n,) V16, of which equal ones stand together."""
    high, low = halves(images).T
    first = np.ones(min(1, len(images)), np.bool_)
    return np.flatnonzero(np.concatenate((first, (high[1:] != high[:-1]) | (low[1:] != low[:-1]))))


def halves(uuids: NDArray[np.void]) -> NDArray[np.uint64]:
    """(n, 2) of (n,) V16: numbers in the order of the ids, the first half before the second."""
    return np.ascontiguousarray(uuids).view(">u8").reshape(-1, 2)


def ids(column: pa.ChunkedArray) -> NDArray[np.void]:
    """(n,) V16 of those of a column of UUIDs that are not null."""
    storage = column.drop_null().combine_chunks().storage
    data = storage.buffers()[1]
    begin = storage.offset * 16
    return np.frombuffer(data, "V16", len(storage), begin) if data else np.empty(0, "V16")
