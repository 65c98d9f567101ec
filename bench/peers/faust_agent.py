"""A plain Faust agent that takes events by the batch.

`python -m bench.peers.faust_agent KAFKA TOPIC FILE MARKS`, in our own environment.
"""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import faust
from mode.loop import use

from bench.peers.tables import Tables

BATCH, WITHIN_S = 10_000, 5.0


def create_app(kafka: str, topic: str, tables: Tables, folder: Path) -> faust.App:
    app = faust.App(
        folder.name,
        broker=f"kafka://{kafka}",
        datadir=folder / "faust",
        store="memory://",
        web_enabled=False,
        topic_disable_leader=True,
        consumer_auto_offset_reset="earliest",
        broker_max_poll_records=5_000,
    )

    @app.agent(app.topic(topic, value_type=bytes, value_serializer="raw", key_serializer="raw"))
    async def fold(values: Any) -> None:
        values.add_processor(tables.decode)
        async for detections in values.take(BATCH, WITHIN_S):
            # Not in a thread: the stream would wait for it all the same, and it was no quicker.
            tables.write(detections)

    return app


def main(kafka: str, topic: str, file: str, marks: str) -> None:
    use("uvloop")  # this and `broker_max_poll_records` save a fifth of the CPU
    with closing(Tables(Path(file), Path(marks))) as tables:
        app = create_app(kafka, topic, tables, Path(marks).parent)
        faust.Worker(app, loglevel="WARNING").execute_from_commandline()


if __name__ == "__main__":
    main(*sys.argv[1:])
