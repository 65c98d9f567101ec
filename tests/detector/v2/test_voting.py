"""Planted edge points are found as circles, textures are not."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from detector.v2 import edges, voting
from detector.v2.compiled import Floats
from tests.detector.v2.drawing import disc, drawn

WIDTH, HEIGHT = 320, 240
PLANTED = [(80.0, 90.0, 9.0), (200.0, 120.0, 40.0), (160.0, 110.0, 100.0), (310.0, 60.0, 30.0)]


def rim(x: float, y: float, radius: float, sign: float = 1.0) -> Floats:
    """Edge points (4, n) of a circle; sign -1: darker outside."""
    turn = np.arange(0, 2 * np.pi, 0.7 / radius)
    c, s = np.cos(turn), np.sin(turn)
    points = np.stack([x + radius * c, y + radius * s, sign * c, sign * s]).astype(np.float32)
    inside = (points[0] >= 0) & (points[0] < WIDTH) & (points[1] >= 0) & (points[1] < HEIGHT)
    return points[:, inside]


def found(points: Floats, most: int = 50) -> Floats:
    x, y, nx, ny = (np.ascontiguousarray(row) for row in points)
    return voting.seeds(x, y, nx, ny, WIDTH, HEIGHT, most)


def near(seeds: Floats, x: float, y: float, radius: float) -> NDArray[np.bool_]:
    distance = np.hypot(seeds[:, voting.X] - x, seeds[:, voting.Y] - y)
    alike = np.abs(np.log(seeds[:, voting.RADIUS] / radius)) < 0.12
    return np.asarray(alike & (distance < 0.12 * radius + 2))


def test_planted_circles_are_found() -> None:
    points = np.concatenate([rim(*circle, sign=(-1) ** n) for n, circle in enumerate(PLANTED)], axis=1)
    seeds = found(points)
    for circle in PLANTED:
        assert near(seeds, *circle).any(), circle
    assert near(seeds[:1], *PLANTED[1]).any() or seeds[0, voting.DIRECTIONS] > 0.9


def test_seeds_come_best_first_and_apart() -> None:
    seeds = found(np.concatenate([rim(*circle) for circle in PLANTED], axis=1))
    assert (np.diff(seeds[:, voting.DIRECTIONS]) <= 0).all()
    assert (seeds[:, voting.DIRECTIONS] >= voting.LEAST / voting.SECTORS).all()
    for n, seed in enumerate(seeds):
        offsets = np.abs(seeds[:n, :3] - seed[:3]).max(axis=1)
        assert (offsets >= 0.99 * voting.APART * seeds[:n, voting.RADIUS]).all()
    assert len(found(rim(*PLANTED[1]), most=3)) <= 3


def test_a_third_of_a_rim_is_no_circle_and_no_points_are_none() -> None:
    points = rim(160, 120, 50)
    assert not near(found(points[:, : points.shape[1] // 3]), 160, 120, 50).any()
    assert found(points[:, :0]).shape == (0, 4)


def test_votes_of_a_texture_come_from_few_directions() -> None:
    random = np.random.default_rng(0)
    turn = np.full(4000, 0.3) + np.pi * random.integers(0, 2, 4000)
    place = random.uniform(0, (WIDTH, HEIGHT), (4000, 2)).T
    assert len(found(np.stack([*place, np.cos(turn), np.sin(turn)]).astype(np.float32))) == 0


def test_edge_points_lie_on_the_rim_to_parts_of_a_pixel() -> None:
    small = edges.picture(drawn([disc(160.5, 120.5, 60)], WIDTH, HEIGHT, grain=1))
    x, y, nx, ny = edges.thin(small.gradient, small.ratio, 6000)
    distance = np.hypot(x - 160, y - 120)
    on_rim = np.abs(distance - 60) < 3
    assert on_rim.sum() > 250
    assert np.abs(distance[on_rim] - 60).mean() < 0.35
    inwards = -((x - 160) * nx + (y - 120) * ny) / distance
    assert (inwards[on_rim] > 0.9).mean() > 0.95


def test_no_more_edge_points_than_asked_for() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    small = edges.picture(noise)
    few, many = (edges.thin(small.gradient, small.ratio, most).shape[1] for most in (300, 3000))
    assert 0 < few <= 3 * 300
    assert few < many
