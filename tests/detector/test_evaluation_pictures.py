"""Pictures: which circle is drawn how, in which order, and that nothing about it needs luck."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from detector.evaluation.dataset import AnnotatedImage
from detector.evaluation.drawing import FALSE, LINES, MISSED, RIGHT, Picture, dashes, draw, legend, outline
from detector.evaluation.observe import Observation
from detector.evaluation.pictures import judge, save
from tests.detector.evaluation import Triple, circles, observed

GREY = np.full((120, 160, 3), 128, np.uint8)


def coloured(picture: Picture, colour: tuple[int, int, int], tolerance: int = 12) -> int:
    """How many pixels are about that colour."""
    return int((np.abs(picture.astype(int) - colour).max(axis=2) <= tolerance).sum())


def test_found_circles_are_right_or_false_and_the_rest_is_missed() -> None:
    found, truth = circles((50, 50, 20), (120, 60, 15)), circles((50, 51, 20), (20, 100, 10))
    verdict = judge(observed(found, truth), 0.5)
    assert verdict.counts == {RIGHT: 1, MISSED: 1, FALSE: 1}
    assert verdict.kinds[RIGHT]["y"].tolist() == [50]
    assert verdict.kinds[MISSED]["y"].tolist() == [100]
    assert verdict.kinds[FALSE]["x"].tolist() == [120]


def test_circles_below_the_least_score_are_not_drawn() -> None:
    found = circles((50, 50, 20), scores=[0.3])
    assert judge(observed(found, circles((50, 50, 20))), 0.5).counts == {RIGHT: 0, MISSED: 1, FALSE: 0}


@pytest.mark.parametrize("line", LINES, ids=lambda line: line.name)
def test_a_circle_is_drawn_on_its_outline_at_any_size(line: object) -> None:
    assert isinstance(line, type(RIGHT))
    for long_side in (80, 160, 640):
        scale = long_side / 160
        drawn = draw(GREY, {line: circles((80, 60, 40))}, long_side)
        assert drawn.shape == (round(120 * scale), long_side, 3)
        y, x = np.nonzero((np.abs(drawn.astype(int) - line.colour).max(axis=2)) <= 40)
        assert len(x) > 10
        distance = np.hypot((x + 0.5) / scale - 80, (y + 0.5) / scale - 60)
        assert np.abs(distance - 40).max() < 2 + 2 / scale


def test_lines_differ_in_kind_as_well_as_in_colour() -> None:
    points = outline(circles((80, 60, 40))[0])
    drawn = [len(dashes(points, 3 * line.dash, 3 * line.gap)) for line in LINES]
    assert drawn[0] == 1 < drawn[1] < drawn[2]


def test_a_tilted_circle_is_outlined_as_its_ellipse() -> None:
    (circle,) = circles((80, 60, 20))
    circle["major"], circle["minor"], circle["angle"] = 40, 10, np.pi / 2
    low, high = outline(circle).min(axis=0), outline(circle).max(axis=0)
    assert np.concatenate([low, high]) == pytest.approx([70, 20, 90, 100], abs=0.01)


def test_the_legend_shows_all_lines_in_any_width() -> None:
    strip = legend(400, "a title" * 100, {RIGHT: 3, MISSED: 20, FALSE: 100})
    assert strip.shape == (50, 400, 3)
    for line in LINES:
        assert coloured(strip, line.colour) > 20


def observation(folder: Path, name: str, found: list[Triple], truth: list[Triple]) -> Observation:
    path = folder / Path(name).name
    Image.fromarray(GREY).save(path)
    return Observation(AnnotatedImage(name, path, circles(*truth)), circles(*found), 1.0)


def test_the_worst_image_is_the_first_and_the_sheet_shows_all(tmp_path: Path) -> None:
    there = (50.0, 50.0, 20.0)
    images = [
        observation(tmp_path, "good.png", [there], [there]),
        observation(tmp_path, "day 2/worst: ä.png", [(120, 60, 15)], [there]),
        observation(tmp_path, "bad.png", [], [there]),
    ]
    done: list[None] = []
    save(tmp_path / "new" / "pictures", images, 0.5, lambda: done.append(None))
    names = sorted(path.name for path in (tmp_path / "new" / "pictures").iterdir())
    assert names == ["001-worst-ä.jpg", "002-bad.jpg", "003-good.jpg", "contact-sheet.jpg"]
    assert len(done) == 3
    pages = [np.asarray(Image.open(tmp_path / "new" / "pictures" / name)) for name in names]
    body = [page[:-50] for page in pages[:3]]
    seen = [[coloured(page, line.colour, 60) > 100 for line in LINES] for page in body]
    assert seen == [[False, True, True], [False, True, False], [True, False, False]]


def test_a_narrow_image_has_room_for_its_legend(tmp_path: Path) -> None:
    Image.new("RGB", (10, 400)).save(tmp_path / "narrow.png")
    image = AnnotatedImage("narrow.png", tmp_path / "narrow.png", circles())
    save(tmp_path / "out", [Observation(image, circles(), 1.0)], 0.5)
    with Image.open(tmp_path / "out" / "001-narrow.jpg") as page:
        assert page.width == 320
