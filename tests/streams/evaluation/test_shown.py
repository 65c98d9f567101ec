"""What is drawn of images is what the comparison counted in them."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import numpy as np
import pytest

from streams import lake
from streams.evaluation import reading
from streams.evaluation.compare import compare
from streams.evaluation.images import Rule
from streams.evaluation.reading import Picture
from streams.evaluation.shown import told_apart
from streams.evaluation.version import resolve
from tests.examples import annotated
from tests.examples import circles as some_circles
from tests.lakes import fresh
from tests.streams.evaluation.views import make, obvious
from tests.streams.small_view import put


@pytest.mark.parametrize("rule", [Rule(), Rule(0.7, "box", 0.2)])
def test_each_circle_is_drawn_as_it_was_counted(catalogs: str, tmp_path: Path, rule: Rule) -> None:
    settings = fresh(catalogs, tmp_path)
    seen, _, _ = make(settings)
    by_id = {image.upload.image_id: image for image in seen}
    with lake.connect(settings, read_only=False) as view:
        known = reading.known(view, lake.snapshot(view))
        a, b = resolve("circles:1", known), resolve("circles:2+min_score=0.6", known)
        worst = [each.image_id for each in compare(view, lake.snapshot(view), a, b, rule, {}, worst=50).worst]
        wrong, right, empty = (
            annotated(annotation_id=UUID(int=n + 1), image_id=worst[n // 2], circles=some_circles(count))
            for n, count in enumerate((1, 3, 0))
        )
        put(settings, view, [wrong, right, empty], 0)
        at = lake.snapshot(view)
        drawn = reading.drawn(view, at, a, b, [*worst, UUID(int=7)])
    *shown, unknown = told_apart([*worst, UUID(int=7)], drawn, rule)
    counts = {id_: counted for *_, id_, counted in obvious(seen, "1", "2", rule, least=0.6)["images"]}
    assert len(shown) > 10
    for image in shown:
        counted = counts[image.image_id]
        before, after = image.moved
        assert len(before) == len(after) == counted["moved"]
        assert len(image.gained) == counted["gained"]
        assert len(image.lost) == counted["lost"]
        assert len(image.matched) == counted["matched"] - counted["moved"]
        upload, found = by_id[image.image_id].upload, by_id[image.image_id].found
        assert image.picture == Picture(upload.uri, upload.sha256, upload.size_bytes, 64, 48)
        of_a = {(c["x"], c["y"], c["radius"]) for c in found["1"]}
        assert {tuple(place) for place in np.vstack([image.lost, before])} <= of_a
    first, second, third = shown[:3]
    assert first.truth is not None
    assert sorted(first.truth.tolist()) == [[1, 1, 1], [2, 2, 2], [3, 3, 3]]
    assert second.truth is not None
    assert (len(second.truth), third.truth) == (0, None)
    assert (unknown.picture, unknown.truth, len(unknown.gained)) == (None, None, 0)
