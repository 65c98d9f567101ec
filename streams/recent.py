"""Which keys the view has: the newest ones from memory, older ones by a look-up that their time prunes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from typing import Any, Generic, TypeVar
from uuid import UUID

import duckdb
import pyarrow as pa

from streams import lake
from streams.kept import BY_TABLE
from streams.views import Detected, Keys

MOST = 150_000
"""Keys of a table in memory, and SLACK times as many more before the oldest are let go together."""
SLACK = 0.2

Key = TypeVar("Key", UUID, Detected)
Value = TypeVar("Value")


class Window(Generic[Key, Value]):
    """The newest keys of a table, with what else is asked of them: all whose image id is above `floor`."""

    def __init__(self, keys: Mapping[Key, Value], most: int) -> None:
        """keys: the newest of the table, all of them where they are fewer than `most`."""
        self._keys: dict[Key, Value] = dict(keys)
        self._most = most
        self._by_age: list[tuple[bytes, Key]] = sorted((_image_id(key), key) for key in self._keys)
        """The oldest first, and behind them those that came since the oldest were let go."""
        self.floor: bytes = self._by_age[0][0] if len(self._keys) >= most else b""

    def __len__(self) -> int:
        return len(self._keys)

    def known(self, wanted: Iterable[Key], strays: Set[Key]) -> tuple[dict[Key, Value], set[Key]]:
        """Of some keys those that are in the table, and those that it has to be asked for."""
        asked = {key for key in wanted if _image_id(key) <= self.floor} if self.floor else set[Key]()
        return {key: self._keys[key] for key in wanted if key in self._keys}, asked | strays

    def add(self, keys: Mapping[Key, Value]) -> None:
        """Those that are there already stay as they are."""
        # Older ones are looked up anyway; with them the floor could fall below keys that were let go.
        for key, value in keys.items():
            image_id = _image_id(key)
            if image_id > self.floor and key not in self._keys:
                self._keys[key] = value
                self._by_age.append((image_id, key))
        if len(self._keys) > (1 + SLACK) * self._most:
            self._by_age.sort()  # mostly it is: that takes a sixth of a heap's time
            gone = self._by_age[: -self._most]
            del self._by_age[: -self._most]
            self.floor = gone[-1][0]
            for _, key in gone:
                del self._keys[key]


class Recent:
    """What a writer knows of the view; made anew when a commit's outcome or another's rows are not known."""

    def __init__(self, view: duckdb.DuckDBPyConnection, most: int = MOST) -> None:
        def newest(table: str) -> list[Any]:
            return view.execute(lake.STATEMENTS[f"newest_{table}"], {"most": most}).fetchall()

        self.images = Window[UUID, int](dict(newest("images")), most)
        self.detections = Window(dict.fromkeys(_detected(newest("detections"))), most)

    def known(self, view: duckdb.DuckDBPyConnection, wanted: Keys, strays: Keys) -> Keys:
        """Which of `wanted` the view has. strays: those of them that another writer may have added."""

        def found(table: str, column: str, ids: Iterable[bytes]) -> list[Any]:
            return look_up(view, f"known_{table}", column, list(ids))

        images, asked_images = self.images.known(wanted.images, strays.images.keys())
        detections, asked_detections = self.detections.known(wanted.detections, strays.detections)
        images |= dict(found("images", "image_id", (i.bytes for i in asked_images)))
        looked_up = _detected(found("detections", "image_id", {i for i, _, _ in asked_detections}))
        kept = {table: kept_ids(view, table, ids) for table, ids in wanted.kept.items()}
        return Keys(images, {*detections, *looked_up}, kept, _unlisted(view, wanted, images))

    def add(self, committed: Keys, known: Keys) -> None:
        """Keys that the view has now, of which it had those `known` before."""
        self.images.add(committed.images | known.images)
        self.detections.add(dict.fromkeys(committed.detections))


def _unlisted(
    view: duckdb.DuckDBPyConnection, wanted: Keys, images: Mapping[UUID, int]
) -> dict[tuple[int, int], UUID | None]:
    """Which places the view has; it is asked only for uploads that are no first copy of their image."""
    maybe = {
        place: image_id
        for place, image_id in wanted.unlisted.items()
        if image_id is None or images.get(image_id, wanted.images[image_id]) != place[0]
    }
    if not maybe:
        return {}
    partitions, offsets = (pa.array(part) for part in zip(*maybe, strict=True))
    batch = pa.table({"log_partition": partitions, "log_offset": offsets})
    return {place: maybe[place] for place in lake.with_batch(view, batch, lake.STATEMENTS["known_unlisted"])}


def kept_ids(view: duckdb.DuckDBPyConnection, table: str, ids: Iterable[UUID]) -> set[UUID]:
    """Which of some ids a table of `kept.py` has."""
    name = BY_TABLE[table].id
    statement = f"SELECT {name} FROM lake.{table} WHERE {name} IN (SELECT {name} FROM batch)"  # noqa: S608
    return {found for (found,) in lake.with_batch(view, id_batch(name, (i.bytes for i in ids)), statement)}


def look_up(view: duckdb.DuckDBPyConnection, statement: str, column: str, ids: list[bytes]) -> list[Any]:
    """Rows of a statement of `lake.sql` over a batch of ids."""
    if not ids:
        return []
    return lake.with_batch(view, id_batch(column, ids), lake.STATEMENTS[statement])


def id_batch(column: str, ids: Iterable[bytes]) -> pa.Table:
    """A table of one column of UUIDs."""
    storage = pa.array(list(ids), pa.binary(16))
    return pa.table({column: pa.ExtensionArray.from_storage(pa.uuid(), storage)})


def _image_id(key: UUID | Detected) -> bytes:
    return key.bytes if isinstance(key, UUID) else key[0]


def _detected(rows: Iterable[tuple[UUID, str, str]]) -> Iterator[Detected]:
    return ((image_id.bytes, name, version) for image_id, name, version in rows)
