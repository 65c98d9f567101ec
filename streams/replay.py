"""The replay stage: images that are on the log already, through another version of a model.

It works on every replay that the view says is running; several such processes share each one.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from contextlib import AsyncExitStack, suppress
from uuid import UUID

import duckdb
import psycopg
import uvloop
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from confluent_kafka import KafkaException

from streams import lake, replays
from streams.codec import Codec
from streams.errors import LakeRefused, RegistryUnavailable
from streams.following import Following
from streams.live_view import LiveView
from streams.process import announce_ready, configure_logging
from streams.reevaluation import ReplayRequested
from streams.replay_images import Parts
from streams.replaying import Replaying
from streams.settings import Settings
from streams.store import Store
from streams.topics import FAILED

LOOK_S = 1.0
"""Between looks at the view for replays that were requested, paused or cancelled."""
AGAIN_S = 2.0
AWAY = (
    KafkaError, KafkaException, RegistryUnavailable, duckdb.Error, psycopg.Error, LakeRefused, OSError,
)  # fmt: skip
"""What may be away for a while. Nothing is lost by it: what is left of a replay is asked for again."""
log = logging.getLogger("streams.replay")


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Work on all running replays until `stop`."""
    working: dict[UUID, tuple[asyncio.Event, asyncio.Task[bool]]] = {}
    ended: set[UUID] = set()
    async with AsyncExitStack() as resources:
        producer = AIOKafkaProducer(
            bootstrap_servers=settings.kafka_bootstrap_servers,
            acks="all",
            max_request_size=FAILED.max_message_bytes,
        )
        await producer.start()
        resources.push_async_callback(producer.stop)
        parts = Parts(
            settings,
            LiveView(settings),
            Codec.from_url(settings.schema_registry_url),
            producer,
            Store(settings.objects_url, settings.max_upload_size),
        )
        announce_ready(settings)
        while not stop.is_set():
            for replay_id, (_, task) in list(working.items()):
                if task.done():
                    ended |= {replay_id} if task.result() else set()
                    del working[replay_id]
            try:
                running = await parts.view.ask(replays.running)
                new = running - working.keys() - ended
                found = await parts.view.ask(replays.find) if new else []
            except AWAY as error:
                log.warning("the view does not answer: %s", said(error))
            else:
                for replay_id, (halt, _) in working.items():
                    if replay_id not in running:
                        halt.set()
                for replay in (r.requested for r in found if r.requested.replay_id in new):
                    halt = asyncio.Event()
                    working[replay.replay_id] = halt, asyncio.create_task(work(parts, replay, halt))
            await wait(stop, LOOK_S)
        for halt, _ in working.values():
            halt.set()
        await asyncio.gather(*(task for _, task in working.values()))


async def work(parts: Parts, replay: ReplayRequested, halt: asyncio.Event) -> bool:
    """Work on a replay until it is finished or `halt`; whether it is finished."""
    log.info("replay %s begins: %s:%s", replay.replay_id, replay.model_name, replay.model_version)
    while not halt.is_set():
        try:
            await (Following if replay.follow else Replaying)(parts, replay, halt).run()
        except AWAY as error:
            log.warning("replay %s, again in %.0f s: %s", replay.replay_id, AGAIN_S, said(error))
            await wait(halt, AGAIN_S)
        else:
            log.info("replay %s %s", replay.replay_id, "stops" if halt.is_set() else "is finished")
            return not halt.is_set()
    return False


async def wait(event: asyncio.Event, seconds: float) -> None:
    """Until an event is set, so long at most."""
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)


def said(error: Exception) -> str:
    return lake.without_password(f"{type(error).__name__}: {error}").partition("\n")[0]


async def _until_told(settings: Settings) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await run(settings, stop)


def main() -> None:
    """The process: replay until SIGTERM or SIGINT."""
    settings = Settings.load()
    configure_logging(settings)
    settings.require("kafka_bootstrap_servers", "catalog_url")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # an eighth less of CPU an image
        runner.run(_until_told(settings))


if __name__ == "__main__":
    main()
