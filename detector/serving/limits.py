"""What the server takes at most."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

MAX_IMAGES = 64
"""In one request."""


def cores() -> int:
    return os.cpu_count() or 1


@dataclass(frozen=True, slots=True)
class Limits:
    """Requests that wait beyond those being worked on are few: a place further back helps nobody."""

    workers: int = field(default_factory=cores)
    waiting: int = field(default_factory=lambda: 4 * cores())
    background: int = 64
    """Requests of no urgency that are worked on or wait: they hold none of the places of the others."""
    background_wait_s: float = 3
    """For their turn, while others take all of them; then they may come again."""
    max_body_bytes: int = 20_000_000
    queue_bytes: int = 100_000_000
    """Of all bodies together that are being read, wait or are worked on."""
    body_timeout_s: float = 30
    """From a request's head to its body's last byte, during which it has a place."""
    crash_timeout_s: float = 60
    """After which a model in its own process is taken to hang."""
