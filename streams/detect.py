"""The detect stage: ImageUploaded -> model -> CirclesDetected, or a dead letter.

Faust acknowledges what an agent did not finish unless it is written exactly so: no acknowledgement by the
stream, parallel work only inside a batch, and each event acknowledged after the broker has its outcome
(docs/decisions.md, "Faust in the safe shape"). What is no message's own fault, as a broker that refuses its
outcome, ends the process with nothing acknowledged; a supervisor starts it again.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any

import faust
import mode

from streams.codec import Codec
from streams.current import Current
from streams.errors import RegistryUnavailable
from streams.gate import Stopping
from streams.headers import cloud_event_headers
from streams.model import DummyModel, KServeModel, Model
from streams.outcome import Detector, detected
from streams.process import announce_ready, configure_logging
from streams.records import CirclesDetected, ImageFailed, ImageUploaded, dead_letter, key_of
from streams.settings import Settings
from streams.store import Store
from streams.topics import DETECT_GROUP, DETECTED, FAILED, UPLOADED, Topic
from streams.version import Version

STAGE = "detect"
log = logging.getLogger("streams.detect")


def header_pairs(message: Any) -> tuple[tuple[str, bytes | None], ...]:
    """A Faust message's headers, in their order; one name may come more than once."""
    headers = message.headers or ()
    return tuple(headers.items() if isinstance(headers, dict) else headers)


async def outcome(codec: Codec, detector: Detector, message: Any) -> CirclesDetected | ImageFailed:
    """The result or the dead letter of a message. Raises Stopping, RegistryUnavailable: give it up."""
    uploaded: ImageUploaded | None = None
    try:
        record = codec.decode(message.value, UPLOADED.records)
        assert isinstance(record, ImageUploaded)
        uploaded = record
        answer = await detector.ask(uploaded)
        return detected(uploaded, answer, message.partition, message.offset)
    except (Stopping, RegistryUnavailable):
        raise
    except Exception as error:
        # A bug of ours, too: it would come again at each redelivery and hold up the whole partition.
        place = f"{message.topic}[{message.partition}]@{message.offset}"
        log.warning("dead letter for %s: %s: %s", place, type(error).__name__, error)
        return dead_letter(STAGE, message, header_pairs(message), error, datetime.now(UTC), uploaded)


def create_app(settings: Settings) -> faust.App:
    """The Faust app with its one agent; nothing runs yet."""
    app = faust.App(
        DETECT_GROUP,
        broker=[f"kafka://{host}" for host in settings.kafka_bootstrap_servers.split(",")],
        datadir=settings.data_dir / "faust",
        store="memory://",
        web_enabled=False,
        agent_supervisor=mode.CrashingSupervisor,
        topic_allow_declare=False,
        topic_disable_leader=True,
        broker_session_timeout=10,
        broker_heartbeat_interval=3,
        broker_rebalance_timeout=60,
        broker_max_poll_records=64,
        broker_commit_interval=1,
        stream_buffer_maxsize=64,
        consumer_auto_offset_reset="earliest",
        producer_max_request_size=FAILED.max_message_bytes,
        producer_acks=-1,
        worker_redirect_stdouts=False,
    )

    def raw(topic: Topic) -> Any:
        return app.topic(
            topic.name, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw"
        )

    outcomes = {CirclesDetected: raw(DETECTED), ImageFailed: raw(FAILED)}

    def stopping() -> bool:
        # Suspended flow is the first thing that happens at a shutdown and at a rebalance.
        return bool(app.should_stop) or not app.flow_control.is_active()

    @app.agent(raw(UPLOADED), concurrency=1, supervisor_strategy=mode.CrashingSupervisor)
    async def detect(stream: Any) -> None:
        codec = Codec.from_url(settings.schema_registry_url)
        async with AsyncExitStack() as resources:
            store = Store(settings.objects_url, settings.max_upload_size)
            current = await resources.enter_async_context(Current(settings, codec))
            detectors: dict[Version, Detector] = {}

            async def detector_now() -> Detector:
                """That of the version that is current."""
                version = current.version
                if version not in detectors:
                    model: Model = DummyModel()
                    if settings.mode == "real":
                        chosen = {"model_name": version.name, "model_version": version.version}
                        client = KServeModel(settings.model_copy(update=chosen))
                        model = await resources.enter_async_context(client)
                    detectors[version] = Detector(store, model, settings.model_concurrency, stopping)
                return detectors[version]

            async def finish(event: Any, detector: Detector) -> None:
                record = await outcome(codec, detector, event.message)
                traceparent = dict(header_pairs(event.message)).get("traceparent")
                sent = await outcomes[type(record)].send(
                    key=key_of(record),
                    value=codec.encode(record),
                    headers=cloud_event_headers(record, traceparent),
                )
                await sent  # until all in-sync replicas have it

            async for events in stream.noack().noack_take(settings.detect_batch_size, within=0.01):
                detector = await detector_now()
                await asyncio.gather(*(finish(event, detector) for event in events))
                # In order and only when all are done: a new process has no offset to compare with, and
                # commits the first run of acknowledged ones, past any gap before it.
                for event in events:
                    event.ack()

    @app.on_partitions_assigned.connect
    async def assigned(*_: Any, **__: Any) -> None:
        announce_ready(settings)

    return app


def main() -> None:
    """The process: detect until SIGTERM or SIGINT."""
    settings = Settings.load()
    configure_logging(settings)
    settings.require("kafka_bootstrap_servers")
    settings.data_dir.mkdir(parents=True, exist_ok=True)  # Faust makes its folder, but not the one around it
    worker = faust.Worker(create_app(settings), loglevel=settings.log_level, override_logging=False)
    worker.execute_from_commandline()


if __name__ == "__main__":
    main()
