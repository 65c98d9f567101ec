"""Objects that an upload left behind: stored, and never named by an event, because Kafka was away or we died.

They cannot be deleted at once: a send that timed out may yet be on the log. The claim of such an upload stays
unmarked; the same bytes sent again take its image id and overwrite its object. What nobody sends again is
deleted here, once the view has passed all that was on the log and does not have the image.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from uuid import UUID

import duckdb
import psycopg
from confluent_kafka import KafkaException

from streams import lake, ledger, progress
from streams.errors import LakeRefused, StoreUnavailable
from streams.ingest.claims import LOCK_KEY
from streams.ingest.upload import EXTENSIONS
from streams.ledger import Ledger, Offsets
from streams.settings import Settings
from streams.store import Store
from streams.topics import UPLOADED

GRACE_S = 3600.0
"""Since an upload began: far longer than one takes."""
EVERY_S = 600.0
MOST = 100
"""Claims in one transaction, which keeps uploads of the same bytes waiting."""
PATIENCE_S = 5.0
"""For the view to pass the log's end."""
LOCK = f"""SELECT image_id FROM (
    SELECT * FROM ingest.claims WHERE NOT accepted AND image_id < %s ORDER BY image_id LIMIT %s) AS open
WHERE pg_try_advisory_xact_lock({LOCK_KEY})"""  # noqa: S608
OPEN = "SELECT image_id FROM ingest.claims WHERE NOT accepted AND image_id = ANY(%s)"
ACCEPT = "UPDATE ingest.claims SET accepted = true WHERE image_id = ANY(%s)"
FORGET = "DELETE FROM ingest.claims WHERE image_id = ANY(%s)"
AWAY = (psycopg.Error, duckdb.Error, KafkaException, StoreUnavailable, LakeRefused)
log = logging.getLogger(__name__)


async def keep_swept(settings: Settings, store: Store) -> None:
    """Sweep now and then, for good; several processes may."""
    while True:
        await asyncio.sleep(EVERY_S)
        try:
            while swept := await sweep(settings, store):
                log.info("%d uploads that never came to an event are swept", swept)
        except AWAY as error:
            log.warning("orphans are swept later: %s", type(error).__name__)


async def sweep(settings: Settings, store: Store, *, dry_run: bool = False, grace_s: float = GRACE_S) -> int:
    """Delete objects and claims of at most MOST uploads that began long ago and have no event; how many.

    None of them while the view does not come to the log's end. Raises what is in AWAY.
    """
    began = datetime.now(UTC) - timedelta(seconds=grace_s)
    before = UUID(int=int(began.timestamp() * 1000) << 80)  # ids are of version 7: they begin with their time
    url = settings.catalog_url.get_secret_value()
    async with await psycopg.AsyncConnection.connect(url, connect_timeout=3) as catalog:
        try:
            locked = await (await catalog.execute(LOCK, (before, MOST))).fetchall()
        except psycopg.errors.UndefinedTable:
            return 0  # there was no upload ever
        # Asked for once they are locked: an upload may just have come to its end.
        rows = await (await catalog.execute(OPEN, [[image_id for (image_id,) in locked]])).fetchall()
        left = [image_id for (image_id,) in rows]
        if not left:
            return 0
        # Locked: from here on nobody sends an event of these, so the end of the log is behind them all.
        known = await asyncio.to_thread(_in_view, settings, left)
        if known is None:
            return 0
        orphans = [image_id for image_id in left if image_id not in known]
        if dry_run:
            return len(orphans)
        for image_id in orphans:
            await store.delete(*(f"{image_id}.{extension}" for extension in EXTENSIONS.values()))
        await catalog.execute(FORGET, [orphans])
        await catalog.execute(ACCEPT, [list(known)])  # only their mark was lost
    return len(orphans)


def _in_view(settings: Settings, wanted: Sequence[UUID]) -> set[UUID] | None:
    """Which of these images are in the view; None where it has not passed the end that the log has now."""
    with closing(progress.consumer(settings)) as consumer:
        ends = progress.look(consumer, PATIENCE_S).ends
    with lake.catalog(settings) as catalog:
        generation = ledger.live(catalog)
        if generation is None:
            return None
        uploads = {at: end for at, end in ends.items() if at[0] == UPLOADED.name}
        if not _passed(Ledger(catalog, generation), uploads):
            return None
        with lake.connect(settings, read_only=True, generation=generation) as view:
            found = view.execute(
                "SELECT image_id FROM lake.images WHERE image_id IN (SELECT unnest(?))", [wanted]
            )
            return {image_id for (image_id,) in found.fetchall()}


def _passed(folded: Ledger, ends: Offsets) -> bool:
    """Whether the view passes these offsets within PATIENCE_S."""
    deadline = time.monotonic() + PATIENCE_S
    while any(folded.stored().get(at, 0) < end for at, end in ends.items()):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True
