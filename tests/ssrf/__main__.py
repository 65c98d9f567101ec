"""`unshare -nm python -m tests.ssrf`: what a fetcher sends where, counted by the kernel.

Needs root, `ip` and `nft`, and a network namespace of its own, in which every address there is leads to this
process: a packet to any of them is counted by nft, a connection accepted by a listener. Names are resolved by
the platform, which asks a server here; one name leads elsewhere each time it is asked for.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import subprocess
import threading
from ipaddress import ip_address
from itertools import count
from pathlib import Path
from tempfile import NamedTemporaryFile

from query_api.errors import Problem
from query_api.fetch import Fetcher
from streams.settings import Settings
from tests.ssrf.addresses import REDIRECTS, V4, V6, urls

PUBLIC, DNS = "93.184.216.34", "127.0.0.53"
RULES = f"""
table inet ssrf {{
  counter public {{ }}
  counter names {{ }}
  counter forbidden {{ }}
  chain out {{
    type filter hook output priority 0;
    ip daddr {DNS} udp dport 53 counter name names return
    ip saddr {DNS} udp sport 53 counter name names return
    ip daddr {PUBLIC} counter name public return
    ip saddr {PUBLIC} counter name public return
    counter name forbidden
  }}
}}
"""
FORBIDDEN = [*V4, *V6]


def run(*command: str, said: str | None = None) -> str:
    return subprocess.run(command, input=said, check=True, capture_output=True, text=True).stdout


def counted(name: str) -> int:
    found = json.loads(run("nft", "-j", "list", "counter", "inet", "ssrf", name))
    return int(found["nftables"][1]["counter"]["packets"])


class Web(threading.Thread):
    """Answers at every address, and remembers at which it was asked."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.reached: list[str] = []
        self._socket = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)

    def run(self) -> None:
        while True:
            connection, _ = self._socket.accept()
            self.reached.append(str(connection.getsockname()[0]).removeprefix("::ffff:"))
            with connection:
                try:
                    connection.settimeout(1)
                    asked = connection.recv(65_536).partition(b" ")[2].partition(b" ")[0].decode()
                    connection.sendall(answer(asked))
                except OSError:
                    continue  # whoever connected wanted no more than that


def answer(path: str) -> bytes:
    head = "200 OK"
    if path.startswith("/redirect/"):
        status, number = map(int, path.split("/")[2:])
        head = f"{status} Elsewhere\r\nLocation: {urls()[number]!a}"
    return f"HTTP/1.1 {head}\r\nContent-Length: 5\r\nConnection: close\r\n\r\nbytes".encode()


class Names(threading.Thread):
    """A name server: `public.test`, `f7.test` for a forbidden address, and names that rebind."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((DNS, 53))
        self._asked = count()

    def run(self) -> None:
        while True:
            question, client = self._socket.recvfrom(512)
            labels, at = [], 12
            while length := question[at]:
                labels.append(question[at + 1 : at + 1 + length].decode("latin-1").lower())
                at += length + 1
            kind = struct.unpack_from(">H", question, at + 1)[0]
            packed = [ip_address(text).packed for text in self._addresses(labels[0], kind)]
            records = [p for p in packed if kind == (1 if len(p) == 4 else 28)]
            head = question[:2] + struct.pack(">5H", 0x8180, 1, len(records), 0, 0)
            body = b"".join(struct.pack(">3HIH", 0xC00C, kind, 1, 0, len(p)) + p for p in records)
            self._socket.sendto(head + question[12 : at + 5] + body, client)

    def _addresses(self, label: str, kind: int) -> list[str]:
        if label == "public":
            return [PUBLIC]
        if label == "both":
            return [PUBLIC, "127.0.0.1"]
        if label.startswith("rebind"):  # the first answer is public, each later one is not
            turn = next(self._asked) if kind == 1 else 1
            return [PUBLIC if turn % 2 == 0 else FORBIDDEN[int(label[6:] or 0)]]
        return [FORBIDDEN[int(label[1:])]] if label[1:].isdigit() else []


async def fetched(fetcher: Fetcher, found: list[str]) -> list[str]:
    """What became of each: `bytes`, or what was said."""
    said = []
    for url in found:
        try:
            said.append((await fetcher.get(url)).decode())
        except Problem as problem:
            said.append(f"{problem.status} {problem.detail}")
    return said


def main() -> None:
    run("ip", "link", "set", "lo", "up")
    run("ip", "route", "add", "local", "0.0.0.0/0", "dev", "lo")
    run("ip", "-6", "route", "add", "local", "::/0", "dev", "lo")
    run("nft", "-f", "-", said=RULES)
    with NamedTemporaryFile("w", suffix=".conf") as file:
        Path(file.name).write_text(f"nameserver {DNS}\noptions timeout:1 attempts:1\n")
        run("mount", "--bind", file.name, "/etc/resolv.conf")
    webs = [Web(80), Web(443)]
    for thread in (*webs, Names()):
        thread.start()

    for address in FORBIDDEN:  # that both counters count: a guard that lets these through is seen
        try:
            socket.create_connection((address, 80), timeout=0.2).close()
        except OSError:
            continue  # no route: multicast and the like
    control = counted("forbidden"), sum(len(web.reached) for web in webs)
    run("nft", "reset", "counters")
    for web in webs:
        web.reached.clear()

    direct = urls()
    names = [f"http://f{n}.test/" for n in range(len(FORBIDDEN))] + ["http://both.test/"]
    redirects = [
        f"http://public.test/redirect/{REDIRECTS[n % len(REDIRECTS)]}/{n}" for n in range(len(direct))
    ]
    rebinding = [f"http://rebind{n}.test/" for n in range(len(FORBIDDEN)) for _ in range(2)]
    fetcher = Fetcher(Settings(url_timeout_s=5, url_ports="80,443", url_networks=""))
    said = asyncio.run(fetched(fetcher, [*direct, *names, *redirects]))
    rebound = asyncio.run(fetched(fetcher, rebinding))
    public = asyncio.run(fetched(fetcher, ["http://public.test/"]))
    reached = [address for web in webs for address in web.reached]
    print(
        json.dumps(
            {
                "control_packets": control[0],
                "control_connections": control[1],
                "direct": len(direct),
                "names": len(names),
                "redirects": len(redirects),
                "rebinding": len(rebinding),
                "refused": sum(each.startswith("422 ") for each in said),
                "let_through": said.count("bytes"),
                "rebinding_answered_by_the_public_address": rebound.count("bytes"),
                "public_is_fetched": public == ["bytes"],
                "packets_to_the_public_address": counted("public"),
                "packets_to_forbidden_addresses": counted("forbidden"),
                "connections_to_forbidden_addresses": sum(address != PUBLIC for address in reached),
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
