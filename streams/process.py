"""What each process here does around its work: log, and say that it is ready."""

from __future__ import annotations

import logging
import signal
import threading

from pythonjsonlogger.json import JsonFormatter

from streams.settings import Settings


def configure_logging(settings: Settings) -> None:
    """Log to standard error at the configured level, as text or as one JSON object a line."""
    handler = logging.StreamHandler()
    names = "%(asctime)s %(levelname)s %(name)s %(message)s"
    handler.setFormatter(JsonFormatter(names) if settings.log_json else logging.Formatter(names))
    logging.basicConfig(level=settings.log_level, handlers=[handler], force=True)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs each request
    logging.getLogger("stamina").setLevel(logging.ERROR)  # it logs each retry, without saying of what


def told_to_stop() -> threading.Event:
    """An event that SIGTERM and SIGINT set from now on."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


def announce_ready(settings: Settings) -> None:
    """Touch the file that a supervisor waits for, where one is named."""
    if settings.ready_file:
        settings.ready_file.touch()
