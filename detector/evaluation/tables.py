"""A report as tables for people."""

from __future__ import annotations

import math

from rich.console import Group, RenderableType
from rich.table import Column, Table

from detector.evaluation.bootstrap import Figure
from detector.evaluation.measures import ByIou, Report
from detector.evaluation.score import THRESHOLDS


def tables(report: Report, latency_of: str) -> RenderableType:
    """Three tables: agreement by IoU, everything else, calibration. latency_of: what was timed."""
    return Group(agreement_table(report), errors_table(report, latency_of), calibration_table(report))


def agreement_table(report: Report) -> Table:
    counts = f"{report.images} images, {report.annotated} annotated, {report.found} found"
    table = Table(
        "box IoU of at least",
        *(Column(f"{threshold:g}", justify="right") for threshold in THRESHOLDS),
        title=f"\n{report.name}: {report.model}, {counts}",
        title_justify="left",
        caption="below each value its 95 % interval",
        caption_justify="left",
    )
    rows: dict[str, ByIou] = {
        "precision": report.precision, "recall": report.recall, "F1": report.f1, "Jaccard": report.jaccard,
        "F1 by circle IoU": report.circle.f1,
    }  # fmt: skip
    for name, by_iou in rows.items():
        table.add_row(name, *(shown(figure, "\n") for figure in by_iou.values()))
    return table


def errors_table(report: Report, latency_of: str) -> Table:
    table = Table("measure", Column("value", justify="right"))
    for name, by_iou in report.ap.items():
        for iou, figure in by_iou.items():
            table.add_row(f"average precision, {name} IoU {iou}", shown(figure))
    table.add_row("count error, mean per image", shown(report.count_error))
    for name, spread in (("centre", report.centre_error_px), ("radius", report.radius_error_px)):
        table.add_row(f"{name} error, median, px", shown(spread.median))
        table.add_row(f"{name} error, mean, px", shown(spread.mean))
    table.add_row("calibration error", shown(report.calibration_error))
    table.add_row(f"latency p50, ms ({latency_of})", shown(report.latency_ms.p50))
    table.add_row(f"latency p99, ms ({latency_of})", shown(report.latency_ms.p99))
    return table


def calibration_table(report: Report) -> Table:
    names = ("circles", "mean score", "share right")
    table = Table("score", *(Column(name, justify="right") for name in names))
    for row in report.calibration:
        if row.circles:
            means = (f"{row.score:.2f}", f"{row.right:.2f}")
            table.add_row(f"{row.low:.1f} to {row.high:.1f}", str(row.circles), *means)
    return table


def shown(figure: Figure, between: str = "  ") -> str:
    """The value, then its interval where it has one: `0.912  0.88-0.94`."""
    if math.isnan(figure.value):
        return "-"
    digits = 3 if figure.value <= 1 else 2 if figure.value < 10 else 1
    value = f"{figure.value:.{digits}f}"
    if math.isnan(figure.low):
        return value
    return f"{value}{between}{figure.low:.{min(digits, 2)}f}-{figure.high:.{min(digits, 2)}f}"
