"""What a model got right, missed and saw where nothing is, as pictures; the worst come first."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from detector.circles import Circles
from detector.evaluation.drawing import FALSE, INK, LINES, MISSED, PAPER, RIGHT, Line, Picture, draw, legend
from detector.evaluation.drawing import shortened as fitted
from detector.evaluation.matching import match
from detector.evaluation.observe import Observation
from detector.evaluation.overlap import box_iou, boxes
from detector.evaluation.score import RIGHT as RIGHT_IOU
from detector.images import decode

LONG_SIDE, LEAST_WIDTH = 1024, 320
TILE, LABEL, GAP = 300, 40, 8
MOST_TILES = 200


@dataclass(frozen=True, slots=True, eq=False)
class Verdict:
    """The circles of one image by whether they are right: those found, or for missed ones the true."""

    name: str
    path: Path
    kinds: dict[Line, Circles]

    @property
    def counts(self) -> dict[Line, int]:
        return {line: len(circles) for line, circles in self.kinds.items()}

    @property
    def wrong(self) -> int:
        return self.counts[MISSED] + self.counts[FALSE]


def judge(observation: Observation, min_score: float) -> Verdict:
    found = observation.found[observation.found["score"] >= min_score]
    truth = observation.image.truth
    pairs = match(box_iou(boxes(found), boxes(truth)), RIGHT_IOU)
    kinds = {
        RIGHT: found[pairs.found],
        MISSED: np.delete(truth, pairs.truth),
        FALSE: np.delete(found, pairs.found),
    }
    return Verdict(observation.image.name, observation.image.path, kinds)


def save(
    folder: Path,
    observations: Sequence[Observation],
    min_score: float,
    advance: Callable[[], object] = lambda: None,
) -> None:
    """Write 001-<name>.jpg and so on, most errors first, and contact-sheet.jpg of the worst of them."""
    folder.mkdir(parents=True, exist_ok=True)
    verdicts = [judge(observation, min_score) for observation in observations]
    verdicts.sort(key=lambda verdict: (-verdict.wrong, verdict.name))
    digits = max(3, len(str(len(verdicts))))
    tiles = []
    for rank, verdict in enumerate(verdicts, 1):
        image = decode(verdict.path.read_bytes())
        name = re.sub(r"[^\w.-]+", "-", Path(verdict.name).stem)[:80]
        Image.fromarray(page(verdict, image)).save(folder / f"{rank:0{digits}}-{name}.jpg", quality=90)
        if rank <= MOST_TILES:
            tiles.append(tile(verdict, image, rank))
        advance()
    sheet = contact_sheet(tiles, verdicts)
    Image.fromarray(sheet).save(folder / "contact-sheet.jpg", quality=90)


def page(verdict: Verdict, image: Picture) -> Picture:
    """One image with its legend below."""
    drawn = draw(image, verdict.kinds, LONG_SIDE)
    if drawn.shape[1] < LEAST_WIDTH:
        drawn = np.pad(drawn, ((0, 0), (0, LEAST_WIDTH - drawn.shape[1]), (0, 0)))
    return np.vstack([drawn, legend(drawn.shape[1], verdict.name, verdict.counts)])


def tile(verdict: Verdict, image: Picture, rank: int) -> Picture:
    """A square with the image, its rank, its name and its counts: (TILE + LABEL, TILE, 3)."""
    square = Image.new("RGB", (TILE, TILE + LABEL), PAPER)
    drawn = draw(image, verdict.kinds, TILE)
    height, width = drawn.shape[:2]
    square.paste(Image.fromarray(drawn), ((TILE - width) // 2, (TILE - height) // 2))
    pen, font = ImageDraw.Draw(square), ImageFont.load_default(14)
    counts = "  ".join(f"{line.name} {count}" for line, count in verdict.counts.items())
    pen.text((4, TILE + 2), f"{rank}   {counts}", INK, font)
    pen.text((4, TILE + 20), fitted(pen, verdict.name, TILE - 8, font), INK, font)
    return np.array(square)


def contact_sheet(tiles: Sequence[Picture], verdicts: Sequence[Verdict]) -> Picture:
    """All tiles in rows, under a legend that counts the circles of all images."""
    columns = min(len(tiles), max(3, round(len(tiles) ** 0.5)))
    rows = -(-len(tiles) // columns)
    width = columns * (TILE + GAP) + GAP
    of = f"the {len(tiles)} worst of " if len(tiles) < len(verdicts) else ""
    counts = {line: sum(verdict.counts[line] for verdict in verdicts) for line in LINES}
    head = legend(width, f"{of}{len(verdicts)} images, worst first", counts)
    sheet = np.zeros((rows * (TILE + LABEL + GAP) + GAP, width, 3), np.uint8)
    for index, one in enumerate(tiles):
        top = GAP + index // columns * (TILE + LABEL + GAP)
        left = GAP + index % columns * (TILE + GAP)
        sheet[top : top + TILE + LABEL, left : left + TILE] = one
    return np.vstack([head, sheet])
