"""Entries of a file become records of a view's images: each of its one image, all of them or none."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import hypothesis.strategies as st
import pytest
from hypothesis import given

from streams import lake
from streams.annotated import Annotated, newest
from streams.annotating import Match, Plan, checked, plan, version_id
from streams.annotation_files import About, Entry, InvalidFile
from streams.ground_truth import Shapes, content, drawn
from tests.examples import MOMENT, annotated
from tests.streams.small_view import LATER, ODD, UNSEEN, A, B, C, Folded, folded_view, held, put

CIRCLES = Shapes.model_validate(
    {"circles": [{"x": 20, "y": 20.3, "radius": 9}, {"x": 9, "y": 9, "radius": 9}]}
)
BOXES = Shapes.model_validate({"boxes": [[1, 2, 30.5, 40]]})
NONE = Shapes.model_validate({"circles": []})


def entry(where: str = "images[0]", shapes: Shapes = NONE, **about: Any) -> Entry:
    size = about.pop("size", (None, None))
    places = [f"{where}.{n}" for n in range(len(shapes.circles or shapes.boxes or ()))]
    return Entry(where, About.model_validate(about), shapes, places, size)


def match(number: int, image_id: UUID = A, rank: int = 1) -> Match:
    return Match(number, rank, image_id, "default", 64, 48)


def test_what_names_an_image_best_counts() -> None:
    found = checked([entry(file_name="a.png")], [match(0, A, 3), match(0, B, 2), match(0, C, 3)])
    assert [one.image.image_id for one in found] == [B]


@pytest.mark.parametrize(
    ("one", "matches", "wrong"),
    [
        (entry(file_name="x/a.png"), [], "images[0]: no image has file name x/a.png"),
        (entry(), [], "images[0]: no image has nothing that names it"),
        (
            entry(file_name="a.png"), [match(0, A, 3), match(0, B, 3)],
            f"images[0]: 2 images have file name a.png, among them {A}, {B}: say which by image_id",
        ),
        (entry(size=(64, 47)), [match(0)], f"images[0]: image {A} is 64 x 48 pixels, not 64 x 47"),
        (entry(size=(60, None)), [match(0)], f"images[0]: image {A} is 64 x 48 pixels, not 60 x None"),
        (
            entry(shapes=Shapes.model_validate({"boxes": [[1, 1, 2, 2], [64, 1, 70, 2]]})), [match(0)],
            "images[0].1: nothing of it is in the picture, which is 64 x 48 pixels",
        ),
    ],
)  # fmt: skip
def test_an_entry_that_cannot_be_taken_is_named(one: Entry, matches: list[Match], wrong: str) -> None:
    with pytest.raises(InvalidFile) as refused:
        checked([one], matches)
    assert str(refused.value) == wrong


def test_two_entries_of_one_image_are_named() -> None:
    with pytest.raises(InvalidFile, match=rf"^line 9: it is image {A}, as line 2 is$"):
        checked([entry("line 2"), entry("line 9")], [match(0), match(1)])


@given(st.permutations(range(4)))
def test_a_versions_id_is_that_of_its_content_and_of_what_was_before(order: list[int]) -> None:
    rows = [{"x": 5 + n, "y": 5, "radius": 3} for n in range(4)]
    circles = drawn(Shapes.model_validate({"circles": rows}), 64, 48)
    first = version_id(A, None, "circles", circles)
    assert version_id(A, None, "circles", circles[order]) == first
    assert len({first, version_id(B, None, "circles", circles), version_id(A, None, "boxes", circles)}) == 3
    assert version_id(A, None, "circles", circles[:3]) != first


@pytest.fixture(scope="module")
def folded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Folded]:
    with folded_view(tmp_path_factory.mktemp("annotating")) as view:
        yield view


def planned(folded: Folded, *entries: Entry, project: str | None = None) -> Plan:
    return plan(folded.view, entries, annotator=None, otherwise="file.json", project=project, now=LATER)


def test_an_image_is_found_by_its_id_its_bytes_or_its_files_name(folded: Folded) -> None:
    sha256 = {row["image_id"]: row["sha256"] for row in held(folded, "images")}
    found = planned(
        folded,
        entry(image_id=A),
        entry(image_id=UUID(int=99), sha256=sha256[B]),
        entry(sha256="f" * 64, file_name="anywhere/c.png"),
        entry(sha256=sha256[UNSEEN], file_name="a.png"),
    )
    assert [(record.image_id, record.project_id) for record in found.new] == [
        (A, "default"), (B, "default"), (C, "other"), (UNSEEN, "default"),
    ]  # fmt: skip
    with pytest.raises(InvalidFile, match=r"no image has file name c\.png"):
        planned(folded, entry(file_name="c.png"), project="default")


def test_who_and_when_are_the_files_where_it_says_them(folded: Folded) -> None:
    said: dict[str, Any] = {"annotator": "anna", "annotated_at": MOMENT, "from": "circles:2"}
    one, other = planned(folded, entry(image_id=A, **said), entry(image_id=B)).new
    assert (one.annotator, one.annotated_at, one.model_name, one.model_version) == (
        "anna", MOMENT, "circles", "2",
    )  # fmt: skip
    assert (other.annotator, other.annotated_at, other.model_name) == ("file.json", LATER, None)
    (named,) = plan(
        folded.view, [entry(image_id=A, **said)], annotator="bob", otherwise="", project=None, now=LATER
    ).new
    assert named.annotator == "bob"


def test_what_an_image_has_already_is_not_sent_again_and_what_it_had_before_is(tmp_path: Any) -> None:
    with folded_view(tmp_path) as folded:
        first = planned(
            folded, entry(image_id=A, shapes=CIRCLES), entry(image_id=B, shapes=BOXES), entry(image_id=C)
        )
        assert (len(first.new), first.equal) == (3, 0)
        again = planned(folded, entry(image_id=A, shapes=CIRCLES))
        assert again.new[0].annotation_id == first.new[0].annotation_id  # so that the view takes it once

        commit(folded, *first.new)
        turned = CIRCLES.model_copy(update={"circles": (CIRCLES.circles or [])[::-1]})
        same = planned(
            folded, entry(image_id=A, shapes=turned), entry(image_id=B, shapes=BOXES), entry(image_id=C)
        )
        assert (same.new, same.equal) == ([], 3)

        changed = planned(folded, entry(image_id=A, shapes=BOXES), entry(image_id=B, shapes=BOXES))
        assert (len(changed.new), changed.equal) == (1, 1)
        commit(folded, *changed.new)
        back = planned(folded, entry(image_id=A, shapes=CIRCLES))
        assert len(back.new) == 1
        assert back.new[0].annotation_id != first.new[0].annotation_id
        commit(folded, *back.new)
        assert len(held(folded, "annotations")) == 5
        known = everything(folded)
        assert [(one.image_id, one.drawn_as, len(one.circles)) for one in known] == [
            (A, "circles", 2), (B, "boxes", 1), (C, "circles", 0),
        ]  # fmt: skip
        assert content(known[0].circles) == content(drawn(CIRCLES, 64, 48))


def test_the_newest_of_chosen_images_are_read(tmp_path: Any) -> None:
    with folded_view(tmp_path) as folded:
        commit(folded, *(annotated(image_id=i, annotation_id=UUID(int=9 + i.int)) for i in (A, B, C)))

        def images(**values: Any) -> list[UUID]:
            return [one.image_id for one in everything(folded, **values)]

        assert images() == [A, B, C]
        assert (images(project="other"), images(source="camera"), images(source=ODD)) == ([C], [A, B], [C])
        assert (images(since=LATER), images(until=LATER)) == ([B], [A, C])
        one = everything(folded, project="other")[0]
        assert (one.file_name, one.width, one.height, one.annotator) == ("c/c.png", 64, 48, "anna")


def everything(folded: Folded, **values: Any) -> list[Annotated]:
    """What is annotated, as the view is now."""
    ((snapshot,),) = folded.view.execute("FROM lake.current_snapshot()").fetchall()
    bound = {"project": None, "source": None, "since": None, "until": None, "snapshot": snapshot, **values}
    return newest(folded.view, "filtered", folded.settings.objects_url, bound)


def commit(folded: Folded, *records: Any) -> None:
    count = folded.view.execute("SELECT count(*) FROM lake.annotations").fetchall()[0][0]
    with lake.connect(folded.settings, read_only=False) as view:
        put(folded.settings, view, list(records), count)
