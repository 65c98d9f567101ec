"""What a topic's settings will lose is said in words, and nothing of settings that keep everything."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest

from streams.hygiene import Kept, findings
from streams.topics import DETECTED, FAILED, TOPICS, UPLOADED, Topic

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
KEEPS = {
    "cleanup.policy": "delete",
    "retention.ms": "-1",
    "retention.bytes": "-1",
    "min.insync.replicas": "1",
    "unclean.leader.election.enable": "false",
}


def said(topic: Topic, brokers: int = 1, replicas: int = 1, **config: str) -> list[str]:
    """The findings; names of settings with `_` for `.`."""
    given = {name.replace("_", "."): value for name, value in config.items()}
    kept = Kept(KEEPS | {"max.message.bytes": str(topic.max_message_bytes)} | given, replicas)
    return findings({topic: kept}, brokers, NOW)


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
def test_nothing_is_said_of_a_topic_that_keeps_everything(topic: Topic) -> None:
    assert said(topic) == []
    assert said(topic, brokers=3, replicas=3, min_insync_replicas="2") == []
    assert findings({topic: Kept({}, 1)}, 1, NOW) == []


def test_days_that_are_kept_are_said_with_what_is_lost_and_when() -> None:
    assert said(UPLOADED, retention_ms="604800000") == [
        "images.uploaded keeps messages 7 days (retention.ms=604800000): rebuild and replay miss images"
        " uploaded before 2026-11-14, and from 2026-11-28 on also those of now; set retention.ms=-1"
    ]


@pytest.mark.parametrize(
    ("milliseconds", "expected"),
    [
        ("5400000", "keeps messages 1.5 hours .* before 2026-11-21 08:00, and from 2026-11-21 11:00 on"),
        ("0", "keeps messages 0 hours .* before 2026-11-21 09:30,"),
        ("9223372036854775807", "before the beginning of time, and from the end of time on"),
    ],
)
def test_any_span_can_be_said(milliseconds: str, expected: str) -> None:
    (finding,) = said(FAILED, retention_ms=milliseconds)
    assert re.search(expected, finding)


@pytest.mark.parametrize(
    ("topic", "lost"),
    [
        (UPLOADED, "without a value is lost"),
        (DETECTED, "all but its last model version are lost"),
        (FAILED, "retried, or failed again, are lost"),
    ],
    ids=lambda value: value.name if isinstance(value, Topic) else "",
)
def test_compaction_deletes_history(topic: Topic, lost: str) -> None:
    (finding,) = said(topic, cleanup_policy="compact", retention_ms="1000")  # which then deletes nothing
    assert finding.startswith(f"{topic.name} is compacted (cleanup.policy=compact)")
    assert lost in finding
    assert finding.endswith("set cleanup.policy=delete")
    assert len(said(topic, cleanup_policy="compact,delete", retention_ms="1000")) == 2


@pytest.mark.parametrize(
    ("topic", "cluster", "config", "expected"),
    [
        (DETECTED, (1, 1), {"retention_bytes": "1000000"}, "keeps 1,000,000 bytes a partition"),
        (FAILED, (1, 1), {"max_message_bytes": "1048588"}, "that need up to 4,194,304 are refused"),
        (UPLOADED, (3, 1), {}, "on one broker of 3 only"),
        (UPLOADED, (3, 3), {}, "set min.insync.replicas=2"),
        (UPLOADED, (3, 3), {"min_insync_replicas": "2", "unclean_leader_election_enable": "true"}, "lags"),
    ],
    ids=["bytes", "message size", "replication", "in sync", "unclean"],
)
def test_each_other_way_to_lose_messages_is_one_finding(
    topic: Topic, cluster: tuple[int, int], config: dict[str, str], expected: str
) -> None:
    brokers, replicas = cluster
    (finding,) = said(topic, brokers, replicas, **config)
    assert finding.startswith(topic.name)
    assert expected in finding
