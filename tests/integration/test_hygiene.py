"""The settings of real topics, read from the broker."""

from __future__ import annotations

import logging
import threading

import pytest

from streams import hygiene
from streams.materialize import run
from streams.settings import Settings
from streams.topics import DETECTED, FAILED, UPLOADED
from tests.integration.flow import alter


def test_topics_as_we_make_them_keep_everything(settings: Settings) -> None:
    assert hygiene.check(settings) == []


def test_the_materializer_says_at_its_start_what_will_be_lost(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    alter(settings, UPLOADED, "retention.ms", "604800000")
    alter(settings, DETECTED, "cleanup.policy", "compact")
    alter(settings, FAILED, "max.message.bytes", "1048588")
    stop = threading.Event()
    stop.set()
    with caplog.at_level(logging.WARNING, "streams.hygiene"):
        run(settings, stop)
    said = [record.message for record in caplog.records if record.name == "streams.hygiene"]
    assert len(said) == 3
    assert "images.uploaded keeps messages 7 days (retention.ms=604800000)" in said[0]
    assert "circles.detected is compacted (cleanup.policy=compact)" in said[1]
    assert "images.failed takes messages of at most 1,048,588 bytes" in said[2]


def test_settings_that_cannot_be_read_are_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    hygiene.warn(Settings(kafka_bootstrap_servers="127.0.0.1:1"))
    said = [record.message for record in caplog.records if record.name == "streams.hygiene"]
    assert [line.partition(": ")[0] for line in said] == [
        "what the topics' settings will delete is not known"
    ]
