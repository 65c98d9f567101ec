"""Files of ground truth: what is read, what is named as wrong, and what is written is read as the same."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import hypothesis.strategies as st
import orjson
import pytest
from hypothesis import given

from streams.annotated import WRITERS, Annotated
from streams.annotation_files import Entry, InvalidFile, read_coco, read_csv, read_jsonl
from streams.ground_truth import Shapes, content, drawn
from streams.reevaluation import DrawnAs

IMAGE = UUID("01939f3e-8a00-7c3f-9d52-6f1c0e8a4b21")
WIDTH, HEIGHT = 640, 480
READERS: dict[str, Callable[[bytes], list[Entry]]] = {
    "coco": read_coco, "csv": lambda data: read_csv(data.decode()), "jsonl": read_jsonl
}  # fmt: skip


def coco(*annotations: dict[str, Any], **image: Any) -> bytes:
    images = [{"id": 1, "file_name": "a.png"}, {"id": "b", "file_name": "sub/b.png", **image}]
    return orjson.dumps({"images": images, "annotations": annotations})


def box(image_id: int | str, *bbox: float, **more: Any) -> dict[str, Any]:
    return {"image_id": image_id, "bbox": bbox, **more}


def corners(entry: Entry) -> list[list[float]] | None:
    return entry.shapes.boxes


def test_each_image_of_coco_is_an_entry_and_one_without_annotations_has_no_circles() -> None:
    one, other = read_coco(coco(box(1, 10, 20, 30, 40), box(1, 0, 0, 5, 5, iscrowd=0), width=9, height=8))
    assert (one.where, one.about.file_name, corners(one)) == (
        "images[0]", "a.png", [[10, 20, 40, 60], [0, 0, 5, 5]],
    )  # fmt: skip
    assert one.places == ["annotations[0].bbox", "annotations[1].bbox"]
    assert (other.about.file_name, corners(other), other.size) == ("sub/b.png", [], (9, 8))
    assert [len(entry.places) for entry in read_coco(coco())] == [0, 0]


def test_circles_of_coco_count_before_their_boxes_where_all_of_an_image_have_them() -> None:
    circle = {"x": 20, "y": 20, "radius": 10}
    one, other = read_coco(
        coco(
            box(1, 10, 10, 20, 20, circle=circle),
            box("b", 10, 10, 20, 20, circle=circle),
            box("b", 1, 1, 2, 2),
        )
    )
    assert [(c.x, c.y, c.radius) for c in one.shapes.circles or ()] == [(20, 20, 10)]
    assert one.places == ["annotations[0].circle"]
    assert corners(other) == [[10, 10, 30, 30], [1, 1, 3, 3]]


@pytest.mark.parametrize(
    ("data", "wrong"),
    [
        (b"{", "body: Invalid JSON"),
        (b'{"images": []}', "annotations: Field required"),
        (coco(box(1, 1, 1, 1, 1), {"image_id": 1, "bbox": [1, 1, "a", 1]}), "annotations[1].bbox[2]: Input"),
        (coco(box(1, 1, 1, 1)), "annotations[0].bbox: List should have at least 4 items"),
        (coco(box(1, 1, 1, 0, 5)), "annotations[0].bbox: it is x, y, width, height, and 0 x 5 has no area"),
        (coco(box(2, 1, 1, 5, 5)), "annotations[0].image_id: 2 is not the id of any image"),
        (coco(box(1, 1, 1, 5, 5, iscrowd=1)), "annotations[0].iscrowd: a box around many is no circle"),
        (coco(id=1), "images[1].id: images[0] has 1, too"),
        (coco(sha256="x"), "images[1].sha256: String should match"),
        (
            coco(box(1, 1, 1, 9, 9, circle={"x": 5, "y": 9, "radius": 4})),
            "annotations[0].circle: it is not the one in bbox",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_with_coco_is_named(data: bytes, wrong: str) -> None:
    with pytest.raises(InvalidFile) as refused:
        read_coco(data)
    assert str(refused.value).startswith(wrong)
    assert "\n" not in str(refused.value)


def test_all_entries_are_looked_at_and_the_first_ten_told() -> None:
    with pytest.raises(InvalidFile) as refused:
        read_coco(coco(*(box(n, 1, 1, 1, 1) for n in range(100, 114))))
    lines = str(refused.value).splitlines()
    assert [line.split(":")[0] for line in lines[:10]] == [f"annotations[{n}].image_id" for n in range(10)]
    assert lines[10:] == ["and 4 more"]


def test_rows_of_csv_are_circles_or_boxes_or_say_that_there_are_none() -> None:
    head = "file_name,x,y,radius,x_min,y_min,x_max,y_max,annotator,lane\n"
    a, b, c = read_csv(
        head + "a.png,1,2,3.5,,,,,anna,x\nb.png,,,,1,2,3,4,,\na.png,4,5,6,,,,,,\nc.png,,,,,,,,,\n"
    )
    assert [(s.x, s.y, s.radius) for s in a.shapes.circles or ()] == [(1, 2, 3.5), (4, 5, 6)]
    assert (a.where, a.places, a.about.file_name) == ("line 2", ["line 2", "line 4"], "a.png")
    assert (corners(b), c.shapes.circles, c.where) == ([[1, 2, 3, 4]], [], "line 5")
    assert (a.about.annotator, b.about.annotator) == ("anna", None)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("", "line 1: one of the columns has to be image_id or sha256 or file_name"),
        ("file_name,x,y\n", "line 1: one of the columns has to be image_id"),
        ("x,y,radius\n1,2,3\n", "line 1: one of the columns has to be image_id"),
        ("file_name,x,y,radius\na,1,2,3\na,1,2,0\n", "line 3: radius: Input should be greater than 0"),
        ("file_name,x,y,radius\na,1,2,\n", "line 2: radius: Field required"),
        ("image_id,x,y,radius\na,1,2,3\n", "line 2: image_id: Input should be a valid UUID"),
        ("file_name,x,y,radius\na,,,\na,1,2,3\n", "line 2: a row is a circle or a box, or the only one"),
        ("file_name,x,y,radius,x_min,y_min,x_max,y_max\na,1,2,3,1,2,3,4\n", "line 2: a row is a circle or a"),
        (
            "file_name,x,y,radius,x_min,y_min,x_max,y_max\na,1,2,3,,,,\na,,,,1,2,3,4\n",
            "line 3: an image has circles or boxes, not both",
        ),
        ("file_name,x,x,y,radius\na,1,1,2,3\n", "line 1: x is there twice"),
        ("file_name,x,y,radius\na,1,2,3,4\n", "line 2: it has more cells than line 1 has names"),
        (
            "file_name,x,y,radius,annotator\na,1,2,3,ann\na,4,5,6,\na,7,8,9,bob\n",
            "line 4: annotator is bob; in a row of the image before, ann",
        ),
        ("file_name,x,y,radius,from\na,1,2,3,circles:2+min_score=5\n", "line 2: from: min_score is 0 to 1"),
        ('file_name,x,y,radius\n"a,1,2,3\n', "line 2: unexpected end of data"),
        ("file_name,x,y,radius\na,nan,2,3\n", "line 2: x: Input should be a finite number"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_csv_is_named(text: str, wrong: str) -> None:
    with pytest.raises(InvalidFile) as refused:
        read_csv(text)
    assert str(refused.value).startswith(wrong)


def test_what_is_wrong_with_lines_is_named() -> None:
    good = b'{"file_name": "a", "boxes": [[1, 2, 3, 4]]}'
    (entry,) = read_jsonl(b"\n" + good + b"\n")
    assert (entry.where, entry.places) == ("line 2", ["line 2.boxes[0]"])
    with pytest.raises(InvalidFile) as refused:
        read_jsonl(good + b'\n{}\n{"circles": [{"x": 1}], "from": "a"}')
    assert [line.split(":")[0] for line in str(refused.value).splitlines()] == [
        "line 2", "line 3.from", "line 3.circles[0].y", "line 3.circles[0].radius",
    ]  # fmt: skip


@st.composite
def annotated(draw: st.DrawFn) -> Annotated:
    drawn_as: DrawnAs = draw(st.sampled_from(["circles", "boxes"]))
    number, size = st.floats(-30, 470, width=32), st.floats(0.125, 500, width=32)
    rows = draw(st.lists(st.tuples(number, number, size, size), max_size=4))
    shapes = (
        {"circles": [{"x": x, "y": y, "radius": max(r, 50)} for x, y, r, _ in rows]}
        if drawn_as == "circles"
        else {"boxes": [[x, y, x + 50 + w, y + 50 + h] for x, y, w, h in rows]}
    )
    return Annotated(
        image_id=draw(st.uuids()), file_name=draw(st.text(max_size=9)), sha256="0" * 64, width=WIDTH,
        height=HEIGHT, project_id="default", source_id="", annotation_id=UUID(int=1),
        annotator=draw(st.sampled_from(["anna", 'o"b, c', "\u00e9"])),
        annotated_at=draw(st.datetimes(timezones=st.just(UTC), min_value=datetime(1900, 1, 1))),  # noqa: DTZ001
        model=draw(st.none() | st.just("circles:2")), drawn_as=drawn_as,
        circles=drawn(Shapes.model_validate(shapes), WIDTH, HEIGHT),
    )  # fmt: skip


@pytest.mark.parametrize("kind", READERS)
@given(st.lists(annotated(), max_size=3, unique_by=lambda one: one.image_id))
def test_what_is_written_is_read_as_the_same(kind: str, images: list[Annotated]) -> None:
    entries = READERS[kind](b"".join(WRITERS[kind](images, "snapshot 1")))
    assert len(entries) == len(images)
    for image, entry in zip(images, entries, strict=True):
        again = drawn(entry.shapes, WIDTH, HEIGHT)
        assert content(again) == content(image.circles)
        if len(again):
            assert entry.shapes.drawn_as == image.drawn_as
        about = entry.about
        assert (about.image_id, about.sha256, about.annotator, about.annotated_at, about.from_) == (
            image.image_id, image.sha256, image.annotator, image.annotated_at, image.model,
        )  # fmt: skip


def test_numbers_are_written_with_the_digits_that_they_were_given_with() -> None:
    shapes = Shapes.model_validate({"boxes": [[10.1, 20.3, 50.1, 70.7]]})
    image = Annotated(
        image_id=IMAGE, file_name="a.png", sha256="0" * 64, width=WIDTH, height=HEIGHT, project_id="default",
        source_id="", annotation_id=UUID(int=1), annotator="anna", annotated_at=datetime.now(UTC), model=None,
        drawn_as="boxes", circles=drawn(shapes, WIDTH, HEIGHT),
    )  # fmt: skip
    line = orjson.loads(b"".join(WRITERS["jsonl"]([image], "")))
    assert line["boxes"] == [[10.1, 20.3, 50.1, 70.7]]
    bbox = orjson.loads(b"".join(WRITERS["coco"]([image], "")))["annotations"][0]["bbox"]
    assert bbox == pytest.approx([10.1, 20.3, 40, 50.4])
