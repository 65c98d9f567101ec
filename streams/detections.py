"""Detections by the batch: the bytes of many `CirclesDetected` to columns, far quicker than one by one.

What is not laid out as our own writer does it is marked, and left to the codec.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streams.circles import CIRCLE, Circles, right_circles
from streams.columns import MICROS, Bodies, Longs, Mask, Texts

INT = (-(2**31), 2**31 - 1)


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """Columns of n detections: ids V16, times in microseconds, circles of all one after another.

    right: (n,) False where a message is not laid out as ours are; its other values mean nothing.
    """

    right: Mask
    image_id: NDArray[np.void]
    project_id: Texts
    model_name: Texts
    model_version: Texts
    latency_ms: NDArray[np.float32]
    detected_at: Longs
    source_partition: Longs
    source_offset: Longs
    replay_id: NDArray[np.void]
    replayed: Mask
    count: Longs
    circles: Circles


def read(values: Sequence[bytes], begin: Longs, *, ascii_only: bool = True) -> Detections:
    """values: framed messages; begin: (n,) where the Avro body of each begins, -1 where none is known.

    The fields are those of the newest schema of CirclesDetected, in its order.
    """
    bodies = Bodies(values, begin)
    bodies.uuids()  # event_id
    image_id = bodies.uuids()
    project_id = bodies.texts(ascii_only=ascii_only)
    model_name, model_version = (bodies.texts(ascii_only=ascii_only) for _ in range(2))
    latency_ms = bodies.floats()
    detected_at = bodies.longs(*MICROS)
    source_partition, source_offset = bodies.longs(*INT), bodies.longs()
    replayed = bodies.present()
    with bodies.where(replayed):
        replay_id = bodies.uuids()
    start, count = bodies.blocks(CIRCLE.itemsize)
    circles = blocks(bodies.bytes, start, count)
    wrong = np.repeat(np.arange(len(values)), count)[~right_circles(circles)]
    if len(wrong):
        bodies.right[wrong] = False
        count[wrong] = 0
        circles = blocks(bodies.bytes, start, count)
    return Detections(
        bodies.right, image_id, project_id, model_name, model_version, latency_ms, detected_at,
        source_partition, source_offset, replay_id, replayed, count, circles,
    )  # fmt: skip


def blocks(data: NDArray[np.uint8], start: Longs, count: Longs) -> Circles:
    """The circles of count items each, from their starts on, as one array."""
    view = data.data  # slices of bytes: gathering by index would need eight times the memory
    size = CIRCLE.itemsize
    parts = [view[at : at + size * n] for at, n in zip(start.tolist(), count.tolist(), strict=True) if n]
    return np.frombuffer(b"".join(parts), CIRCLE)
