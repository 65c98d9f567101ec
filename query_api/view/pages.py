"""Pages of the newest images, without a query."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from query_api.view.columns import COLUMNS, NONE, Words
from query_api.view.conditions import asked
from query_api.view.questions import NEWEST_FIRST, Question
from query_api.view.timeline import EPOCH, MICROSECOND, Timeline


def page(timeline: Timeline, question: Question, floor: datetime) -> list[dict[str, Any]] | None:
    """The rows that answer a question, of images uploaded at `floor` or later; None: that takes a query."""
    which = asked(question, floor)
    wanted = question.query == "images" and question.order == NEWEST_FIRST and not question.every
    if which is None or not wanted or question.count is None:
        return None
    found = timeline.newest(which.met, which.since, which.before, question.count)
    if found is None:
        return None
    rows, uploads, failures = found
    values = zip(*(rows[name].tolist() for name in COLUMNS), strict=True)
    return [
        as_image(row, packed, failure, rows.words)
        for row, packed, failure in zip(values, uploads, failures, strict=True)
    ]


def as_image(row: tuple[Any, ...], packed: str, failure: tuple[Any, ...], words: Words) -> dict[str, Any]:
    high, low, project, source, model, circles, latency, failed, uploaded, detected, *_ = row
    image_id, there = UUID(int=high << 64 | low), model != NONE
    uri, sha256, content_type, width, height, size, captured, attributes = orjson.loads(packed)
    name, version = words.words[model] if there else (None, None)
    letter, stage, error, reason, failed_at = failure
    return {
        "image_id": image_id, "project_id": words.words[project],
        "source_id": words.words[source], "uri": uri, "sha256": sha256,
        "content_type": content_type, "width": width, "height": height, "size_bytes": size,
        "captured_at": None if captured is None else EPOCH + captured * MICROSECOND,
        "uploaded_at": EPOCH + uploaded * MICROSECOND, "attributes": attributes,
        "model_name": name, "model_version": version, "circle_count": circles if there else None,
        "latency_ms": latency if there else None,
        "detected_at": EPOCH + detected * MICROSECOND if there else None,
        "dead_letter_id": letter, "stage": stage, "error": error, "reason": reason,
        "failed_at": failed_at, "status": "detected" if there else "failed" if failed else "pending",
    }  # fmt: skip
