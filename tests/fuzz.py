"""`python -m tests.fuzz --count 100000 --seed 1`: uploads of every broken kind, against a real API process.

Each is bytes on a connection of its own: forms, headers and images that are cut, changed or made up. No
answer may be a 5xx, the process must stay, and with it its memory and open files.
"""

from __future__ import annotations

import argparse
import asyncio
from collections import Counter
from dataclasses import dataclass, field
from random import Random
from urllib.parse import urlsplit

import orjson
import psutil

from bench.stack import infrastructure
from streams.settings import Settings
from tests.integration.flow import picture, stages
from tests.ssrf.addresses import V4, V6

AT_ONCE = 32
WARM = 0.3
"""Of the requests are sent before memory and files are first looked at."""
FUZZED = {"upload_timeout_s": 1.0, "detection_wait_s": 0.0, "upload_by_url": True, "log_level": "WARNING"}
HEADERS = (
    "Prefer: respond-async", "Prefer: \xff", "traceparent: 00-x", "X-Request-ID: a b", "Content-Length: 7",
    "Content-Length: -1", "Content-Length: 99999999", "Transfer-Encoding: gzip", "Expect: 100-continue",
    "Content-Type: text/plain", "Content-Type: multipart/form-data", "Content-Encoding: gzip", "Host:",
    "Upgrade: websocket\r\nConnection: upgrade", "Accept: \0", ": none", "Cookie: " + "a" * 5_000,
)  # fmt: skip
TEXTS = (
    "", "\0", "camera-1", "\u202e", "\ud800", "x" * 70_000, "2026-01-31T12:00:00Z", "2026", "{}", "[]",
    "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", '{"a": 1}', '{"a": "b"}', '{"a": "\\u0000"}',
    "[" * 5_000, '{"a": "\\ud800"}', "null", "1e999", "'; DROP TABLE images; --",
)  # fmt: skip


@dataclass
class Fuzz:
    """What was answered so far. answers: by status; 0 where the connection was closed without one."""

    answers: Counter[int] = field(default_factory=Counter)
    memory_mb: list[float] = field(default_factory=list)
    files: list[int] = field(default_factory=list)

    def look(self, server: psutil.Process) -> None:
        self.memory_mb.append(server.memory_info().rss / 1e6)
        self.files.append(server.num_fds())


def made(random: Random, images: list[bytes]) -> bytes:
    """The bytes of one request."""
    if random.random() < 0.1:
        return by_url(random)
    image = random.choice(images)
    if random.random() < 0.5:
        image = damaged(random, image)
    elif random.random() < 0.5:
        image += random.randbytes(8)  # new, and whole
    parts = [part(f'name="file"; filename="{text(random, 9)}"', image)]
    fields = [name for name in ("source", "captured_at", "attributes", "more") if random.random() < 0.3]
    parts += [part(f'name="{name}"', text(random).encode("utf-8", "surrogatepass")) for name in fields]
    if random.random() < 0.01:
        parts *= random.randrange(0, 400)
    random.shuffle(parts)
    body = b"".join(parts) + b"--X--\r\n"
    if random.random() < 0.3:
        body = damaged(random, body)
    headers = ["Content-Type: multipart/form-data; boundary=" + ("X" if random.random() < 0.95 else "Y")]
    return request(random, headers, body)


def by_url(random: Random) -> bytes:
    host = random.choice([*V4, *(f"[{address}]" for address in V6)])
    fields = {name: text(random) for name in ("source", "captured_at", "attributes") if random.random() < 0.3}
    url = random.choice([f"http://{host}/{text(random, 9)}", text(random), 7, None])
    try:
        body = orjson.dumps({"url": url, **fields})
    except TypeError:  # half a surrogate
        body = b'{"url": "\\ud800"}'
    if random.random() < 0.2:
        body = damaged(random, body)
    return request(random, ["Content-Type: application/json"], body)


def request(random: Random, headers: list[str], body: bytes) -> bytes:
    if random.random() < 0.2:
        headers = [*headers, random.choice(HEADERS)]
    if random.random() < 0.2:
        size = random.randrange(1, 70_000)
        pieces = [body[at : at + size] for at in range(0, len(body), size)]
        body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
        headers = [*headers, "Transfer-Encoding: chunked"]
    else:
        said = len(body) if random.random() < 0.95 else random.randrange(2 * len(body) + 1)
        headers = [*headers, f"Content-Length: {said}"]
    head = "\r\n".join(["POST /images/ HTTP/1.1", "Host: api", "Connection: close", *headers])
    whole = head.encode("latin-1") + b"\r\n\r\n" + body
    return damaged(random, whole) if random.random() < 0.1 else whole


def part(disposition: str, data: bytes) -> bytes:
    head = f"--X\r\nContent-Disposition: form-data; {disposition}\r\n\r\n"
    return head.encode("utf-8", "surrogatepass") + data + b"\r\n"


def text(random: Random, most: int = 100_000) -> str:
    if random.random() < 0.7:
        return random.choice(TEXTS)[:most]
    return "".join(chr(random.randrange(0xD7FF)) for _ in range(random.randrange(20)))


def damaged(random: Random, data: bytes) -> bytes:
    """Cut off, or with some bytes changed."""
    if random.random() < 0.3:
        return data[: random.randrange(len(data) + 1)]
    changed = bytearray(data)
    for _ in range(random.randrange(1, 20) if data else 0):
        changed[random.randrange(len(changed))] = random.randrange(256)
    return bytes(changed)


async def answered(host: str, port: int, sent: bytes, *, leaves: bool) -> int:
    """The status of the answer, 0 without one. leaves: as soon as it has sent, or said that it has."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(sent)
        await writer.drain()
        if leaves:
            return 0
        async with asyncio.timeout(20):
            line = await reader.readline()
            if line.startswith(b"HTTP/1.1 100 "):
                await reader.readline()
                line = await reader.readline()
        return int(line.split()[1]) if line.startswith(b"HTTP/1.1 ") else 0
    except TimeoutError as error:
        raise AssertionError(f"no answer within 20 s to {sent[:300]!r}") from error
    except ConnectionError:
        return 0
    finally:
        writer.close()


async def fuzz(settings: Settings, server: psutil.Process, count: int, seed: int) -> Fuzz:
    """Send so many. Raises AssertionError for a 5xx, naming what was sent."""
    random, found = Random(seed), Fuzz()
    images = [picture(n, kind) for n, kind in enumerate(("PNG", "JPEG", "WEBP", "GIF", "BMP"))]
    url = urlsplit(settings.api_url)
    assert url.hostname and url.port
    left = iter(range(count))

    async def one_after_the_other() -> None:
        for number in left:
            sent = made(random, images)
            status = await answered(str(url.hostname), url.port or 0, sent, leaves=random.random() < 0.03)
            found.answers[status] += 1
            assert status < 500, f"{status} to number {number} of seed {seed}: {sent[:2000]!r}"
            if number >= count * WARM and number % max(count // 20, 1) == 0:
                found.look(server)

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(one_after_the_other())
    await asyncio.sleep(2)  # for what is under way
    found.look(server)
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    with infrastructure() as settings:
        settings = settings.model_copy(update=FUZZED)
        with stages(settings, "api") as supervisor:
            pid = supervisor.pids()["api"]
            found = asyncio.run(fuzz(settings, psutil.Process(pid), asked.count, asked.seed))
            assert supervisor.pids()["api"] == pid, "the API was restarted"
    said = ", ".join(f"{status or 'closed'}: {count:,}" for status, count in sorted(found.answers.items()))
    print(f"{asked.count:,} uploads, answers {said}")
    print(f"memory {', '.join(f'{mb:.0f}' for mb in found.memory_mb)} MB; open files {found.files}")


if __name__ == "__main__":
    main()
