"""What stands around a candidate: rings of the same thing, what holds it, others like it."""

from __future__ import annotations

import numpy as np

from detector.v2.compiled import Floats, Real, compiled

NAMES = (
    "score", "best_here", "rank",
    "larger_ring", "larger_ring_by", "smaller_ring", "smaller_ring_by", "doubles",
    "holder", "holder_by", "held", "held_area", "crossing", "crossing_share",
    "others", "size_gap", "like_size", "candidates",
)  # fmt: skip
(
    SCORE, BEST_HERE, RANK,
    LARGER_RING, LARGER_RING_BY, SMALLER_RING, SMALLER_RING_BY, DOUBLES,
    HOLDER, HOLDER_BY, HELD, HELD_AREA, CROSSING, CROSSING_SHARE,
    OTHERS, SIZE_GAP, LIKE_SIZE, CANDIDATES,
) = range(len(NAMES))  # fmt: skip

DOUBT = np.float32(0.2)
"""What of a score does not count where scores are summed: many doubtful ones are not one circle."""


@compiled
def surroundings(candidates: Floats, score: Floats, out: Floats) -> None:
    """Features of candidates (n, 5) with first scores (n,): to the columns of out (n, len(NAMES))."""
    n = len(candidates)
    radius = np.sqrt(candidates[:, 2] * candidates[:, 3])
    best = np.float32(0)
    total = np.float32(0)
    for i in range(n):
        best = max(best, score[i])
        total += max(score[i] - DOUBT, np.float32(0))
    for i in range(n):
        f = out[i]
        f[:] = 0
        f[SCORE], f[BEST_HERE] = score[i], best
        around(i, candidates, radius, score, f)
        f[OTHERS] = total - max(score[i] - DOUBT, np.float32(0))
        f[CANDIDATES] = np.log1p(np.float32(n))


@compiled
def around(i: int, candidates: Floats, radius: Floats, score: Floats, f: Floats) -> None:
    """What each other candidate is to candidate i, to its features f (len(NAMES),), zero before.

    A strength is the score of the strongest such neighbour; by: the logarithm of its radius over one's own.
    """
    rank = 0
    size_sum, size_weight, like = np.float32(0), np.float32(1e-6), np.float32(0)
    for j in range(len(candidates)):
        if j == i:
            continue
        rank += score[j] > score[i]
        dx, dy = candidates[i, 0] - candidates[j, 0], candidates[i, 1] - candidates[j, 1]
        distance = np.sqrt(dx * dx + dy * dy)
        ri, rj = radius[i], radius[j]
        large, small = max(ri, rj), min(ri, rj)
        by = np.log(rj / ri)
        share = overlap(distance, large, small)
        same = share * small * small / (large * large + small * small - share * small * small)
        if same > 0.75:
            f[DOUBLES] += score[j]
        if distance < 0.3 * large and abs(by) < 0.9:
            if by > 0.03 and score[j] > f[LARGER_RING]:
                f[LARGER_RING], f[LARGER_RING_BY] = score[j], by
            if by < -0.03 and score[j] > f[SMALLER_RING]:
                f[SMALLER_RING], f[SMALLER_RING_BY] = score[j], by
            continue
        if share > 0.85 and rj > ri and score[j] > f[HOLDER]:
            f[HOLDER], f[HOLDER_BY] = score[j], by
        elif share > 0.85 and rj < ri and score[j] > 0.3:
            f[HELD] += score[j]
            f[HELD_AREA] += score[j] * rj * rj / (ri * ri)
        elif 0.08 < share <= 0.85 and score[j] > f[CROSSING]:
            f[CROSSING], f[CROSSING_SHARE] = score[j], share
        if share < 0.3 and score[j] > 0.25:
            weight = score[j] * score[j]
            size_sum += weight * abs(by)
            size_weight += weight
            like += score[j] * (abs(by) < 0.18)
    f[RANK] = np.log1p(np.float32(rank))
    f[SIZE_GAP] = size_sum / size_weight if size_weight > 0.05 else np.float32(-1)
    f[LIKE_SIZE] = like


@compiled
def overlap(distance: Real, large: Real, small: Real) -> Real:
    """The area two circles share, as part of the smaller one's; as `detector.circles.overlap`."""
    if distance >= large + small:
        return 0.0
    if distance <= large - small:
        return 1.0
    d = max(distance, 1e-6)
    u = (d * d + small * small - large * large) / (2 * d)
    v = d - u
    cu, cv = min(1.0, max(-1.0, u / small)), min(1.0, max(-1.0, v / large))
    area: Real = small * small * (np.arccos(cu) - cu * np.sqrt(1 - cu * cu))
    area += large * large * (np.arccos(cv) - cv * np.sqrt(1 - cv * cv))
    return area / (np.pi * small * small)
