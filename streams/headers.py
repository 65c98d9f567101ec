"""Message headers: what a record is, readable without decoding it."""

from __future__ import annotations

from streams.records import Record, id_of

BACKGROUND = ("priority", b"u=7")
"""Of messages that nobody waits for, as RFC 9218 has it for requests: those of replays."""


def cloud_event_headers(record: Record, traceparent: bytes | None = None) -> list[tuple[str, bytes]]:
    """CloudEvents attributes as Kafka headers (CloudEvents Kafka binding 1.0.2, binary mode)."""
    headers = [
        ("ce_specversion", b"1.0"),
        ("ce_id", str(id_of(record)).encode()),
        ("ce_type", f"circles.{type(record).__name__}".encode()),
        ("ce_source", b"/circles"),
        ("content-type", b"application/avro"),
    ]
    # W3C Trace Context: 55 characters; anything longer is none, and might not fit the topic.
    return [*headers, ("traceparent", traceparent)] if traceparent and len(traceparent) <= 55 else headers
