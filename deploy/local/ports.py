"""Ports on loopback."""

from __future__ import annotations

import json
import random
import socket
from pathlib import Path

RANGE = range(20_000, 32_000)
"""Below the range that systems take for outgoing connections: there a client that reconnects to a
server being restarted can get the server's own port as its source, connect to itself and keep it."""


def is_free(port: int) -> bool:
    """Whether a server could listen on 127.0.0.1:`port` now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do, for TIME_WAIT
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def free_ports(count: int) -> list[int]:
    """So many different free ports."""
    ports: set[int] = set()
    while len(ports) < count:
        if is_free(port := random.choice(RANGE)):  # noqa: S311
            ports.add(port)
    return list(ports)


def next_free(port: int) -> int:
    """`port`, or the first free one above it."""
    while not is_free(port):
        port += 1
    return port


def remembered_ports(file: Path, *names: str) -> dict[str, int]:
    """A port for each name, the same at each start unless something else has taken it."""
    known: dict[str, int] = json.loads(file.read_text()) if file.exists() else {}
    kept = {name: port for name, port in known.items() if is_free(port)}
    missing = [name for name in names if name not in kept]
    fresh = free_ports(len(missing))
    while set(fresh) & set(kept.values()):
        fresh = free_ports(len(missing))
    ports = known | kept | dict(zip(missing, fresh, strict=True))
    file.write_text(json.dumps(ports))
    return {name: ports[name] for name in names}
