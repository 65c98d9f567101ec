"""The window's images in the order of upload, packed, to be looked through from the newest.

A query costs DuckDB some milliseconds of a busy core, whatever it finds; a page from here a fraction of one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import numpy as np
import orjson
import pyarrow as pa
from numpy.typing import NDArray

from query_api.view.newest import halves, ids

LOOKED_AT, MOST_LOOKED_AT = 2_000, 50_000
"""Images that are looked at first, and those from which on it is better to ask DuckDB."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
NONE = -1

ROW = np.dtype([
    ("high", "<u8"), ("low", "<u8"), ("project", "<i4"), ("source", "<i4"), ("model", "<i4"),
    ("circles", "<i4"), ("latency", "<f4"), ("failed", "?"), ("uploaded", "<i8"), ("detected", "<i8"),
])  # fmt: skip
"""An image: its id in halves, words by number, microseconds since 1970. Model NONE: nothing is detected."""
Rows = NDArray[np.void]
Met = NDArray[np.bool_]
Key = tuple[int, int, int]
"""A place in the order: microseconds since 1970, and the halves of an id."""
NO_FAILURE = (None,) * 5


class Words:
    """What many images have in common, by number."""

    def __init__(self) -> None:
        self.words: list[Any] = []
        self._numbers: dict[Hashable, int] = {}

    def find(self, word: Hashable) -> int:
        """NONE for one that is not there."""
        return self._numbers.get(word, NONE)

    def numbers(self, words: Iterable[Hashable]) -> list[int]:
        """Those of words, which are there from now on."""
        found = []
        for word in words:
            number = self._numbers.setdefault(word, len(self.words))
            if number == len(self.words):
                self.words.append(word)
            found.append(number)
        return found


class Timeline:
    """Rows of the window's `images`. One thread changes it, any may read.

    `_order` says where the rows of those uploaded are, by time of upload and id, and `_times` when that was.
    Those whose outcome came before their upload have a row, but no place in the order yet.
    """

    def __init__(self) -> None:
        self.words = Words()
        self._lock = threading.Lock()
        self._many = 0
        self._rows, self._uploads = np.empty(0, ROW), list[str]()
        self._order, self._times = np.empty(0, np.int64), np.empty(0, np.int64)
        self._places: dict[bytes, int] = {}
        self._failures: dict[bytes, tuple[Any, ...]] = {}

    def __len__(self) -> int:
        return self._many

    def add(self, uploads: pa.Table) -> None:
        """Images, with the columns of `uploads` in window.sql."""
        packed = uploads["packed"].to_pylist()
        times = uploads["uploaded"].to_numpy()
        with self._lock:
            places = self._places_of(ids(uploads["image_id"]))
            self._rows["uploaded"][places] = times
            for name in ("project", "source"):
                self._rows[name][places] = self.words.numbers(uploads[f"{name}_id"].to_pylist())
            for place, upload in zip(places.tolist(), packed, strict=True):
                self._uploads[place] = upload
            self._put_in_order(places)

    def detected(self, detections: pa.Table) -> None:
        """Detections that are served from now on, one an image."""
        models = [detections[name].to_pylist() for name in ("model_name", "model_version")]
        with self._lock:
            places = self._places_of(ids(detections["image_id"]))
            self._rows["model"][places] = self.words.numbers(zip(*models, strict=True))
            self._rows["circles"][places] = detections["circle_count"].to_numpy()
            self._rows["latency"][places] = detections["latency_ms"].to_numpy()
            self._rows["detected"][places] = detections["detected_at"].cast(pa.int64()).to_numpy()

    def failed(self, failures: Iterable[Sequence[Any]]) -> None:
        """Images with their open failures: image_id, dead_letter_id, stage, error, reason, failed_at."""
        with self._lock:
            for image_id, *failure in failures:
                place = self._places_of(np.frombuffer(image_id.bytes, "V16"))
                self._rows["failed"][place] = failure[0] is not None
                self._failures[image_id.bytes] = tuple(failure)

    def drop(self, image_ids: Iterable[bytes]) -> None:
        """Let images go."""
        gone = set(image_ids)
        left = {image_id: place for image_id, place in self._places.items() if image_id not in gone}
        kept = np.fromiter(left.values(), np.int64, len(left))
        place_of = np.full(len(self._rows), NONE)
        place_of[kept] = np.arange(len(kept))
        order = place_of[self._order[: self._many]]
        rows, uploads = self._rows[kept], [self._uploads[place] for place in kept.tolist()]
        times, places = (
            self._times[: self._many][order != NONE],
            dict(zip(left, range(len(left)), strict=True)),
        )
        failures = {image_id: said for image_id, said in self._failures.items() if image_id not in gone}
        with self._lock:
            self._rows, self._uploads, self._places, self._failures = rows, uploads, places, failures
            self._order, self._times = order[order != NONE], times
            self._many = len(times)

    def newest(
        self, met: Callable[[Rows], Met], since: Key, before: Key, count: int
    ) -> list[dict[str, Any]] | None:
        """Rows of `images` that meet conditions, newest first, at most so many, from a place in the order to
        before another; None where many would have to be looked at."""
        found, missing, looked_at = [np.empty(0, np.int64)], count, LOOKED_AT
        with self._lock:
            begin, end = self._place(since), self._place(before)
            while missing and begin < end:
                if looked_at > MOST_LOOKED_AT:
                    return None
                places = self._order[max(begin, end - looked_at) : end][::-1]
                end -= len(places)
                those = places[met(self._rows[places])][:missing]
                found.append(those)
                missing -= len(those)
                looked_at *= 4
            places = np.concatenate(found)
            rows, uploads = self._rows[places].tolist(), [self._uploads[place] for place in places.tolist()]
        return list(map(self._row, rows, uploads))

    def _row(self, row: tuple[Any, ...], packed: str) -> dict[str, Any]:
        high, low, project, source, model, circles, latency, failed, uploaded, detected = row
        image_id, there = UUID(int=high << 64 | low), model != NONE
        uri, sha256, content_type, width, height, size, captured, attributes = orjson.loads(packed)
        name, version = self.words.words[model] if there else (None, None)
        letter, stage, error, reason, failed_at = self._failures.get(image_id.bytes, NO_FAILURE)
        return {
            "image_id": image_id, "project_id": self.words.words[project],
            "source_id": self.words.words[source], "uri": uri, "sha256": sha256,
            "content_type": content_type, "width": width, "height": height, "size_bytes": size,
            "captured_at": None if captured is None else EPOCH + captured * MICROSECOND,
            "uploaded_at": EPOCH + uploaded * MICROSECOND, "attributes": attributes,
            "model_name": name, "model_version": version, "circle_count": circles if there else None,
            "latency_ms": latency if there else None,
            "detected_at": EPOCH + detected * MICROSECOND if there else None,
            "dead_letter_id": letter, "stage": stage, "error": error, "reason": reason,
            "failed_at": failed_at, "status": "detected" if there else "failed" if failed else "pending",
        }  # fmt: skip

    def _places_of(self, image_ids: NDArray[np.void]) -> NDArray[np.int64]:
        """(n,) where the rows of images are; those of new ones are empty."""
        many = len(self._uploads)
        known = self._places
        places = np.array(
            [known.setdefault(image_id, len(known)) for image_id in image_ids.tolist()], np.int64
        )
        self._rows = _longer(self._rows, len(known))
        self._uploads += [""] * (len(known) - many)
        new = places >= many
        empty = np.zeros(new.sum(), ROW)
        empty["model"] = NONE
        empty["high"], empty["low"] = halves(image_ids[new]).T
        self._rows[places[new]] = empty
        return places

    def _put_in_order(self, places: NDArray[np.int64]) -> None:
        if not len(places):
            return
        places = self._sorted(places)
        first = self._rows[places[0]]
        at = self._place((int(first["uploaded"]), int(first["high"]), int(first["low"])))
        behind = self._sorted(np.concatenate([self._order[at : self._many], places]))
        self._many += len(places)
        self._order, self._times = _longer(self._order, self._many), _longer(self._times, self._many)
        self._order[at : self._many] = behind
        self._times[at : self._many] = self._rows["uploaded"][behind]

    def _sorted(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        rows = self._rows[places]
        return places[np.lexsort([rows["low"], rows["high"], rows["uploaded"]])]

    def _place(self, key: Key) -> int:
        """How many come before."""
        times = self._times[: self._many]
        begin, end = (int(np.searchsorted(times, key[0], side)) for side in ("left", "right"))
        while begin < end:
            middle = (begin + end) // 2
            row = self._rows[self._order[middle]]
            if (int(row["high"]), int(row["low"])) < key[1:]:
                begin = middle + 1
            else:
                end = middle
        return begin


def _longer(array: NDArray[Any], least: int) -> NDArray[Any]:
    """The array, or where it is shorter one that begins with it and has room for some time."""
    if least <= len(array):
        return array
    longer = np.zeros(least + least // 4, array.dtype)
    longer[: len(array)] = array
    return longer
