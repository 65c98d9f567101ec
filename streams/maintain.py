"""The process that maintains the view beside the materializer; of several one works at a time."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import duckdb
import psycopg
from obstore.exceptions import BaseError

from streams import lake, manifest, watermarks
from streams.ledger import Ledger
from streams.maintenance import maintenance
from streams.process import announce_ready, configure_logging, told_to_stop
from streams.settings import Settings

log = logging.getLogger("streams.maintain")


@contextmanager
def alone(catalog: psycopg.Connection[Any], *, wait: bool) -> Iterator[bool]:
    """Whether nobody else maintains the view while the block runs; with `wait`, once nobody does."""
    lock = "SELECT {} FROM (SELECT hashtext('circles.maintain') AS key)"
    call = "pg_advisory_lock(key) IS NOT NULL" if wait else "pg_try_advisory_lock(key)"
    ((got,),) = catalog.execute(lock.format(call)).fetchall()
    try:
        yield bool(got)
    finally:
        if got:
            catalog.execute(lock.format("pg_advisory_unlock(key)"))


def run(settings: Settings, stop: threading.Event) -> None:
    """Maintain the live view until `stop`; what fails is tried again."""
    announce_ready(settings)
    swept = float("-inf")
    while not stop.is_set():
        try:
            with maintenance(settings, lake.live(settings)) as upkeep:
                while lake.live(settings) == upkeep.generation and not stop.is_set():
                    with alone(upkeep.catalog, wait=False) as ours:
                        thorough = time.monotonic() - swept > settings.file_grace_s
                        for step in upkeep.steps(settings, thorough=thorough) if ours else ():
                            log.info("%s", step)
                            if stop.is_set():
                                return
                        if ours:
                            swept = time.monotonic() if thorough else swept
                            # Asked for often, a watermark has little to look at.
                            watermarks.current(upkeep.view, Ledger(upkeep.catalog, upkeep.generation))
                            manifest.forget(upkeep.view)
                    stop.wait(settings.maintain_interval_s)
        except (duckdb.Error, psycopg.Error, BaseError, OSError) as error:
            said = lake.without_password(f"{type(error).__name__}: {error}").splitlines()[0]
            log.warning("again in %.0f s: %s", settings.maintain_interval_s, said)
            stop.wait(settings.maintain_interval_s)


def main() -> None:
    """The process: maintain until SIGTERM or SIGINT."""
    settings = Settings.load()
    configure_logging(settings)
    settings.require("catalog_url")
    os.nice(10)  # the fold and the readers go first
    run(settings, told_to_stop())


if __name__ == "__main__":
    main()
