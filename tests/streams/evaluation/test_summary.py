"""What a comparison says of images that little is known of, and where several are equal."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pyarrow as pa

from streams.evaluation.images import BANDS_PX, Rule, compare_images
from streams.evaluation.summary import summarise
from tests.streams.evaluation.made import Five, found

NOON = datetime(2026, 1, 31, 12, 59, 59, 999_999, tzinfo=UTC)
ONE: Five = (50, 50, 10, 0.5)


def images(*rows: tuple[str | None, datetime | None]) -> pa.Table:
    sources, times = zip(*rows, strict=True)
    ids = pa.array([UUID(int=n + 1).bytes for n in range(len(rows))], pa.binary(16))
    columns = {
        "image_id": pa.ExtensionArray.from_storage(pa.uuid(), ids),
        "source_id": pa.array(sources, pa.string()),
        "uploaded_at": pa.array(times, pa.timestamp("us", "UTC")),
    }  # fmt: skip
    return pa.table(columns)


def test_images_without_an_upload_are_a_group_of_their_own_and_the_last() -> None:
    uploads = images((None, None), ("b", NOON), ("a", NOON))
    part = compare_images(uploads, found([ONE], [], []), found([], [], []), Rule())
    summary = summarise([part], 3)
    assert [row.source for row in summary.by_source] == ["a", "b", None]
    assert [row.hour for row in summary.by_hour] == [NOON.replace(minute=0, second=0, microsecond=0), None]
    assert [(row.images, row.lost) for row in summary.by_source] == [(1, 0), (1, 0), (1, 1)]
    assert [image.image_id for image in summary.worst] == [UUID(int=1)]


def test_without_a_circle_there_is_nothing_to_say_but_that() -> None:
    part = compare_images(images(("a", NOON)), found([]), found([]), Rule())
    summary = summarise([part], 3)
    assert (summary.counts.images, summary.counts.unchanged, summary.counts.a_circles) == (1, 1, 0)
    assert (summary.shift_px, summary.by_radius, summary.worst) == (None, [], [])


def test_the_worst_image_has_the_most_changes_then_the_largest_shift_then_the_smallest_id() -> None:
    def moved(by: float) -> Five:
        return (50 + by, 50, 10, 0.5)

    a = found([ONE], [ONE], [ONE], [ONE], [ONE, (20, 20, 5, 1)])
    b = found([ONE], [moved(2)], [moved(3)], [moved(3)], [ONE])
    part = compare_images(images(*[("a", NOON)] * 5), a, b, Rule())
    summary = summarise([part], 10)
    assert [image.image_id.int for image in summary.worst] == [5, 3, 4, 2]
    assert [image.largest_shift_px for image in summary.worst] == [0, 3, 3, 2]
    assert (summary.counts.unchanged, summary.counts.changed, summary.counts.only_moved) == (1, 4, 3)
    assert summary.counts.worst_image == UUID(int=5)
    assert {row.from_px: row.worst_image.int for row in summary.by_radius} == {5: 5, 10: 3}


def test_a_circle_is_in_the_band_that_its_radius_begins() -> None:
    circles: list[Five] = [(200 * n + 200, 50, max(low, 1), 1) for n, low in enumerate(BANDS_PX)]
    part = compare_images(images(("a", NOON)), found(circles), found([]), Rule())
    assert part.bands.counts["lost"].tolist() == [1] * len(BANDS_PX)
    assert [row.from_px for row in summarise([part], 1).by_radius] == list(BANDS_PX)
    assert [row.below_px for row in summarise([part], 1).by_radius] == [*BANDS_PX[1:], None]
