"""The home of a key: the partition where all who partition as Kafka's own clients do put its messages.

Of a view's writers each has partitions of its own. A key that comes at home is known to its one writer;
one that came elsewhere, a stray, may be with two of them at the same moment.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import compress

import numpy as np
from numpy.typing import NDArray

from streams.errors import InvalidRecord
from streams.records import subject
from streams.topics import DETECTED
from streams.views import Batch, Keys, keys_of

_SEED, _M = np.uint32(0x9747B28C), np.uint32(0x5BD1E995)
_HEX = np.array([list(f"{byte:02x}".encode()) for byte in range(256)], np.uint8)
_DASHES = (8, 13, 18, 23)
_DIGITS = [place for place in range(36) if place not in _DASHES]


def strays(batch: Batch, partitions: Mapping[str, int]) -> Keys:
    """The keys of a batch's rows that came elsewhere than at home. partitions: how many each topic has."""
    # A dead letter that the fold makes is keyed by the place of its message: no other place has it.
    messages = [m for m in batch.messages if not isinstance(m.record, InvalidRecord)]
    ids = [subject(m.record).bytes for m in messages if not isinstance(m.record, InvalidRecord)]
    of = np.array([partitions[m.topic] for m in messages], np.int64)
    came = np.array([m.partition for m in messages], np.int64)
    found = keys_of(compress(messages, home(np.frombuffer(b"".join(ids), "V16"), of) != came))
    away = home(batch.detections.image_id, partitions[DETECTED.name]) != batch.detected_in
    found.detections.update(compress(batch.detected, away))
    return found


def home(ids: NDArray[np.void], partitions: int | NDArray[np.int64]) -> NDArray[np.int64]:
    """The home of messages whose keys are these ids as text. ids: (n,) V16 -> (n,) partition.

    Kafka's DefaultPartitioner: murmur2 (Appleby) of the key's bytes, made positive, modulo the partitions.
    """
    text = np.full((len(ids), 36), ord("-"), np.uint8)
    text[:, _DIGITS] = _HEX[ids.view(np.uint8).reshape(-1, 16)].reshape(-1, 32)
    hashed = np.full(len(ids), _SEED ^ np.uint32(36))
    for word in text.view("<u4").T.astype(np.uint32):
        mixed = word * _M
        mixed = (mixed ^ mixed >> np.uint32(24)) * _M
        hashed = hashed * _M ^ mixed
    hashed = (hashed ^ hashed >> np.uint32(13)) * _M
    hashed ^= hashed >> np.uint32(15)
    return (hashed & np.uint32(0x7FFFFFFF)).astype(np.int64) % partitions
