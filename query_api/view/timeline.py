"""The window's images in the order of upload, packed, to be looked through from the newest.

A query costs DuckDB some milliseconds of a busy core, whatever it finds; a page from here a fraction of one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from query_api.view.columns import COLUMNS, NONE, WORDED, Rows, Words, empty, longer
from query_api.view.measures import Measures, closed_up
from query_api.view.newest import begins_of, halves, ids

LOOKED_AT, MOST_LOOKED_AT = 2_000, 50_000
"""Images that are looked at first, and those from which on it is better to ask DuckDB."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
Met = NDArray[np.bool_]
Key = tuple[int, int, int]
"""A place in the order: microseconds since 1970, and the halves of an id."""
MEASURES = ("radius", "score")
COUNTED = ("project", "source", "model", "circles", "failed", "uploaded", "begin", "many")
NO_FAILURE = (None,) * 5


class Timeline:
    """Rows of the window's `images`. One thread changes it, any may read.

    `_order` says where the rows of those uploaded are, by time of upload and id, and `_times` when that was.
    Those whose outcome came before their upload have a row, but no place in the order yet. All is read and
    changed under a lock, a page's search too, which is shorter than a thread's turn.
    """

    def __init__(self) -> None:
        self._words = Words()
        self._lock = threading.Lock()
        self._many = 0
        self._columns, self._uploads = empty(0), list[str]()
        self._order, self._times = np.empty(0, np.int64), np.empty(0, np.int64)
        self._places: dict[bytes, int] = {}
        self._failures: dict[int, tuple[Any, ...]] = {}
        self._measures = {name: np.empty(0, np.float32) for name in MEASURES}
        self._measured = self._replaced = 0

    def __len__(self) -> int:
        return self._many

    def add(self, uploads: pa.Table) -> None:
        """Images, with the columns of `uploads` in window.sql."""
        packed = uploads["packed"].to_pylist()
        times = uploads["uploaded"].to_numpy()
        with self._lock:
            places = self._places_of(ids(uploads["image_id"]))
            self._columns["uploaded"][places] = times
            for name in ("project", "source"):
                self._columns[name][places] = self._words.of(uploads[f"{name}_id"])
            for place, upload in zip(places.tolist(), packed, strict=True):
                self._uploads[place] = upload
            self._put_in_order(places)

    def detected(self, detections: pa.Table, circles: pa.Table) -> None:
        """Detections that are served from now on, one an image; their circles, those of an image together."""
        models = [detections[name] for name in ("model_name", "model_version")]
        with self._lock:
            places = self._places_of(ids(detections["image_id"]))
            self._columns["model"][places] = self._words.of(*models)
            self._columns["circles"][places] = detections["circle_count"].to_numpy()
            self._columns["latency"][places] = detections["latency_ms"].to_numpy()
            self._columns["detected"][places] = detections["detected_at"].cast(pa.int64()).to_numpy()
            self._replaced += int(self._columns["many"][places].sum())
            self._columns["many"][places] = 0
            images = ids(circles["image_id"])
            begins = begins_of(images)
            places = self._places_of(images[begins])
            self._columns["begin"][places] = begins + self._measured
            self._columns["many"][places] = np.diff(begins, append=len(images))
            end = self._measured + len(images)
            for name, array in self._measures.items():
                self._measures[name] = longer(array, end)
                self._measures[name][self._measured : end] = circles[name].to_numpy()
            self._measured = end
            if self._replaced > end // 2:
                self._measures = closed_up(self._measures, self._at(slice(len(self._places))))
                self._measured, self._replaced = end - self._replaced, 0

    def failed(self, failures: Iterable[Sequence[Any]]) -> None:
        """Images with their open failures: image_id, dead_letter_id, stage, error, reason, failed_at."""
        with self._lock:
            for image_id, *failure in failures:
                [place] = self._places_of(np.frombuffer(image_id.bytes, "V16")).tolist()
                self._columns["failed"][place] = failure[0] is not None
                self._failures.pop(place, None)
                if failure[0] is not None:
                    self._failures[place] = tuple(failure)

    def drop(self, image_ids: Iterable[bytes]) -> None:
        """Let images go. What is left is put together beside, so that nobody waits for it."""
        gone = set(image_ids)
        left = {image_id: place for image_id, place in self._places.items() if image_id not in gone}
        kept = np.fromiter(left.values(), np.int64, len(left))
        place_of = np.full(len(self._columns["model"]), NONE)
        place_of[kept] = np.arange(len(kept))
        order = place_of[self._order[: self._many]]
        rows = self._at(kept).copied(COLUMNS)
        measures = closed_up(self._measures, rows)
        words, anew = self._words.only(rows[name] for name in WORDED)
        columns = {name: anew[column] if name in WORDED else column for name, column in rows.columns.items()}
        uploads = [self._uploads[place] for place in left.values()]
        moved = ((int(place_of[place]), failure) for place, failure in self._failures.items())
        failures = {place: failure for place, failure in moved if place != NONE}
        with self._lock:
            self._columns, self._words, self._uploads = columns, words, uploads
            self._failures = failures
            self._places = dict(zip(left, range(len(left)), strict=True))
            self._order, self._times = order[order != NONE], self._times[: self._many][order != NONE]
            self._many = len(self._order)
            self._measures, self._measured, self._replaced = measures, int(rows["many"].sum()), 0

    def newest(
        self, met: Callable[[Rows], Met], since: Key, before: Key, count: int
    ) -> tuple[Rows, list[str], list[tuple[Any, ...]]] | None:
        """Images that meet conditions, from a place in the order to before another, newest first, at most so
        many; what is packed of their uploads; their open failures, as `failed` has them, None where none.
        None where many would have to be looked at."""
        found, missing, looked_at = [np.empty(0, np.int64)], count, LOOKED_AT
        with self._lock:
            begin, end = self._place(since), self._place(before)
            while missing and begin < end:
                if looked_at > MOST_LOOKED_AT:
                    return None
                places = self._order[max(begin, end - looked_at) : end][::-1]
                end -= len(places)
                those = places[met(self._at(places))][:missing]
                found.append(those)
                missing -= len(those)
                looked_at *= 4
            places = np.concatenate(found)
            uploads = [self._uploads[place] for place in places.tolist()]
            failures = [self._failures.get(place, NO_FAILURE) for place in places.tolist()]
            return self._at(places).copied(COLUMNS), uploads, failures

    def between(self, since: Key, before: Key) -> tuple[Rows, Mapping[str, Measures]]:
        """Rows of all images from a place in the order to before another, in no order, and what their circles
        measure, by the name of the measure."""
        with self._lock:
            places = self._order[self._place(since) : self._place(before)]
            if len(places) and np.ptp(places) == len(places) - 1:  # they came in their order, mostly
                rows = self._at(slice(places.min(), places.max() + 1))
            else:
                rows = self._at(places)
            return rows.copied(COUNTED), dict(self._measures)

    def _at(self, places: NDArray[np.int64] | slice) -> Rows:
        return Rows(self._columns, places, self._words)

    def _places_of(self, image_ids: NDArray[np.void]) -> NDArray[np.int64]:
        """(n,) where the rows of images are; those of new ones are empty."""
        wanted = image_ids.tolist()
        places = list(map(self._places.get, wanted))
        new = [n for n, place in enumerate(places) if place is None]
        if new:
            for n in new:
                places[n] = self._places.setdefault(wanted[n], len(self._places))
            self._columns = {
                name: longer(column, len(self._places)) for name, column in self._columns.items()
            }
            self._uploads += [""] * (len(self._places) - len(self._uploads))
            fresh = np.array([places[n] for n in new], np.int64)
            self._columns["model"][fresh] = NONE
            self._columns["high"][fresh], self._columns["low"][fresh] = halves(image_ids[new]).T
        return np.array(places, np.int64)

    def _put_in_order(self, places: NDArray[np.int64]) -> None:
        if not len(places):
            return
        places = places[np.lexsort([self._columns[name][places] for name in ("low", "high", "uploaded")])]
        times, there = self._columns["uploaded"][places], self._times[: self._many]
        before, behind = (np.searchsorted(there, times, side) for side in ("left", "right"))
        for n in np.flatnonzero(before != behind).tolist():  # others of the same instant: by their ids
            high, low = (int(self._columns[name][places[n]]) for name in ("high", "low"))
            before[n] = self._place((int(times[n]), high, low))
        begin = int(before[0])
        order = np.insert(self._order[begin : self._many], before - begin, places)
        self._many += len(places)
        self._order, self._times = longer(self._order, self._many), longer(self._times, self._many)
        self._order[begin : self._many] = order
        self._times[begin : self._many] = self._columns["uploaded"][order]

    def _place(self, key: Key) -> int:
        """How many come before."""
        times = self._times[: self._many]
        begin, end = (int(np.searchsorted(times, key[0], side)) for side in ("left", "right"))
        while begin < end:
            middle = (begin + end) // 2
            place = self._order[middle]
            if (int(self._columns["high"][place]), int(self._columns["low"][place])) < key[1:]:
                begin = middle + 1
            else:
                end = middle
        return begin
