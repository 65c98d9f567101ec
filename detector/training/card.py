"""The scorer's files, and the card that says what it is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from detector.evaluation.bootstrap import Figure
from detector.evaluation.measures import Report, measure
from detector.evaluation.score import score
from detector.training.measure import Measured, recalibrated
from detector.v2 import fine, neighbours, network, propose
from detector.v2.model import MIN_SCORE

LIBRARIES = ("lightgbm", "numba", "numpy", "opencv-contrib-python-headless", "scipy")

COLUMNS = (
    "set", "images", "circles", "precision .5", "recall .5", "F1 .5", "F1 .7", "F1 .9", "AP .5:.95",
    "count error", "calibration error",
)  # fmt: skip


def write(
    folder: Path, nodes: NDArray[np.void], slope: float, offset: float, sets: Sequence[Measured], scenes: int
) -> None:
    """Write scorer.npy, scorer.json and scorer.md."""
    np.save(folder / "scorer.npy", nodes)
    facts = {
        "slope": round(slope, 4),
        "offset": round(offset, 4),
        "features": [*propose.NAMES, *fine.NAMES, *neighbours.NAMES],
        "scenes": scenes,
    }
    (folder / "scorer.json").write_text(json.dumps(facts, indent=1) + "\n")
    reports = [
        measure(m.name, "circles:2", score(recalibrated(m, slope, offset).observations, MIN_SCORE))
        for m in sets
    ]
    digest = hashlib.sha256((folder / "scorer.npy").read_bytes()).hexdigest()
    (folder / "scorer.md").write_text(card(reports, digest, scenes, len(nodes)))


def card(reports: Sequence[Report], digest: str, scenes: int, nodes: int) -> str:
    """The card's text, Markdown."""
    rows = "\n".join(row(report) for report in reports)
    libraries = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    return f"""# The scorer of circles:2

Two stages of gradient-boosted trees ({nodes:,} nodes) that say how likely a candidate is a circle. The
first sees the candidate alone, the second also the first's scores of what stands around it.

- Trained on {scenes:,} rendered scenes (`detector/scenes`), and on the photographs of the annotated sets
  below except blood-cells, where most cells have no annotation.
- Trained by `python -m detector.training --data FOLDER --scenes {scenes}`; a folder holds a COCO folder for
  each set.
- The network whose word it weighs has SHA-256 `{hashlib.sha256(network.FILE.read_bytes()).hexdigest()}`
  and has its own card, [network.md](network.md).
- scorer.npy has SHA-256 `{digest}`,
  and comes out the same again with {libraries}
  on the same kind of processor (OpenCV and LLVM choose their instructions by it).

## What it reaches on what it was not trained on

Each set was left out of training altogether for its own row; box IoU, score from {MIN_SCORE}, 95 % intervals
from resampled images. Of blood-cells only the recall says anything. One logistic calibration serves all rows;
it was fitted on these left-out results of all rows except blood-cells, photographs nine times scenes.

| {" | ".join(COLUMNS)} |
|{"---|" * len(COLUMNS)}
{rows}

Scores are probabilities by a logistic curve: of circles with a score near .8 about 80 % should be right at
IoU .5.
"""


def row(report: Report) -> str:
    """A set's row under COLUMNS."""
    figures = [
        report.precision["0.5"], report.recall["0.5"], report.f1["0.5"], report.f1["0.7"], report.f1["0.9"],
        report.ap["box"]["0.5:0.95"], report.count_error, report.calibration_error,
    ]  # fmt: skip
    cells = [report.name, report.images, report.annotated, *map(told, figures)]
    return "| " + " | ".join(map(str, cells)) + " |"


def told(figure: Figure) -> str:
    if not np.isfinite(figure.low):
        return f"{figure.value:.3f}"
    return f"{figure.value:.3f} ({figure.low:.2f} to {figure.high:.2f})"
