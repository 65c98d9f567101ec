"""The newest part of the view in this process's memory: what most questions are about.

Rows are those of the relations `images` and `circles` (relations.sql) of all images uploaded since a time,
kept up with each commit, so that an answer costs no read of the lake.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from uuid import UUID

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from query_api.view.commits import Delta, Position
from query_api.view.newest import Newest, best_first, ids
from query_api.view.relations import of_lake
from query_api.view.rows import Gone
from query_api.view.served import Served
from query_api.view.timeline import Timeline
from query_api.view.times import STEP, Times
from streams import lake
from streams.statements import read_statements
from streams.topics import UPLOADED

STATEMENTS = read_statements("query_api", "view/window.sql")
LOADED_AT_ONCE = 50_000
"""Images whose circles are loaded together. So circles lie in the order of time, part by part, and what is
asked of a time reads only the rows of those parts."""
SLACK = 0.1
"""Part by which the window grows over its size before its oldest images leave, many at a time."""


class Window:
    """Tables and packed circles of a generation at a snapshot. One thread changes it, any may read.

    since: it has all images uploaded then or later; None: all there are. one_model: no image has a second
    detection, so what is asked of one model can be answered from the served ones.
    """

    def __init__(self, generation: str, most_images: int, connection: duckdb.DuckDBPyConnection) -> None:
        """connection: to the generation (lake.connect); its DuckDB is the window's from now on."""
        self.generation, self.snapshot, self.folded = generation, 0, dict[int, int]()
        self.since: datetime | None = None
        self.one_model = True
        self.newest = Newest()
        self.timeline = Timeline()
        self.times = Times()
        self._most = most_images
        self._served = Served({})
        self._ahead: set[bytes] = set()
        self._idle: list[duckdb.DuckDBPyConnection] = []  # here, so that they go with the window
        self._connection = connection
        connection.execute("ATTACH ':memory:' AS recent")
        self._writing = self.cursor()

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """A connection to the tables, for one thread."""
        cursor = self._connection.cursor()
        cursor.execute("USE recent; SET TimeZone = 'UTC'; SET arrow_lossless_conversion = true")
        return cursor

    @contextmanager
    def reading(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection to the tables while the block runs; kept for the next who reads."""
        try:
            cursor = self._idle.pop()
        except IndexError:
            cursor = self.cursor()
        try:
            yield cursor
        finally:
            self._idle.append(cursor)

    def size(self) -> int:
        """How many images it has."""
        with self.cursor() as own:
            return int(own.execute("SELECT count(uploaded_at) FROM images").fetchall()[0][0])

    def load(self, folded: Position) -> None:
        """Fill the window from the lake, which has all up to `folded`, and leave it. Raises duckdb.Error."""
        own = self._writing
        own.execute("BEGIN")
        snapshot = lake.snapshot(own)
        promoted = own.execute(STATEMENTS["promoted"]).fetchall()
        self._served = Served({(name, version): place for name, version, place in promoted})
        ((since, count),) = own.execute(STATEMENTS["since"], {"most": self._most}).fetchall()
        self.since = since if count >= self._most else None
        recent = of_lake("uploaded_at >= $since" if self.since else "true")
        wanted = {"since": self.since} if self.since else {}
        # In the order of time, so that what is asked of a time reads only the rows around it.
        own.execute(
            f"CREATE TABLE images AS {recent} SELECT * FROM images ORDER BY uploaded_at, image_id",  # noqa: S608
            wanted,
        )
        times = own.execute(STATEMENTS["times"], {"step": STEP}).fetchall()
        self.times.load(time for (time,) in times)
        ((detections, low, high),) = own.execute(STATEMENTS["detections"]).fetchall()
        own.execute(STATEMENTS["load_failures"], {"since": since})
        own.execute(STATEMENTS["load_retries"])
        self.newest.add(ids(own.execute(STATEMENTS["pending"]).to_arrow_table()["image_id"]).tolist())
        uploads = own.execute(f"WITH added AS (FROM images) {STATEMENTS['uploads']}")
        for batch in uploads.to_arrow_reader(LOADED_AT_ONCE):
            self.timeline.add(pa.Table.from_batches([batch]))
        self.timeline.failed(own.execute(STATEMENTS["open_failures"]).fetchall())
        parts = own.execute(STATEMENTS["parts"], {"parts": detections // LOADED_AT_ONCE + 1}).fetchall()
        own.execute(STATEMENTS["create_circles"])
        for first, last in parts:
            part = {"first": first, "last": last}
            circles = own.execute(STATEMENTS["load_circles"], part).to_arrow_table()
            self._run("INSERT INTO circles BY NAME FROM added", circles)
            found = own.execute(STATEMENTS["part_detections"], part).to_arrow_table()
            self.newest.put(found, circles)
            self.timeline.detected(found, circles)
        ((all_of_them,),) = own.execute(STATEMENTS["all_detections"], {"low": low, "high": high}).fetchall()
        self.one_model = all_of_them == detections
        ahead = self._ahead_of(folded)
        own.execute("COMMIT")
        self._connection.execute("DETACH lake")
        # Questions come several at once, and each waited for the other's second thread.
        self._connection.execute("SET threads = 1")
        self.apply(Delta(snapshot, folded, ahead))

    def _ahead_of(self, folded: Position) -> dict[str, pa.Table]:
        """What the lake has of images that it does not have yet."""
        # A partition that nothing is folded of begins at 0.
        at = {"partitions": [*folded, -1], "offsets": [*folded.values(), 0]}
        detections = self._writing.execute(STATEMENTS["detections_ahead"], at).to_arrow_table()
        images = {"images": detections["image_id"].to_pylist()}
        failed = at | {"topic": UPLOADED.name}
        return {
            "detections": detections,
            "objects": self._writing.execute(STATEMENTS["objects_ahead"], images).to_arrow_table(),
            "failures": self._writing.execute(STATEMENTS["failures_ahead"], failed).to_arrow_table(),
        }

    def apply(self, delta: Delta) -> None:
        """Add what commits added: for a query all of it at once, in `newest` and `timeline` each table a
        moment before. `snapshot` and `folded` follow, so an answer may be newer than it says, never older.
        Raises duckdb.Error, Gone."""
        if "promotions" in delta.tables:
            raise Gone("another version is served now")
        self._writing.execute("BEGIN")
        if "images" in delta.tables:
            self._add_images(delta.tables["images"])
        if "detections" in delta.tables:
            self._add_detections(delta.tables["detections"], delta.tables.get("objects"))
        if delta.tables.keys() & {"failures", "retries"}:
            self._add_failures(delta.tables.get("failures"), delta.tables.get("retries"))
        self._writing.execute("COMMIT")
        self.snapshot, self.folded = delta.snapshot, dict(delta.folded)

    def _add_images(self, images: pa.Table) -> None:
        there = [image_id in self._ahead for image_id in ids(images["image_id"]).tolist()]
        new = images.filter(pa.array(there, pa.bool_())) if any(there) else None
        fresh = images.filter(pa.array([not each for each in there])) if new else images
        self._run("INSERT INTO images BY NAME FROM added", fresh)
        self.newest.add(ids(fresh["image_id"]).tolist())
        self.timeline.add(self._run(STATEMENTS["uploads"], images).to_arrow_table())
        self.times.add(images.num_rows, pc.max(images["uploaded_at"]).as_py())
        if new:
            self._run(STATEMENTS["fill_images"], new)
            self._run(STATEMENTS["fill_circles"], new)
            self._ahead -= set(ids(new["image_id"]).tolist())

    def _add_detections(self, detections: pa.Table, objects: pa.Table | None) -> None:
        served = detections.filter(self._served.may_be(detections, self.newest))
        self.one_model &= served.num_rows == detections.num_rows
        detections = served
        self._add_ahead(detections)
        newest, replaced = self._served.newest_of(detections, self.newest)
        self.one_model &= len(newest) == detections.num_rows and not replaced
        if not newest:
            return
        if len(newest) < detections.num_rows:
            detections = detections.take(newest)
        self._run(STATEMENTS["set_detections"], detections)
        if replaced:
            self._writing.execute(
                "DELETE FROM circles WHERE image_id IN (SELECT unnest($replaced))", {"replaced": replaced}
            )
        if objects is None:
            circles = self._writing.execute("FROM circles LIMIT 0").to_arrow_table()
        else:
            circles = best_first(self._run(STATEMENTS["add_circles"], objects).to_arrow_table())
        self.newest.put(detections, circles)
        self.timeline.detected(detections, circles)

    def _add_failures(self, failures: pa.Table | None, retries: pa.Table | None) -> None:
        letters: list[UUID] = []
        for table, rows in (("failures", failures), ("retries", retries)):
            if rows is not None and rows.num_rows:
                self._run(f"INSERT INTO {table} BY NAME FROM added WHERE image_id IS NOT NULL", rows)
                letters += rows["dead_letter_id"].to_pylist()
        touched = self._writing.execute(STATEMENTS["touched"], {"dead_letters": letters}).to_arrow_table()
        if touched.num_rows:
            self._add_ahead(touched)
            self.timeline.failed(self._run(STATEMENTS["set_failures"], touched).fetchall())

    def _add_ahead(self, outcomes: pa.Table) -> None:
        """Rows of images whose outcomes are there before them; they are filled when the images come."""
        unknown = {
            image_id: row
            for row, image_id in enumerate(ids(outcomes["image_id"]).tolist())
            if image_id not in self.newest
        }
        if unknown:
            rows = outcomes.select(["image_id", "project_id"]).take(list(unknown.values()))
            self._run("INSERT INTO images BY NAME FROM added", rows)
            self.newest.add(unknown)
            self._ahead |= unknown.keys()

    def make_room(self) -> None:
        """Let the oldest images go where there are more than there may be. Raises duckdb.Error."""
        if self.size() <= self._most * (1 + SLACK):
            return
        own = self._writing
        ((since,),) = own.execute(STATEMENTS["keep_since"], {"most": self._most - 1}).fetchall()
        # Before they leave: who asks for older ones from now on is sent to the lake.
        self.since = since
        self.times.drop(since)
        own.execute("BEGIN")
        left = own.execute(STATEMENTS["leave_images"], {"since": since}).to_arrow_table()
        for table in ("circles", "failures", "retries"):
            self._run(f"DELETE FROM {table} WHERE image_id IN (SELECT image_id FROM added)", left)  # noqa: S608
        own.execute("COMMIT")
        own.execute("CHECKPOINT recent")  # which gives their memory back
        gone = ids(left["image_id"]).tolist()
        self._ahead -= set(gone)
        self.newest.drop(gone)
        self.timeline.drop(gone)

    def _run(self, statement: str, rows: pa.Table) -> duckdb.DuckDBPyConnection:  # noqa: ARG002
        """Run a statement that names a table `added`."""
        # Of DuckDB's own once read: into a table of Arrow's it would push conditions on UUIDs, which Arrow
        # does not know. `rows` is found by its name here, which costs less than to register it.
        return self._writing.execute(f"WITH added AS MATERIALIZED (FROM rows) {statement}")
