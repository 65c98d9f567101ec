"""Paths through unwrapped rims, and the ellipses that they make."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.v2 import paths
from detector.v2.compiled import Floats

ANGLES, RINGS = 32, 25
LOW, STEP = np.float32(0.8), np.float32(0.4 / (RINGS - 1))


def around(r0: float, dx: float = 0, dy: float = 0, e1: float = 0, e2: float = 0) -> Floats:
    """A path (ANGLES,) of these harmonics."""
    t = np.arange(ANGLES) * 2 * np.pi / ANGLES
    path = r0 + dx * np.cos(t) + dy * np.sin(t) + e1 * np.cos(2 * t) + e2 * np.sin(2 * t)
    return path.astype(np.float32)


def fitted(path: Floats, weight: Floats, give: float = 0.0) -> tuple[Floats, float]:
    """Harmonics, and what the path is off them."""
    room = paths.room(ANGLES, RINGS)
    room.path[:], room.weight[:] = path, weight
    residual = paths.fit(np.float32(1.5) * STEP, np.float32(give), room)
    return room.harmonics, float(residual)


bend = st.floats(-0.1, 0.1)


@given(r0=st.floats(0.8, 1.2), dx=bend, dy=bend, e1=bend, e2=bend)
def test_fit_recovers_harmonics(r0: float, dx: float, dy: float, e1: float, e2: float) -> None:
    known = (r0, dx, dy, e1, e2)
    found, residual = fitted(around(*known), np.ones(ANGLES, np.float32))
    np.testing.assert_allclose(found, known, atol=2e-3)
    assert residual < 1e-3


def test_fit_forgets_where_the_path_left_the_rim() -> None:
    known = np.array([1.02, 0.03, -0.02, 0, 0])
    path = around(*known)
    path[5:9] += np.float32(0.15)
    found, _ = fitted(path, np.ones(ANGLES, np.float32))
    np.testing.assert_allclose(found, known, atol=0.012)
    assert abs(path.mean() - known[0]) > 0.018, "what a fit that forgets nothing would say"


def test_fit_does_not_look_where_the_weight_is_nought() -> None:
    known = (0.95, 0.02, 0.01, 0.03, 0)
    path, weight = around(*known), np.ones(ANGLES, np.float32)
    path[:6], weight[:6] = 2, 0
    np.testing.assert_allclose(fitted(path, weight)[0], known, atol=5e-3)


def test_what_holds_back_a_fit_keeps_it_round() -> None:
    path = around(1, e1=0.05)
    weight = np.full(ANGLES, 0.01, np.float32)
    assert abs(fitted(path, weight, give=0.5)[0][3]) < 0.5 * fitted(path, weight)[0][3]


def outline(ellipse: Floats, angles: int = 720) -> Floats:
    """Points (n, 2) on an ellipse."""
    x, y, a, b, turn = ellipse.astype(float)
    t = np.linspace(0, 2 * np.pi, angles, endpoint=False)
    u, v = a * np.cos(t), b * np.sin(t)
    points = np.stack([x + u * np.cos(turn) - v * np.sin(turn), y + u * np.sin(turn) + v * np.cos(turn)], 1)
    return np.asarray(points, np.float32)


def off(points: Floats, ellipse: Floats) -> float:
    """The most that points (n, 2) are off an ellipse, in its radii."""
    x, y, a, b, turn = ellipse.astype(float)
    dx, dy = points[:, 0] - x, points[:, 1] - y
    u, v = dx * np.cos(turn) + dy * np.sin(turn), dy * np.cos(turn) - dx * np.sin(turn)
    return float(np.abs(np.hypot(u / a, v / b) - 1).max())


@given(
    a=st.floats(10, 100), ratio=st.floats(0.5, 1), turn=st.floats(-1.5, 1.5),
    r0=st.floats(0.9, 1.1), dx=bend, dy=bend, e1=st.floats(-0.05, 0.05), e2=st.floats(-0.05, 0.05),
)  # fmt: skip
def test_compose_is_the_ellipse_through_the_harmonics(
    a: float, ratio: float, turn: float, r0: float, dx: float, dy: float, e1: float, e2: float
) -> None:
    """Its outline, seen from the old one's frame, is (dx, dy) + (r0 + E) u for unit vectors u."""
    old = np.array([200, 150, a, a * ratio, turn], np.float32)
    new = np.empty(5, np.float32)
    paths.compose(old, np.array([r0, dx, dy, e1, e2], np.float32), new)
    t = np.linspace(0, 2 * np.pi, 90)
    u = np.stack([np.cos(t), np.sin(t)])
    inner = np.array([[dx], [dy]]) + (r0 * np.eye(2) + np.array([[e1, e2], [e2, -e1]])) @ u
    spin = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    points = (spin @ np.diag([a, a * ratio]) @ inner).T + np.array([200, 150])
    assert off(points.astype(np.float32), new) < 2e-3
    assert new[2] >= new[3] > 0


def test_compose_without_harmonics_is_the_same_ellipse() -> None:
    old, new = np.array([50, 60, 40, 30, 0.6], np.float32), np.empty(5, np.float32)
    paths.compose(old, np.array([1, 0, 0, 0, 0], np.float32), new)
    np.testing.assert_allclose(new, old, rtol=1e-4)
    assert off(outline(old), new) < 1e-3


@settings(max_examples=30)
@given(
    start=st.integers(4, RINGS - 5), phase=st.floats(0, 6.28), swing=st.floats(0, 3), seed=st.integers(0, 99)
)
def test_follow_finds_a_planted_path(start: int, phase: float, swing: float, seed: int) -> None:
    turn = np.arange(ANGLES) * 2 * np.pi / ANGLES
    planted = np.clip(start + swing * np.sin(turn + phase), 1, RINGS - 2)
    noise = 0.4 * np.random.default_rng(seed).random((ANGLES, RINGS))
    near = np.exp(-((np.arange(RINGS) - planted[:, None]) ** 2))
    room = paths.room(ANGLES, RINGS)
    room.strength[:] = noise + near
    paths.follow(LOW, STEP, room)
    assert np.abs((room.path - LOW) / STEP - planted).max() < 2


def test_clearness_is_between_nought_and_one_and_keeps_order() -> None:
    strength = np.random.default_rng(0).gamma(1, 100, (ANGLES, RINGS)).astype(np.float32)
    order = np.argsort(strength, axis=None)
    paths.clearness(strength)
    assert strength.min() >= 0 and strength.max() < 1
    assert (np.diff(strength.ravel()[order]) >= 0).all()


def test_solve_is_a_linear_equation() -> None:
    random = np.random.default_rng(1)
    root = random.normal(size=(5, 5))
    matrix, right = root @ root.T + np.eye(5), random.normal(size=5)
    solution = np.empty(5, np.float32)
    paths.solve(np.column_stack([matrix, right]).astype(np.float32), solution)
    assert solution == pytest.approx(np.linalg.solve(matrix, right), rel=1e-3)
