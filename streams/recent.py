"""Which keys the view has: the newest ones from memory, older ones by a look-up that their time prunes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Set
from heapq import nlargest
from typing import Any, Generic, TypeVar
from uuid import UUID

import duckdb
import pyarrow as pa

from streams import lake
from streams.views import Detected, Keys

MOST = 100_000
"""Keys of a table that are kept in memory, at least; at most twice as many."""

Key = TypeVar("Key", UUID, Detected)


class Window(Generic[Key]):
    """The newest keys of a table: all of those whose image id is above `floor`."""

    def __init__(self, keys: Iterable[Key], most: int) -> None:
        """keys: the newest of the table, all of them where they are fewer than `most`."""
        self._keys: set[Key] = set(keys)
        self._most = most
        self.floor = min(map(_image_id, self._keys)) if len(self._keys) >= most else b""

    def __len__(self) -> int:
        return len(self._keys)

    def known(self, wanted: Iterable[Key], strays: Set[Key]) -> tuple[set[Key], set[Key]]:
        """Of some keys those that are in the table, and those that it has to be asked for."""
        asked = {key for key in wanted if _image_id(key) <= self.floor} if self.floor else set[Key]()
        return self._keys.intersection(wanted), asked | strays

    def add(self, keys: Iterable[Key]) -> None:
        # Older ones are looked up anyway; with them the floor could fall below keys that were let go.
        self._keys.update(key for key in keys if _image_id(key) > self.floor)
        if len(self._keys) >= 2 * self._most:
            self.floor = nlargest(self._most, map(_image_id, self._keys))[-1]
            self._keys = {key for key in self._keys if _image_id(key) > self.floor}


class Recent:
    """What a writer knows of the view; made anew when a commit's outcome or another's rows are not known."""

    def __init__(self, view: duckdb.DuckDBPyConnection, most: int = MOST) -> None:
        def newest(table: str) -> list[Any]:
            return view.execute(lake.STATEMENTS[f"newest_{table}"], {"most": most}).fetchall()

        self.images = Window((row[0] for row in newest("images")), most)
        self.detections = Window(_detected(newest("detections")), most)

    def known(self, view: duckdb.DuckDBPyConnection, wanted: Keys, strays: Keys) -> Keys:
        """Which of `wanted` the view has. strays: those of them that another writer may have added."""

        def found(table: str, column: str, ids: Iterable[bytes]) -> list[Any]:
            return look_up(view, f"known_{table}", column, list(ids))

        images, old_images = self.images.known(wanted.images, strays.images)
        detections, old_detections = self.detections.known(wanted.detections, strays.detections)
        images |= {row[0] for row in found("images", "image_id", (i.bytes for i in old_images))}
        detections |= set(_detected(found("detections", "image_id", {i for i, _, _ in old_detections})))
        failures = found("failures", "dead_letter_id", (i.bytes for i in wanted.failures))
        retries = found("retries", "dead_letter_id", (i.bytes for i in wanted.retries))
        return Keys(images, detections, {row[0] for row in failures}, {row[0] for row in retries})

    def add(self, committed: Keys) -> None:
        self.images.add(committed.images)
        self.detections.add(committed.detections)


def look_up(view: duckdb.DuckDBPyConnection, statement: str, column: str, ids: list[bytes]) -> list[Any]:
    """Rows of a statement of `lake.sql` over a batch of ids."""
    if not ids:
        return []
    storage = pa.array(ids, pa.binary(16))
    batch = pa.table({column: pa.ExtensionArray.from_storage(pa.uuid(), storage)})
    return lake.with_batch(view, batch, lake.STATEMENTS[statement])


def _image_id(key: UUID | Detected) -> bytes:
    return key.bytes if isinstance(key, UUID) else key[0]


def _detected(rows: Iterable[tuple[UUID, str, str]]) -> Iterator[Detected]:
    return ((image_id.bytes, name, version) for image_id, name, version in rows)
