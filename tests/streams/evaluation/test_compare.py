"""Versions compared on a real view say what plain loops over the same circles say."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from streams import lake
from streams.errors import NothingToCompare
from streams.evaluation import reading
from streams.evaluation.compare import compare, parts
from streams.evaluation.comparison import Comparison
from streams.evaluation.images import Rule
from streams.evaluation.summary import summarise
from streams.evaluation.version import resolve
from tests.examples import MOMENT
from tests.lakes import fresh
from tests.streams.evaluation.views import Seen, ids, make, obvious


@dataclass(frozen=True)
class World:
    view: duckdb.DuckDBPyConnection
    seen: list[Seen]
    before: int
    now: int

    def compare(self, a: str, b: str, rule: Rule = Rule(), **more: Any) -> Comparison:  # noqa: B008
        at, worst, filters = more.pop("at", self.now), more.pop("worst", 5), more
        known = reading.known(self.view, at)
        return compare(self.view, at, resolve(a, known), resolve(b, known), rule, filters, worst=worst)


@pytest.fixture(scope="module")
def world(catalogs: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    settings = fresh(catalogs, tmp_path_factory.mktemp("compared"))
    made = make(settings)
    with lake.connect(settings, read_only=True) as view:
        yield World(view, *made)


def check(comparison: Comparison, expected: dict[str, Any]) -> None:
    """All figures, and the images they lead to."""
    groups, changes = expected["groups"], expected["changes"]
    said: dict[Any, Any] = {"all": comparison.counts}
    said |= {("source", row.source): row for row in comparison.by_source}
    said |= {("hour", row.hour): row for row in comparison.by_hour}
    said |= {("band", row.from_px): row for row in comparison.by_radius}
    assert said.keys() == groups.keys()
    for key, row in said.items():
        figures = asdict(row)
        for name, count in groups[key].items():
            if name == "worst":
                assert figures["worst_image"] == count[2], key
            else:
                assert figures[name] == count, (key, name)
    spreads = (comparison.shift_px, comparison.radius_change_px, comparison.score_change)
    for spread, pairs in zip(spreads, changes.values(), strict=True):
        values = [value for value, _ in pairs]
        median, p90, most = np.quantile(np.abs(values), [0.5, 0.9, 1]).tolist()
        right = {"median": median, "p90": p90, "max": most, "mean": np.mean(values)}
        assert spread is not None
        told = asdict(spread)
        assert (told.pop("max_image"), most) in [(image, pytest.approx(abs(v))) for v, image in pairs]
        assert told == pytest.approx(right, abs=1e-6)
    changed = [(id_, counts) for *_, id_, counts in expected["images"] if _changed(counts)]
    assert [image.image_id for image in comparison.worst] == [id_ for id_, _ in changed[:5]]
    for image, (_, counts) in zip(comparison.worst, changed, strict=False):
        told = asdict(image)
        assert {name: told[name] for name in ("a_circles", "b_circles", "gained", "lost", "moved")} == {
            name: count for name, count in counts.items() if name != "matched"
        }
    assert comparison.share_unchanged == groups["all"]["unchanged"] / groups["all"]["images"]


def _changed(counts: dict[str, int]) -> bool:
    return bool(counts["gained"] or counts["lost"] or counts["moved"])


def test_all_figures_are_those_of_plain_loops(world: World) -> None:
    comparison = world.compare("circles:1", "circles:2")
    expected = obvious(world.seen, "1", "2")
    check(comparison, expected)
    everything = expected["groups"]["all"]
    assert 0 not in everything.values() and everything["moved"] < everything["matched"]
    assert len(comparison.by_radius) > 4
    only_a = ids(image for image in world.seen if "1" in image.found and "2" not in image.found)
    only_b = ids(image for image in world.seen if "2" in image.found and "1" not in image.found)
    assert (comparison.only_a, comparison.only_a_images) == (len(only_a), only_a[:5])
    assert (comparison.only_b, comparison.only_b_images) == (len(only_b), only_b[:5])
    assert comparison.snapshot == world.now


def test_the_other_way_round_gained_is_lost(world: World) -> None:
    one, other = world.compare("circles:1", "circles:2"), world.compare("circles:2", "circles:1")
    assert (one.counts.gained, one.counts.lost) == (other.counts.lost, other.counts.gained)
    assert one.shift_px == other.shift_px
    check(other, obvious(world.seen, "2", "1"))


@pytest.mark.parametrize("moved_px", [0, 0.5, 2])
def test_what_counts_as_moved_may_be_said(world: World, moved_px: float) -> None:
    comparison = world.compare("circles:1", "circles:2", Rule(moved_px=moved_px))
    check(comparison, obvious(world.seen, "1", "2", Rule(moved_px=moved_px)))


SINCE, UNTIL = MOMENT + timedelta(minutes=9 * 20), MOMENT + timedelta(minutes=9 * 40)


@pytest.mark.parametrize(
    ("filters", "passes"),
    [
        ({"source": "camera 1"}, lambda upload: upload.source_id == "camera 1"),
        ({"project": "other"}, lambda upload: upload.project_id == "other"),
        ({"since": SINCE}, lambda upload: upload.uploaded_at >= SINCE),
        ({"until": UNTIL}, lambda upload: upload.uploaded_at < UNTIL),
        (
            {"since": SINCE, "until": UNTIL, "source": "camera 2"},
            lambda upload: SINCE <= upload.uploaded_at < UNTIL and upload.source_id == "camera 2",
        ),
    ],
)
def test_filters_choose_images(world: World, filters: dict[str, Any], passes: Callable[[Any], bool]) -> None:
    chosen = [image for image in world.seen if passes(image.upload)]
    assert 0 < len(chosen) < len(world.seen)
    comparison = world.compare("circles:1", "circles:2", **filters)
    check(comparison, obvious(chosen, "1", "2"))
    assert comparison.filters == filters


@pytest.mark.parametrize("least", [0.5, 0.7, 1])
def test_a_least_score_needs_no_model(world: World, least: float) -> None:
    """Scores are kept in 32 bits: one of .7 is no less than .7."""
    comparison = world.compare("circles:1", f"circles:2+min_score={least}")
    assert (comparison.a, comparison.b) == ("circles:1", f"circles:2+min_score={least:g}")
    expected = obvious(world.seen, "1", "2", least=least)
    if least < 1:
        check(comparison, expected)
    assert comparison.counts.b_circles == expected["groups"]["all"]["b_circles"]
    assert comparison.counts.b_circles < world.compare("circles:1", "circles:2").counts.b_circles


def test_without_matched_circles_there_is_no_spread(world: World) -> None:
    comparison = world.compare("circles:1", "circles:2+min_score=1")
    assert (comparison.counts.matched, comparison.shift_px, comparison.score_change) == (0, None, None)


def test_a_version_is_the_same_as_itself(world: World) -> None:
    comparison = world.compare("circles:2", "circles:2")
    assert (comparison.counts.changed, comparison.share_unchanged, comparison.worst) == (0, 1, [])
    assert comparison.counts.matched == comparison.counts.a_circles == comparison.counts.b_circles > 0
    assert (comparison.only_a, comparison.only_b) == (0, 0)


@pytest.mark.parametrize("rule", [Rule(0.9), Rule(0.9, "box"), Rule(0.05, "box")])
def test_what_overlaps_and_how_much_may_be_said(world: World, rule: Rule) -> None:
    comparison = world.compare("circles:1", "circles:2", rule)
    check(comparison, obvious(world.seen, "1", "2", rule))
    assert comparison.counts.matched != world.compare("circles:1", "circles:2").counts.matched


def test_a_comparison_is_of_its_snapshot(world: World) -> None:
    early = world.compare("circles:1", "circles:2", at=world.before)
    check(early, obvious(world.seen[:-10], "1", "2"))
    assert early.only_a > world.compare("circles:1", "circles:2").only_a


def test_any_chunks_say_the_same(world: World) -> None:
    a, b = (resolve(text, reading.known(world.view, world.now)) for text in ("circles:1", "circles:2"))
    reading.choose(world.view, world.now, a, b, {})
    whole = [*parts(world.view, world.now, a, b, Rule())]
    several = [*parts(world.view, world.now, a, b, Rule(), at_once=15)]
    single = [*parts(world.view, world.now, a, b, Rule(), at_once=1)]
    assert len(whole) == 1 < len(several) < len(single) == len(whole[0].images)
    assert summarise(whole, 5) == summarise(several, 5) == summarise(single, 5)
    assert pa.concat_tables([part.images for part in several]) == whole[0].images
    assert whole[0].images["image_id"].type == pa.uuid()


@pytest.mark.parametrize(
    ("a", "b", "filters", "said"),
    [
        ("1", "3", {}, r"no image in common: circles:1 has looked at 52, circles:3 at 8 others"),
        ("1", "3", {"source": "camera 1"}, r"no image in common \(source camera 1\): circles:1 has looked"),
        ("1", "2", {"source": "nobody"}, r"neither .* passes the filters \(source nobody\)"),
        ("1", "2", {"source": "' OR true --"}, r"neither circles:1 nor circles:2 has looked at an image"),
    ],
)  # fmt: skip
def test_nothing_to_compare_is_said(world: World, a: str, b: str, filters: dict[str, Any], said: str) -> None:
    with pytest.raises(NothingToCompare, match=said):
        world.compare(f"circles:{a}", f"circles:{b}", **filters)
