"""What the stages' positions mean, in words: who is behind, by how much, and what will not mend by itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from streams.progress import Position
from streams.topics import UPLOADED

UNMOVED = timedelta(seconds=5)
"""A message that waits so long, with nothing committed since it came, is not only on its way."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage and where it is. unit: what a message of it is; members: of its group, None if not known."""

    name: str
    unit: str
    group: str
    members: int | None
    positions: Sequence[Position]

    @property
    def lag(self) -> int:
        return sum(position.lag for position in self.positions)


@dataclass(frozen=True, slots=True)
class Report:
    """A look at all of it. watermarks: by partition of the uploads; none, and no commit, without a view."""

    at: datetime
    detect: Stage
    materialize: Stage
    watermarks: Mapping[int, int] = field(default_factory=dict)
    last_commit: datetime | None = None

    @property
    def stages(self) -> tuple[Stage, Stage]:
        return self.detect, self.materialize


def oldest(positions: Sequence[Position]) -> datetime | None:
    """When the oldest message came that waits; None where nothing waits or Kafka does not say."""
    return min((p.since for p in positions if p.since), default=None)


def sentence(report: Report) -> str:
    """Which stage is behind, the one whose oldest message is older first, or that nothing waits."""
    behind = sorted(
        (stage for stage in report.stages if stage.lag),
        key=lambda stage: oldest(stage.positions) or report.at,
    )
    return "; ".join(_behind(stage, report.at) for stage in behind) or "nothing waits"


def _behind(stage: Stage, now: datetime) -> str:
    since = oldest(stage.positions)
    units = stage.unit if stage.lag == 1 else f"{stage.unit}s"
    waits = f", the oldest waits {span((now - since).total_seconds())}" if since else ""
    return f"{stage.name} is behind: {stage.lag:,} {units}{waits}"


def notes(report: Report) -> Iterator[str]:
    """What is known beyond numbers: a stage that does not run, and what will not mend by itself."""
    for stage in report.stages:
        if stage.members == 0:
            yield f"{stage.name} does not run: the consumer group {stage.group} has no members"
    since = oldest(report.materialize.positions)
    if report.last_commit is None:
        yield "there is no view yet, or one of an earlier version: materialize makes it when it starts"
    elif since and report.at - since > UNMOVED and report.last_commit < since:
        ago = span((report.at - report.last_commit).total_seconds())
        yield (
            f"materialize does not advance: the view's last commit was {ago} ago, before the oldest message"
            " came that waits"
        )
    for stage in report.stages:
        yield from (
            _not_of_this_log(stage.name, p) for p in stage.positions if not p.begin <= p.done <= p.end
        )
    yield from _passed_by(report)


def _not_of_this_log(stage: str, position: Position) -> str:
    where = f"{position.topic}[{position.partition}]"
    goes_on = f"but {stage} goes on at {position.done:,}"
    if position.done < position.begin:
        return f"{where} begins at {position.begin:,}, {goes_on}: messages were deleted before they were done"
    return f"{where} ends at {position.end:,}, {goes_on}: the topic was deleted and made anew"


def _passed_by(report: Report) -> Iterator[str]:
    """Uploads that the detect stage has behind it, and of which there is no outcome on the log."""
    if any(p.lag for p in report.materialize.positions if p.topic != UPLOADED.name):
        return
    folded = {p.partition: p.done for p in report.materialize.positions if p.topic == UPLOADED.name}
    for position in report.detect.positions:
        watermark = report.watermarks.get(position.partition)
        if watermark is not None and watermark < min(position.done, folded[position.partition]):
            where = f"{position.topic}[{position.partition}]"
            yield (
                f"{where} has an upload at {watermark:,} with neither detection nor dead letter, though"
                " detect has passed it: it stays pending until it is sent again"
            )


def span(seconds: float) -> str:
    """A time as one number: 0.4 s, 14 s, 5 min, 3.2 h, 2.5 days."""
    if seconds < 0.05:
        return "0 s"
    if seconds < 120:
        return f"{seconds:.0f} s" if seconds >= 1 else f"{seconds:.1f} s"
    if seconds < 7_200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3_600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:.1f} days"
