"""What the topics' own settings will delete or refuse, held against what replay and rebuild need.

The log is the truth: a view can be made again, an image evaluated again, only from messages that are kept.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, for_code

from streams.progress import administering
from streams.settings import Settings
from streams.topics import ANNOTATED, DETECTED, FAILED, PROMOTED, REPLAYS, TOPICS, UPLOADED, Topic

log = logging.getLogger(__name__)
WAIT_S = 5.0
DAY_MS = 86_400_000
_HOLDS = {
    UPLOADED: "images uploaded",
    DETECTED: "detections made",
    FAILED: "dead letters and retries written",
    ANNOTATED: "ground truth written",
    REPLAYS: "replays requested",
    PROMOTED: "promotions made",
}
_COMPACTED = {
    UPLOADED: "an image whose key comes again without a value is lost",
    DETECTED: "detections of an image by all but its last model version are lost",
    FAILED: "dead letters of an image that was retried, or failed again, are lost",
    ANNOTATED: "the versions of an image's ground truth before its last are lost",
    REPLAYS: "what a replay was to do is lost with its first change",
    PROMOTED: "all promotions before the last are lost",
}


@dataclass(frozen=True, slots=True)
class Kept:
    """How a topic is kept. config: by Kafka's names; replicas: of the partition that has fewest."""

    config: Mapping[str, str]
    replicas: int


def findings(topics: Mapping[Topic, Kept], brokers: int, now: datetime) -> list[str]:
    """A sentence for each setting under which something will be lost: what, when, and what is right."""
    return [finding for topic, kept in topics.items() for finding in _of_topic(topic, kept, brokers, now)]


def _of_topic(topic: Topic, kept: Kept, brokers: int, now: datetime) -> Iterator[str]:
    config, holds = kept.config, _HOLDS[topic]
    policy = config.get("cleanup.policy", "delete")
    retention_ms, retention_bytes = (int(config.get(f"retention.{unit}", -1)) for unit in ("ms", "bytes"))
    if "compact" in policy:
        yield (
            f"{topic.name} is compacted (cleanup.policy={policy}): of each key only the newest message stays."
            f" At the next run of Kafka's log cleaner {_COMPACTED[topic]} to rebuild and replay;"
            " set cleanup.policy=delete"
        )
    if "delete" in policy and retention_ms >= 0:
        yield (
            f"{topic.name} keeps messages {_span(retention_ms)} (retention.ms={retention_ms}): rebuild and"
            f" replay miss {holds} before {_moment(now, -retention_ms)}, and from"
            f" {_moment(now, retention_ms)} on also those of now; set retention.ms=-1"
        )
    if "delete" in policy and retention_bytes >= 0:
        yield (
            f"{topic.name} keeps {retention_bytes:,} bytes a partition (retention.bytes): from then on that a"
            f" partition holds more, rebuild and replay miss the oldest {holds}; set retention.bytes=-1"
        )
    most = int(config.get("max.message.bytes", topic.max_message_bytes))
    if most < topic.max_message_bytes:
        yield (
            f"{topic.name} takes messages of at most {most:,} bytes (max.message.bytes): {holds} that need up"
            f" to {topic.max_message_bytes:,} are refused from now on; set"
            f" max.message.bytes={topic.max_message_bytes}"
        )
    if brokers > 1 and kept.replicas == 1:
        yield (
            f"{topic.name} is on one broker of {brokers} only (replication factor 1): {holds} are lost with"
            " that broker's disk; reassign its partitions to 3 brokers, or 2 where there are no more"
        )
    elif kept.replicas > 1 and config.get("min.insync.replicas") == "1":
        yield (
            f"{topic.name} is acknowledged by one replica alone when the others lag (min.insync.replicas=1):"
            f" {holds} are lost when that broker dies then; set min.insync.replicas=2"
        )
    if kept.replicas > 1 and config.get("unclean.leader.election.enable") == "true":
        yield (
            f"{topic.name} may be led by a replica that lags (unclean.leader.election.enable=true): {holds}"
            " that it had not copied are lost when the leader dies; set it to false"
        )


def _span(milliseconds: int) -> str:
    days = milliseconds / DAY_MS
    return f"{days:g} days" if days >= 1 else f"{milliseconds / 3_600_000:g} hours"


def _moment(now: datetime, milliseconds: int) -> str:
    """The time so far from now, to the day where that is days away."""
    try:
        moment = now + timedelta(milliseconds=milliseconds)
    except OverflowError:
        return "the end of time" if milliseconds > 0 else "the beginning of time"
    return f"{moment:%Y-%m-%d}" if abs(milliseconds) >= DAY_MS else f"{moment:%Y-%m-%d %H:%M}"


def check(settings: Settings) -> list[str]:
    """The findings of the topics as they are, or why none is known: it may be forbidden to read them.

    Not to be called on an event loop: it runs one.
    """
    try:
        kept, brokers = asyncio.run(asyncio.wait_for(_read(settings), WAIT_S))
        return findings(kept, brokers, datetime.now(UTC))
    except (KafkaError, TimeoutError) as error:
        return [f"what the topics' settings will delete is not known: {type(error).__name__}"]


def warn(settings: Settings) -> None:
    """Log a warning for each of `check`."""
    for finding in check(settings):
        log.warning("%s", finding)


async def _read(settings: Settings) -> tuple[dict[Topic, Kept], int]:
    """How each topic is kept, and the number of brokers."""
    asked = [ConfigResource(ConfigResourceType.TOPIC, topic.name) for topic in TOPICS]
    async with administering(settings) as admin:
        cluster = await admin.describe_cluster()
        topics = {t["topic"]: t for t in await admin.describe_topics([topic.name for topic in TOPICS])}
        (described,) = await admin.describe_configs(asked)
    configs = {}
    for code, _, _, name, entries in described.resources:
        if code:
            raise for_code(code)
        configs[name] = {entry[0]: entry[1] for entry in entries if entry[1] is not None}
    kept = {}
    for topic in TOPICS:
        replicas = (len(partition["replicas"]) for partition in topics[topic.name]["partitions"])
        kept[topic] = Kept(configs[topic.name], min(replicas, default=1))
    return kept, len(cluster["brokers"])
