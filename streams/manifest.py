"""The view's Parquet files: durable before the commit that names them, each with its digest in the manifest.

Which files DuckDB wrote in a transaction is known from its own log of file operations: exact whoever else
writes into the same folder, and the same work however many files there are.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path

import duckdb
import obstore
import orjson
from obstore.exceptions import BaseError
from obstore.store import ObjectStore

from streams.store import opened

CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class File:
    """What the manifest keeps of a file. path: in the generation's folder, like `main/objects/a.parquet`."""

    path: str
    size_bytes: int
    sha256: str


def record(view: duckdb.DuckDBPyConnection) -> None:
    """Have DuckDB log its file operations, in memory, from now on."""
    view.execute("CALL enable_logging('FileSystem')")


def forget(view: duckdb.DuckDBPyConnection) -> None:
    """Begin a transaction's log."""
    view.execute("CALL truncate_duckdb_logs()")


def kept(view: duckdb.DuckDBPyConnection, generation: str) -> list[File]:
    """The files that were written since `forget`; they and their names would survive a power cut.

    Raises duckdb.IOException when they cannot be made durable, or not be read.
    """
    notes = (orjson.loads(row[-1]) for row in view.execute("FROM duckdb_logs()").fetchall())
    written = sorted({note["path"] for note in notes if note["op"] == "WRITE"})
    if not written:
        return []
    try:
        digests = [_durable(path) for path in written]
        for folder in {Path(path).parent for path in written if "://" not in path}:
            _fsync(folder)
            _flush_above(folder)
    except (OSError, BaseError) as error:
        raise duckdb.IOException(f"{generation}: new files are not durable: {error}") from error
    inside = f"/{generation}/"
    return [File(path.rpartition(inside)[2], *digest) for path, digest in zip(written, digests, strict=True)]


def write(folder: str, path: str, data: bytes) -> File:
    """A new file, which would survive a power cut. Raises duckdb.IOException."""
    try:
        if "://" in folder:
            obstore.put(_bucket(folder), path, data)
        else:
            place = Path(folder, path)
            place.parent.mkdir(parents=True, exist_ok=True)
            with place.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            _fsync(place.parent)
            _flush_above(place.parent)
    except (OSError, BaseError) as error:
        raise duckdb.IOException(f"{folder}/{path} is not durable: {error}") from error
    return File(path, len(data), hashlib.sha256(data).hexdigest())


def digest(url: str) -> tuple[int, str]:
    """Size and SHA-256 of a file, read a piece at a time. Raises FileNotFoundError, OSError, BaseError."""
    if "://" not in url:
        with Path(url).open("rb") as file:
            return _digest(iter(lambda: file.read(CHUNK_BYTES), b""))
    store, key = _in_bucket(url)
    return _digest(map(bytes, obstore.get(store, key).stream(min_chunk_size=CHUNK_BYTES)))


def listed(folder: str) -> Iterator[tuple[str, datetime]]:
    """Every Parquet file below a folder: its path in it, and when it was last changed."""
    for found in obstore.list(opened(folder)):
        for meta in found:
            if meta["path"].endswith(".parquet"):
                yield meta["path"], meta["last_modified"]


def remove(folder: str, paths: Iterable[str]) -> None:
    """Delete files; those that are gone already are none the worse for it."""
    store = opened(folder)
    for path in paths:
        try:
            obstore.delete(store, path)
        except FileNotFoundError:
            continue


def _durable(path: str) -> tuple[int, str]:
    if "://" not in path:
        with Path(path).open("rb") as file:
            os.fsync(file.fileno())
    return digest(path)


@cache
def _flush_above(folder: Path) -> None:
    """Of a folder that DuckLake has made, the name; once, as it waits for the disk each time."""
    for above in folder.parents[:4]:
        _fsync(above)


def _fsync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _digest(pieces: Iterable[bytes]) -> tuple[int, str]:
    size, sha256 = 0, hashlib.sha256()
    for piece in pieces:
        size += len(piece)
        sha256.update(piece)
    return size, sha256.hexdigest()


@cache
def _bucket(url: str) -> ObjectStore:
    return opened(url)


def _in_bucket(url: str) -> tuple[ObjectStore, str]:
    """The store and the key of `s3://bucket/key`."""
    scheme, _, rest = url.partition("://")
    bucket, _, key = rest.partition("/")
    return _bucket(f"{scheme}://{bucket}"), key
