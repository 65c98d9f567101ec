"""Uploads: requests a second of POST /images/, against the least that a safe upload could do.

What is stored stays until the end, gigabytes of it: for half a minute ext4 looks at each file that was
deleted before it makes another, which costs a case as much as all else that it does.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from functools import partial

import psutil

from bench import events
from bench.load import Load, Request, figures, load
from bench.measure import Figure, Say, interleaved
from bench.stack import infrastructure, limits, processes
from deploy.local.ports import free_ports
from deploy.local.supervise import running

ROUNDS = 4
SECONDS = 2.0
OURS, FORMED, STORED, EMPTY = "upload", "form, SHA-256, fsync", "raw body, SHA-256, fsync", "empty route"
BOUNDARY = b"an-image"


def run(say: Say) -> list[Figure]:
    [port] = free_ports(1)
    with infrastructure() as settings:
        stored = settings.data_dir / "stored"
        jpeg = events.photograph(1, 1280, 960, quality=90)
        say(f"an image has {len(jpeg) / 1000:.0f} kB")
        with (
            processes(settings, "api") as api,
            running(settings.data_dir / "logs", limits(stored, port)) as others,
        ):
            ours, limit = psutil.Process(api.pids()["api"]), psutil.Process(others.pids()["limits"])
            empty = itertools.repeat(Request("GET", f"http://127.0.0.1:{port}/empty"))
            cases: dict[str, Callable[[], Load]] = {
                OURS: partial(load, uploads(f"{settings.api_url}/images/", jpeg), ours, seconds=SECONDS),
                FORMED: partial(
                    load, uploads(f"http://127.0.0.1:{port}/formed", jpeg), limit, seconds=SECONDS
                ),
                STORED: partial(load, _raw(port, jpeg), limit, seconds=SECONDS),
                EMPTY: partial(load, empty, limit, seconds=SECONDS),
            }
            say("warming up")
            for case in cases.values():
                case()
            found = interleaved(ROUNDS, cases, say)
    return figures(found, [OURS], [FORMED, STORED, EMPTY])


def uploads(url: str, jpeg: bytes) -> Iterator[Request]:
    """Multipart forms as browsers send them, each with an image of its own bytes."""
    before = b'--%b\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n' % BOUNDARY
    before += b"Content-Type: image/jpeg\r\n\r\n"
    after = b"\r\n--%b--\r\n" % BOUNDARY
    headers = {
        "Content-Type": f"multipart/form-data; boundary={BOUNDARY.decode()}",
        "Prefer": "respond-async",
    }
    while True:
        yield Request("POST", url, 202, headers, before + events.distinct(jpeg) + after)


def _raw(port: int, jpeg: bytes) -> Iterator[Request]:
    while True:
        yield Request("POST", f"http://127.0.0.1:{port}/stored", 201, body=events.distinct(jpeg))
