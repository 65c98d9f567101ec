"""All measures of a set of scored images, each with its interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from detector.circles import FloatArray
from detector.evaluation.average_precision import Ranked, average_precision
from detector.evaluation.bootstrap import Figure, Statistic, estimate, quantiles, ratio
from detector.evaluation.score import BIN_EDGES, THRESHOLDS, ImageScore

ByIou = dict[str, Figure]
"""Figures by IoU: "0.3", "0.5", ..."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """Found and true circles one to one. Jaccard is right / (right + false + missed)."""

    precision: ByIou
    recall: ByIou
    f1: ByIou
    jaccard: ByIou


@dataclass(frozen=True, slots=True)
class Spread:
    median: Figure
    mean: Figure


@dataclass(frozen=True, slots=True)
class Latency:
    p50: Figure
    p99: Figure


@dataclass(frozen=True, slots=True)
class Bin:
    """Circles with a score from `low` on and below `high`: their mean score, the share that is right."""

    low: float
    high: float
    circles: int
    score: float
    right: float


@dataclass(frozen=True, slots=True)
class Report:
    """The measures of a model on a set of images, by box IoU where not said otherwise."""

    name: str
    model: str
    images: int
    annotated: int
    found: int
    precision: ByIou
    recall: ByIou
    f1: ByIou
    jaccard: ByIou
    circle: Agreement
    ap: dict[str, ByIou]
    count_error: Figure
    centre_error_px: Spread
    radius_error_px: Spread
    calibration_error: Figure
    calibration: tuple[Bin, ...]
    latency_ms: Latency


def measure(name: str, model: str, images: Sequence[ImageScore]) -> Report:
    """The report of these images. Circles are compared one to one (see `matching.match`)."""
    by_box = agreement(images, np.array([image.box_hits for image in images]))
    return Report(
        name=name,
        model=model,
        images=len(images),
        annotated=sum(image.annotated for image in images),
        found=sum(image.found for image in images),
        precision=by_box.precision,
        recall=by_box.recall,
        f1=by_box.f1,
        jaccard=by_box.jaccard,
        circle=agreement(images, np.array([image.circle_hits for image in images])),
        ap={
            "box": precision_by_recall(images, [image.box_rank for image in images]),
            "circle": precision_by_recall(images, [image.circle_rank for image in images]),
        },
        count_error=count_error(images),
        centre_error_px=spread([image.centre_error_px for image in images]),
        radius_error_px=spread([image.radius_error_px for image in images]),
        calibration_error=calibration_error(images),
        calibration=calibration(images),
        latency_ms=latency(images),
    )


def agreement(images: Sequence[ImageScore], hits: FloatArray) -> Agreement:
    """hits: (images, thresholds)."""
    figures = estimate(of_hits(images, hits), len(images))
    names = [str(threshold) for threshold in THRESHOLDS]
    rows = [figures[at : at + len(names)] for at in range(0, len(figures), len(names))]
    return Agreement(*(dict(zip(names, row, strict=True)) for row in rows))


def of_hits(images: Sequence[ImageScore], hits: FloatArray) -> Statistic:
    """Precision, recall, F1 and Jaccard, each at all THRESHOLDS. hits: (images, thresholds)."""
    found = np.array([[image.found] for image in images])
    annotated = np.array([[image.annotated] for image in images])

    def statistic(weights: FloatArray) -> FloatArray:
        right, of_found, of_annotated = weights @ hits, weights @ found, weights @ annotated
        return np.hstack(
            [
                ratio(right, of_found),
                ratio(right, of_annotated),
                ratio(2 * right, of_found + of_annotated),
                ratio(right, of_found + of_annotated - right),
            ]
        )

    return statistic


def precision_by_recall(images: Sequence[ImageScore], ranks: Sequence[Ranked]) -> ByIou:
    cells = sum(len(ranked.score) for ranked in ranks)
    figures = estimate(of_ranks(images, ranks), len(images), cells)
    return dict(zip(("0.5", "0.5:0.95"), figures, strict=True))


def of_ranks(images: Sequence[ImageScore], ranks: Sequence[Ranked]) -> Statistic:
    """Average precision at IoU .5, and on average from .5 to .95."""
    annotated = np.array([image.annotated for image in images])

    def statistic(weights: FloatArray) -> FloatArray:
        by_iou = average_precision(ranks, annotated, weights)
        return np.stack([by_iou[:, 0], by_iou.mean(axis=1)], axis=1)

    return statistic


def count_error(images: Sequence[ImageScore]) -> Figure:
    """How far the number of circles found in an image is from the true one, on average."""
    return estimate(of_counts(images), len(images))[0]


def of_counts(images: Sequence[ImageScore]) -> Statistic:
    error = np.array([[abs(image.found - image.annotated)] for image in images])
    return lambda weights: weights @ error / weights.sum(axis=1, keepdims=True)


def spread(errors: Sequence[FloatArray]) -> Spread:
    """errors: for each image those of its pairs."""
    return Spread(*estimate(of_errors(errors), len(errors), sum(map(len, errors))))


def of_errors(errors: Sequence[FloatArray]) -> Statistic:
    """Their median and their mean. errors: for each image those of its pairs."""
    of_image = np.repeat(np.arange(len(errors)), [len(error) for error in errors])
    values = np.concatenate(errors)

    def statistic(weights: FloatArray) -> FloatArray:
        of_pair = weights[:, of_image]
        mean = ratio(of_pair @ values, of_pair.sum(axis=1))
        return np.column_stack([quantiles(values, of_pair, (0.5,)), mean])

    return statistic


def binned(image: ImageScore) -> FloatArray:
    """(3, bins): circles, sum of their scores, and how many are right."""
    into = np.clip(np.searchsorted(BIN_EDGES, image.score, side="right") - 1, 0, len(BIN_EDGES) - 2)
    columns = (None, image.score, image.right)
    return np.stack([np.bincount(into, column, len(BIN_EDGES) - 1) for column in columns])


def calibration_error(images: Sequence[ImageScore]) -> Figure:
    """Expected calibration error: how far scores are from the share of circles of that score that
    are right, over ten bins weighted by their circles (Naeini, Cooper and Hauskrecht, AAAI 2015)."""
    return estimate(of_bins(images), len(images))[0]


def of_bins(images: Sequence[ImageScore]) -> Statistic:
    bins = np.stack([binned(image) for image in images], axis=1)

    def statistic(weights: FloatArray) -> FloatArray:
        circles, score, right = weights @ bins
        return ratio(np.abs(right - score).sum(axis=1), circles.sum(axis=1))[:, None]

    return statistic


def calibration(images: Sequence[ImageScore]) -> tuple[Bin, ...]:
    circles, score, right = np.sum([binned(image) for image in images], axis=0)
    columns = (BIN_EDGES[:-1], BIN_EDGES[1:], circles, ratio(score, circles), ratio(right, circles))
    rows = np.column_stack(columns).tolist()
    return tuple(Bin(round(low, 1), round(high, 1), int(n), *means) for low, high, n, *means in rows)


def latency(images: Sequence[ImageScore]) -> Latency:
    values = np.array([image.latency_ms for image in images])
    return Latency(*estimate(lambda weights: quantiles(values, weights, (0.5, 0.99)), len(images)))
