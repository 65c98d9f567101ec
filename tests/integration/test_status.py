"""`circles status` over a real log and a real view: who is behind, what does not run, what is away."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import orjson
import pytest
from confluent_kafka import Consumer, TopicPartition
from pydantic import SecretStr
from typer.testing import CliRunner, Result

from deploy.cli import cli
from deploy.expected import EXPECTED
from deploy.expected import said as explained
from streams import lake
from streams.lag import Report, notes, sentence
from streams.settings import Settings
from streams.standing import look
from streams.topics import DETECT_GROUP, UPLOADED
from tests.integration.conftest import Fresh
from tests.integration.flow import alter, produce, stages, uploaded, wait_until


def circles(settings: Settings, *arguments: str) -> Result:
    environment = {
        "KAFKA_BOOTSTRAP_SERVERS": settings.kafka_bootstrap_servers,
        "CATALOG_URL": settings.catalog_url.get_secret_value(),
        "CIRCLES_DATA_DIR": str(settings.data_dir),
        "COLUMNS": "200",
    }
    return CliRunner().invoke(cli, arguments, env=environment, catch_exceptions=False)


def reported(settings: Settings) -> Report:
    report, _ = look(settings)
    return report


def said(settings: Settings) -> str:
    return sentence(reported(settings))


def test_what_is_no_answer_of_a_command_is_one_line(settings: Settings) -> None:
    lake.create(settings)
    for words, reason in (
        (("sql", ""), "there is no query in that"),
        (("sql", ";"), "there is no query in that"),
        (("replay", "watch", "zzz"), "no replays have an id that begins with zzz"),
        (("find", str(settings.data_dir), "--pictures", __file__), "no .jpg, .jpeg, .png or .webp file"),
    ):
        with pytest.raises(EXPECTED) as raised:
            circles(settings, *words)
        assert reason in explained(raised.value)


def test_the_stage_that_is_behind_is_named_and_what_does_not_run(fresh: Fresh) -> None:
    settings = fresh(mode="dummy")
    produce(settings, UPLOADED, *(uploaded() for _ in range(30)), b"not for the agent")
    # A named member that has left is one for ten seconds more, and one that was killed for longer.
    wait_until(lambda: sum(" does not run" in note for note in notes(reported(settings))) == 2)
    report = reported(settings)
    assert (report.detect.lag, report.materialize.lag, report.watermarks) == (31, 31, {})
    assert all(p.since for p in (*report.detect.positions, *report.materialize.positions) if p.lag)
    assert [note.partition(":")[0] for note in notes(report)] == [
        "detect does not run",
        "materialize does not run",
        "there is no view yet, or one of an earlier version",
    ]

    with stages(settings, "materializer"):
        wait_until(lambda: reported(settings).materialize.lag == 0)
        report = reported(settings)
        assert sentence(report).startswith("detect is behind: 31 images, the oldest waits ")
        assert [note.partition(":")[0] for note in notes(report)] == ["detect does not run"]
        assert set(report.watermarks.values()) == {0}
        with stages(settings, "worker"):
            wait_until(lambda: said(settings) == "nothing waits")
            report = reported(settings)
            assert report.watermarks == {p.partition: p.end for p in report.detect.positions}
            assert (report.detect.members, list(notes(report))) == (1, [])
            wait_until(
                lambda: "31 dead letters are open: `circles dead-letters list`" in look(settings)[1][-1]
            )

    with stages(settings, "worker"):
        produce(settings, UPLOADED, uploaded(), uploaded())
        wait_until(lambda: said(settings).startswith("materialize is behind: 4 messages, the oldest waits "))
        assert sum(reported(settings).watermarks.values()) == 31


def test_an_upload_that_detect_skipped_is_named(settings: Settings) -> None:
    produce(settings, UPLOADED, uploaded())
    ((partition, end),) = [(p.partition, p.end) for p in reported(settings).detect.positions if p.end]
    with stages(settings, "materializer"):
        wait_until(lambda: said(settings).startswith("detect is behind: 1 image, "))
        with closing(
            Consumer({"bootstrap.servers": settings.kafka_bootstrap_servers, "group.id": DETECT_GROUP})
        ) as k:
            k.commit(offsets=[TopicPartition(UPLOADED.name, partition, end)], asynchronous=False)
        report = reported(settings)
    assert sentence(report) == "nothing waits"
    assert f"images.uploaded[{partition}] has an upload at {end - 1} with neither" in " ".join(notes(report))


def test_the_table_and_the_object_have_all_of_it(settings: Settings) -> None:
    lake.create(settings)
    produce(settings, UPLOADED, uploaded())
    alter(settings, UPLOADED, "retention.ms", 604_800_000)
    shown = circles(settings, "status")
    assert shown.exit_code == 0
    assert shown.stdout.count("images.uploaded ") == 3  # a row for each stage, and what it will lose
    assert "images.uploaded[3]" in circles(settings, "status", "--partitions").stdout
    found: dict[str, Any] = orjson.loads(circles(settings, "status", "--json").stdout)
    assert [stage["lag"] for stage in found["stages"]] == [1, 1]
    assert any("images.uploaded keeps messages 7 days" in line for line in found["said"])
    assert "images.uploaded keeps messages 7 days" in circles(settings, "topics").stdout


@pytest.fixture
def mute() -> Iterator[str]:
    """An address where connections are taken and nothing is ever said."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize("silent", [False, True], ids=["refused", "mute"])
@pytest.mark.parametrize("away", ["Kafka", "PostgreSQL"])
def test_what_is_away_is_named_within_seconds(settings: Settings, mute: str, away: str, silent: bool) -> None:
    address = mute if silent else "127.0.0.1:1"
    broken: dict[str, dict[str, Any]] = {
        "Kafka": {"kafka_bootstrap_servers": address},
        "PostgreSQL": {"catalog_url": SecretStr(f"postgresql://me:secret@{address}/x")},
    }
    began = time.monotonic()
    with pytest.raises(ValueError, match=f"^no answer of {away}'s at ") as raised:
        look(settings.model_copy(update=broken[away]))
    assert time.monotonic() - began < 15
    assert "secret" not in str(raised.value)
