"""A small view to export: four images, two models, one failure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import duckdb
from pydantic import SecretStr

from deploy.local.postgres import running_postgres
from streams import lake
from streams.commit import View
from streams.lake import snapshot
from streams.ledger import Ledger
from streams.settings import Settings
from tests.examples import MOMENT, batch, circles, detected, failed, message, uploaded
from tests.integration.flow import picture

A, B, C, UNSEEN = (UUID(int=n << 64) for n in range(1, 5))
"""Images: A and B of a camera, C of another project; one that no model has looked at."""
LATER = MOMENT + timedelta(days=1)
ODD = 'it\'s, "odd"\n{}'


@dataclass(frozen=True)
class Folded:
    """A view, its connection, and its snapshots before and after the last detection."""

    settings: Settings
    view: duckdb.DuckDBPyConnection
    before: int
    now: int


@contextmanager
def folded_view(folder: Path) -> Iterator[Folded]:
    """Everything in `folder`, its catalog on a PostgreSQL of its own."""
    objects = folder / "objects"
    (objects / "c").mkdir(parents=True)
    with running_postgres(folder / "postgres") as url:
        settings = Settings(data_dir=folder, catalog_url=SecretStr(url), storage_url=objects.as_uri())
        lake.create(settings)

        def image(image_id: UUID, name: str, **more: Any) -> Any:
            data = picture(image_id.int >> 64)
            (objects / name).write_bytes(data)
            return uploaded(
                image_id=image_id,
                uri=f"{objects.as_uri()}/{name}",
                sha256=hashlib.sha256(data).hexdigest(),
                **more,
            )

        camera = {"source_id": "camera"}
        log = [
            image(A, "a.png", attributes={"lane": ODD}, **camera),
            image(B, "b.png", uploaded_at=LATER, **camera),
            image(C, "c/c.png", project_id="other", source_id=ODD),
            image(UNSEEN, "unseen.png", **camera),
            detected(image_id=A, event_id=UUID(int=1)),
            detected(image_id=A, event_id=UUID(int=2), model_version="2", circles=circles(1)),
            detected(image_id=B, event_id=UUID(int=3), circles=circles(0), detected_at=LATER),
            failed(
                image_id=A,
                key=b"\0\xff",
                value=b"\xfe",
                headers=(("h", b"1"),),
                reason=ODD,
                project_id="other",
            ),
        ]
        last = detected(image_id=C, event_id=UUID(int=4), project_id="other", circles=circles(3))
        with lake.connect(settings, read_only=False) as view:
            before = put(settings, view, log, 0)
            put(settings, view, [last], len(log))
        with lake.connect(settings, read_only=True) as view:
            yield Folded(settings, view, before, snapshot(view))


def put(settings: Settings, view: duckdb.DuckDBPyConnection, log: list[Any], begin: int) -> int:
    """Commit records; the snapshot that has them."""
    sent = [message(record, offset=begin + index) for index, record in enumerate(log)]
    start = {(one.topic, 0): begin for one in sent}
    with lake.catalog(settings) as catalog:
        ledger = Ledger(catalog, lake.live(settings))
        ledger.add(start)
        at = ledger.stored()
        behind = {place: at[place] + 1 for place in start}
        View(view, ledger, shared=False).commit(batch(sent), at, behind)
    return snapshot(view)


def held(folded: Folded, table: str) -> list[dict[str, Any]]:
    result = folded.view.table(f"lake.{table}")
    names = [column[0] for column in result.description or ()]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]
