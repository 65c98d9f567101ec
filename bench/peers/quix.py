"""Quix Streams: its consumer, its Avro deserializer, a batching sink.

`python -m bench.peers.quix KAFKA TOPIC FILE MARKS`, in the peers' environment.
"""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path
from typing import Any

from quixstreams import Application
from quixstreams.models.serializers.avro import AvroDeserializer
from quixstreams.sinks import BatchingSink, SinkBatch

from bench.peers.tables import FRAME, Tables, schema

COMMIT_EVERY = 10_000
"""Events a checkpoint; quicker than 2,500, 5,000 and 20,000."""


class SingleObjects(AvroDeserializer):  # type: ignore[misc]  # not in our environment
    """Quix's own, behind Avro's single-object frame."""

    def __init__(self, tables: Tables) -> None:
        super().__init__(schema())
        self._tables = tables

    def __call__(self, value: bytes, ctx: Any) -> Any:
        if not self._tables.begun:
            self._tables.begin()
        return super().__call__(value[FRAME:], ctx)


class TablesSink(BatchingSink):  # type: ignore[misc]
    """All partitions of a checkpoint in one transaction, where Quix hands them over one by one."""

    def __init__(self, tables: Tables) -> None:
        super().__init__()
        self._tables = tables
        self._detections: list[Any] = []

    def write(self, batch: SinkBatch) -> None:
        self._detections += [item.value for item in batch]

    def flush(self) -> None:
        super().flush()
        if self._detections:
            self._tables.write(self._detections)
        self._detections = []


def main(kafka: str, topic: str, file: str, marks: str) -> None:
    folder = Path(marks).parent
    app = Application(
        kafka,
        consumer_group=folder.name,
        auto_offset_reset="earliest",
        commit_every=COMMIT_EVERY,
        auto_create_topics=False,
        state_dir=folder / "state",
        loglevel="WARNING",
        # As our own consumer's; the first one's default of 1000 stalls a reader that is quick.
        consumer_extra_config={
            "fetch.queue.backoff.ms": 5,
            "queued.max.messages.kbytes": 65_536,
            "fetch.message.max.bytes": 8_388_608,
        },
    )
    with closing(Tables(Path(file), Path(marks))) as tables:
        app.dataframe(app.topic(topic, value_deserializer=SingleObjects(tables))).sink(TablesSink(tables))
        app.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
