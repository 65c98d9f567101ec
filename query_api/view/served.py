"""Which of an image's detections is served: of the version promoted last, else the newest but of replays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from uuid import UUID

import pyarrow as pa

from query_api.view.newest import Newest, Rank, ids, micros_of

Version = tuple[str, str]
"""A model's name and version."""
Placed = tuple[int, Rank]
"""What orders all detections of an image."""


class Served:
    """The promotions of a snapshot. promoted: the place of each version's last one among all of them."""

    def __init__(self, promoted: Mapping[Version, int]) -> None:
        self._promoted = promoted

    def placed(self, rank: Rank) -> Placed:
        return self._promoted.get(rank[1:], -1), rank

    def may_be(self, detections: pa.Table, known: Newest) -> pa.Array:
        """(n,) whether each could be served: those of replays only where their version was promoted, and only
        of images that are known, as no upload follows them.
        """
        of_replays = detections["replay_id"].is_valid().to_pylist()
        if not any(of_replays):
            return pa.array([True] * len(of_replays), pa.bool_())
        images = ids(detections["image_id"]).tolist()
        return pa.array(
            [
                not of_replay or (version in self._promoted and image_id in known)
                for of_replay, version, image_id in zip(of_replays, versions(detections), images, strict=True)
            ],
            pa.bool_(),
        )

    def newest_of(self, detections: pa.Table, known: Newest) -> tuple[list[int], list[UUID]]:
        """The rows that come before what their images have, one an image; which images had another."""
        images = ids(detections["image_id"]).tolist()
        best: dict[bytes, tuple[Placed, int]] = {}
        ranks = zip(micros_of(detections), versions(detections), strict=True)
        for row, (image_id, (micros, version)) in enumerate(zip(images, ranks, strict=True)):
            rank = self.placed((micros, *version))
            if image_id in best:
                before = best[image_id][0]
            elif there := known.rank(image_id):
                before = self.placed(there)
            else:
                before = None
            if before is None or before < rank:
                best[image_id] = rank, row
        replaced = [UUID(bytes=image_id) for image_id in best if known.rank(image_id)]
        return [row for _, row in best.values()], replaced


def versions(detections: pa.Table) -> Iterator[Version]:
    """The model's name and version of each."""
    return zip(*(detections[name].to_pylist() for name in ("model_name", "model_version")), strict=True)
