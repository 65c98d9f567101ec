"""Figures: what was measured over several rounds, what a ratio is a ratio to, how they are shown and kept."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

import numpy as np
import orjson
from rich.console import Console
from rich.table import Table

OUT = Path("bench/out").absolute()
PACKAGES = (
    "aiohttp", "aiokafka", "confluent-kafka", "duckdb", "fastapi", "fastavro", "faust-streaming", "numpy",
    "opencv-contrib-python-headless", "psycopg", "pyarrow", "uvicorn", "uvloop",
)  # fmt: skip
Say = Callable[[str], None]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured figure. `ratio_to` names the figure that a ratio's rounds were divided by."""

    name: str
    unit: str
    value: float
    min: float
    max: float
    rounds: int
    ratio_to: str | None = None


def median(name: str, unit: str, rounds: Sequence[float]) -> Figure:
    """The median of what the rounds measured."""
    return Figure(name, unit, statistics.median(rounds), min(rounds), max(rounds), len(rounds))


def ratio(name: str, ours: Sequence[float], limit: Sequence[float], to: str) -> Figure:
    """The median of the rounds' ratios: a spell in which the machine is busy slows both of a round."""
    rounds = [a / b for a, b in zip(ours, limit, strict=True)]
    return Figure(name, "ratio", statistics.median(rounds), min(rounds), max(rounds), len(rounds), to)


def percentile(name: str, unit: str, percent: float, rounds: Sequence[Sequence[float]]) -> Figure:
    """A percentile over the samples of all rounds; min and max are those of single rounds."""
    each = [float(np.percentile(samples, percent)) for samples in rounds]
    over_all = float(np.percentile(np.concatenate(rounds), percent))
    return Figure(f"{name}, p{percent:g}", unit, over_all, min(each), max(each), len(each))


def interleaved(rounds: int, cases: Mapping[str, Callable[[], T]], say: Say) -> dict[str, list[T]]:
    """What each case gave, by round: in a round each runs once, in turn to and fro.

    So what changes over time on a shared machine falls on all cases alike.
    """
    found: dict[str, list[T]] = {name: [] for name in cases}
    for number in range(rounds):
        for name in list(cases) if number % 2 == 0 else list(cases)[::-1]:
            say(f"round {number + 1} of {rounds}: {name}")
            found[name].append(cases[name]())
    return found


def show(benchmark: str, figures: Iterable[Figure], console: Console) -> None:
    """Print the figures as a table."""
    table = Table("figure", "median", "min", "max", "unit", title=benchmark, title_justify="left")
    for column in table.columns[1:4]:
        column.justify = "right"
    for f in figures:
        unit = f"x {f.ratio_to}" if f.ratio_to else f.unit
        table.add_row(f.name, *map(_short, (f.value, f.min, f.max)), unit)
    console.print(table)


def keep(benchmark: str, figures: Iterable[Figure], took_s: float) -> Path:
    """Write the figures to `bench/out/<benchmark>.json`; returns that file."""
    report = {
        "benchmark": benchmark,
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "took_s": round(took_s, 1),
        "machine": machine(),
        "figures": [asdict(figure) for figure in figures],
    }
    OUT.mkdir(parents=True, exist_ok=True)
    file = OUT / f"{benchmark}.json"
    file.write_bytes(orjson.dumps(report, option=orjson.OPT_INDENT_2))
    return file


def machine() -> dict[str, object]:
    """What the figures depend on, without anything that tells whose machine it is."""
    return {
        "cores": os.cpu_count(),
        "load_1min": round(os.getloadavg()[0], 1),
        "system": platform.system(),
        "architecture": platform.machine(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in PACKAGES},
    }


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2g}"
