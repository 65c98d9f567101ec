"""Dead letters on a real log and lake: listed, shown, put back, and gone when they succeed."""

from __future__ import annotations

import hashlib

from streams import dead_letters
from streams.settings import Settings
from streams.topics import DETECTED, UPLOADED
from tests.integration.conftest import Fresh
from tests.integration.flow import picture, produce, query, stages, uploaded, wait_until


def listed(settings: Settings) -> list[dead_letters.DeadLetter]:
    return dead_letters.find(settings)


def test_a_dead_letter_is_retried_once_its_cause_is_mended(fresh: Fresh) -> None:
    settings = fresh(mode="dummy")
    data = picture(1)
    path = settings.data_dir / "objects" / "late.png"
    event = uploaded(uri=path.as_uri(), sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data))
    with stages(settings, "worker", "materializer"):
        produce(settings, UPLOADED, event)
        wait_until(lambda: len(listed(settings)) == 1)
        (letter,) = listed(settings)
        assert (letter.stage, letter.error, letter.image_id) == ("detect", "ObjectUnreadable", event.image_id)
        assert "does not exist" in letter.reason
        assert letter.message_key == str(event.image_id).encode()

        dead_letters.retry(settings, [letter])  # too early: it fails again, as a letter of its own
        wait_until(lambda: [x.dead_letter_id for x in listed(settings)] not in ([letter.dead_letter_id], []))

        path.write_bytes(data)
        dead_letters.retry(settings, listed(settings))
        wait_until(lambda: query(settings, "SELECT count(*) FROM lake.detections") == [(1,)])
        wait_until(lambda: listed(settings) == [])
    assert len(dead_letters.find(settings, retried=True)) == 2
    assert query(settings, "SELECT count(*) FROM lake.images") == [(1,)]


def test_bytes_that_no_stage_can_read_are_kept_as_they_were(fresh: Fresh) -> None:
    settings = fresh(mode="dummy")
    with stages(settings, "worker", "materializer"):
        produce(settings, UPLOADED, b"not for the agent")
        produce(settings, DETECTED, b"not for the fold")
        wait_until(lambda: len(listed(settings)) == 2)
    assert {(x.stage, x.message_value) for x in listed(settings)} == {
        ("detect", b"not for the agent"),
        ("materialize", b"not for the fold"),
    }
    (one,) = dead_letters.find(settings, [str(listed(settings)[0].dead_letter_id)[:8]])
    assert one == listed(settings)[0]
