"""Answers: JSON as bytes, lists in the format that is asked for, each with what it was read from."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import mimeparse
import orjson
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from fastapi import Request, Response

from query_api.access.caller import Caller
from query_api.errors import Problem
from query_api.view.reading import Seen

ARROW, PARQUET = "application/vnd.apache.arrow.stream", "application/vnd.apache.parquet"
JSON, JSONL, CSV = "application/json", "application/x-ndjson", "text/csv"
READ_FROM = ("Circles-Snapshot", "Circles-Watermark", "Circles-Age")


def json(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer; bytes go out as they are, without FastAPI's own encoding."""
    return Response(orjson.dumps(body), status, headers, JSON)


def read_from(seen: Seen | None, caller: Caller, at: int | None = None) -> dict[str, str]:
    """Headers that say what an answer is read from; taken before it is read, so that it is never older.

    Snapshots and watermarks count what all projects do: a caller of one gets the age alone, in whole seconds.
    at: the snapshot of the past that is read; of that nothing else is known.
    """
    if seen is None:
        return {}
    if at is not None:
        return {"Circles-Snapshot": f"{seen.generation}.{at}"} if caller.project is None else {}
    if caller.project is not None:
        return {"Circles-Age": str(math.ceil(seen.age_s))}
    return dict(zip(READ_FROM, (seen.snapshot, seen.watermark, f"{seen.age_s:.3f}"), strict=True))


def fields_of(seen: Seen | None, caller: Caller, at: int | None = None) -> dict[str, Any]:
    """The same as fields of a list."""
    if seen is None or at is not None:
        return {"snapshot": None, "watermark": None, "age_s": None} | (
            {"snapshot": f"{seen.generation}.{at}"} if seen and caller.project is None else {}
        )
    if caller.project is not None:
        return {"snapshot": None, "watermark": None, "age_s": math.ceil(seen.age_s)}
    return {"snapshot": seen.snapshot, "watermark": seen.watermark, "age_s": round(seen.age_s, 3)}


def _jsonl(table: pa.Table) -> bytes:
    return b"".join(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in table.to_pylist())


def _csv(table: pa.Table) -> bytes:
    file = io.BytesIO()
    pyarrow.csv.write_csv(table, file)
    return file.getvalue()


def _parquet(table: pa.Table) -> bytes:
    file = io.BytesIO()
    pyarrow.parquet.write_table(table, file)
    return file.getvalue()


def _arrow(table: pa.Table) -> bytes:
    file = io.BytesIO()
    with pa.ipc.new_stream(file, table.schema) as stream:
        stream.write_table(table)
    return file.getvalue()


WRITERS: Mapping[str, Callable[[pa.Table], bytes]] = {
    ARROW: _arrow, PARQUET: _parquet, CSV: _csv, JSONL: _jsonl
}  # fmt: skip
FORMATS = (*WRITERS, JSON)  # of equals the last is taken


def wanted(accept: str | None, formats: Sequence[str] = FORMATS) -> str:
    """The one of some formats, those of lists, that an Accept header asks for. Raises Problem 406."""
    try:
        best = str(mimeparse.best_match(formats, accept or "*/*"))
    except mimeparse.MimeTypeParseException:
        best = ""
    if not best:
        raise Problem(406, f"Accept takes none of {', '.join(formats)}")
    return best


def as_file(table: pa.Table, columns: Sequence[str], kind: str, headers: Mapping[str, str]) -> Response:
    """Some columns of a table in one of WRITERS' formats; ids are text."""
    picked = table.select(columns)
    for index, column in enumerate(picked.schema):
        if column.type == pa.uuid():
            text = pa.array([value and str(value) for value in picked[index].to_pylist()], pa.string())
            picked = picked.set_column(index, column.name, text)
    return Response(WRITERS[kind](picked), 200, headers, kind)


def known(request: Request, etag: str) -> bool:
    """Whether the client says that it has what this ETag names."""
    given = request.headers.get("if-none-match", "")
    return given == "*" or etag in {each.strip().removeprefix("W/") for each in given.split(",")}


def next_page(request: Request, following: str | None) -> dict[str, str]:
    """The headers of a list: `Link` leads to the page behind it (RFC 8288)."""
    if not following:
        return {"Vary": "Accept"}
    query = [(name, value) for name, value in request.query_params.multi_items() if name != "cursor"]
    link = f"{request.url.path}?{urlencode([*query, ('cursor', following)])}"
    return {"Vary": "Accept", "Link": f'<{link}>; rel="next"'}
