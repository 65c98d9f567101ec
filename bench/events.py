"""Made-up input of known size: detections, uploads, photographs."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from io import BytesIO

import numpy as np
import uuid_utils.compat as uuids
from PIL import Image

from detector.scenes import render
from streams.circles import CIRCLE, Circles
from streams.codec import Codec
from streams.records import CirclesDetected, ImageUploaded
from streams.views import Batch, detected_keys

CIRCLES = 10


def detected(count: int, image_ids: list[uuid.UUID] | None = None) -> Iterator[CirclesDetected]:
    """Detections of CIRCLES circles each, of new images or of those given."""
    random = np.random.default_rng(1)
    now = datetime.now(UTC)
    for index in range(count):
        yield CirclesDetected(
            event_id=uuids.uuid4(),
            image_id=image_ids[index] if image_ids else uuids.uuid7(),
            model_name="circles",
            model_version="1",
            latency_ms=10,
            detected_at=now,
            source_partition=0,
            source_offset=index,
            circles=some_circles(random, CIRCLES),
        )


def some_circles(random: np.random.Generator, count: int) -> Circles:
    """Circles of any place and size with ids of their own, (count,)."""
    circles = np.zeros(count, CIRCLE)
    circles["object_id"] = np.frombuffer(random.bytes(16 * count), "V16")
    circles["x"], circles["y"] = random.uniform(50, 600, (2, count))
    circles["radius"], circles["score"] = random.uniform(5, 40, count), random.uniform(0.6, 1, count)
    for low, high, middle in (("x_min", "x_max", "x"), ("y_min", "y_max", "y")):
        circles[low] = circles[middle] - circles["radius"]
        circles[high] = circles[middle] + circles["radius"]
    return circles


def encoded(count: int) -> Iterator[tuple[bytes, bytes]]:
    """Keys and bytes of as many detections as wanted, quickly: one event's with other ids and numbers."""
    random, codec = np.random.default_rng(1), Codec()
    (event,) = detected(1)
    pattern = codec.encode(event)
    event_id, image_id = (pattern.index(str(id_).encode()) for id_ in (event.event_id, event.image_id))
    circles = pattern.index(event.circles.tobytes())
    for begin in range(0, count, 10_000):
        size = min(10_000, count - begin)
        keys = [str(uuids.uuid7()).encode() for _ in range(size)]
        block = np.tile(np.frombuffer(pattern, np.uint8), (size, 1))
        for at, texts in ((event_id, (str(uuids.uuid4()).encode() for _ in range(size))), (image_id, keys)):
            block[:, at : at + 36] = np.frombuffer(b"".join(texts), np.uint8).reshape(size, 36)
        made = some_circles(random, size * CIRCLES).view(np.uint8)
        block[:, circles : circles + event.circles.nbytes] = made.reshape(size, -1)
        yield from zip(keys, map(bytes, block), strict=True)


def batch(count: int) -> Batch:
    """Detections as the fold takes them."""
    found, _ = Codec().detections([value for _, value in encoded(count)])
    return Batch([], found, list(detected_keys(found)), np.zeros(count, np.int64))


def uploaded(image_id: uuid.UUID, uri: str, data: bytes) -> ImageUploaded:
    """The event of a JPEG that is stored at `uri`."""
    return ImageUploaded(
        event_id=uuids.uuid4(),
        image_id=image_id,
        uri=uri,
        sha256=hashlib.sha256(data).hexdigest(),
        content_type="image/jpeg",
        width=640,
        height=480,
        size_bytes=len(data),
        uploaded_at=datetime.now(UTC),
    )


def photograph(seed: int, width: int = 640, height: int = 480, quality: int = 90) -> bytes:
    """A rendered scene as a JPEG."""
    buffer = BytesIO()
    Image.fromarray(render(seed, width, height).image).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def distinct(jpeg: bytes) -> bytes:
    """The same picture as a file of other bytes: with a comment of its own behind the JPEG's first marker."""
    return jpeg[:2] + b"\xff\xfe\x00\x12" + uuid.uuid4().bytes + jpeg[2:]
