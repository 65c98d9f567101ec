"""What a candidate looks like, in numbers that do not depend on its place, size or direction."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from detector.v2.compiled import Floats, Packed, Real, compiled
from detector.v2.few import ordered, total
from detector.v2.probes import (
    ANGLES,
    BEYOND,
    CORE,
    COSINES,
    FAR,
    ON_RIM,
    RINGS,
    SINES,
    WITHIN,
    Probes,
    probe,
    room,
)  # fmt: skip

INNER, OUTER = (1, ON_RIM[0] - 1), (ON_RIM[1] + 1, len(RINGS))
"""First ring and end of those inside and outside the rim, a ring away from it."""

SECTORS = 8
"""Parts of the outline, each of which should have an edge."""

LEAST_SEEN = ANGLES // 4
"""Directions inside the frame with which a candidate is described."""

CHROMA_WEIGHT = np.float32(2.25)
"""Of a colour plane's square against lightness's: as `edges.CHROMA`."""

RIM_QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
CLEAR_QUANTILES = (0.1, 0.25, 0.5, 0.75)

NAMES = (
    "radius", "axis_ratio", "visible", "radius_px",
    *(f"rim_q{100 * q:.0f}" for q in RIM_QUANTILES),
    *(f"clear_q{100 * q:.0f}" for q in CLEAR_QUANTILES),
    "rim_level", "cover_low", "cover_mid", "cover_high", "longest_gap", "weakest_sector", "weak_sectors",
    "radial_mean", "radial_q25", "radial_cover", "one_sign",
    *(f"ring_{r:.3g}" for r in RINGS),
    "inner_peak", "outer_peak", "inner_peak_at", "outer_peak_at", "inner_mean", "outer_mean",
    *(f"{what}_{plane}" for plane in "yrb" for what in ("contrast", "steady")),
    "contrast", "steady", "inside_spread", "outside_spread", "core_contrast", "far_contrast", "core_spread",
    "halo", "lopsided",
    "path", "residual", "residual_px", "moved", "seed_directions", "seeds_here", "seeds_near",
)  # fmt: skip
"""Columns. From `path` on they are what tracing and voting said; `propose` writes them."""

RADIUS, AXIS_RATIO, VISIBLE, RADIUS_PX = range(4)
RIM, CLEAR = NAMES.index("rim_q10"), NAMES.index("clear_q10")
RIM_LEVEL, COVER = NAMES.index("rim_level"), NAMES.index("cover_low")
LONGEST_GAP, WEAKEST_SECTOR, WEAK_SECTORS = (NAMES.index("longest_gap") + i for i in range(3))
RADIAL_MEAN, RADIAL_Q25, RADIAL_COVER, ONE_SIGN = (NAMES.index("radial_mean") + i for i in range(4))
PROFILE = NAMES.index(f"ring_{RINGS[0]:.3g}")
INNER_PEAK, OUTER_PEAK, INNER_PEAK_AT, OUTER_PEAK_AT, INNER_MEAN, OUTER_MEAN = (
    NAMES.index("inner_peak") + i for i in range(6)
)
PLANES = NAMES.index("contrast_y")
(
    CONTRAST, STEADY, INSIDE_SPREAD, OUTSIDE_SPREAD, CORE_CONTRAST, FAR_CONTRAST, CORE_SPREAD, HALO, LOPSIDED,
    PATH, RESIDUAL, RESIDUAL_PX, MOVED, SEED_DIRECTIONS, SEEDS_HERE, SEEDS_NEAR,
) = range(NAMES.index("contrast"), len(NAMES))  # fmt: skip


@compiled
def describe(
    colours: Packed, gradient: Floats, ratio: Floats,
    candidates: Floats, noise: Real, scale: Real, out: Floats,
) -> None:  # fmt: skip
    """Features of candidates (n, 5), written to the first columns of out (n, len(NAMES)).

    colours to ratio: as in `edges.Picture`; noise: its median gradient; scale: radii times this are parts of
    the long side.
    """
    probes, order = room(), np.empty(ANGLES, np.float32)
    for n in range(len(candidates)):
        count = probe(colours, gradient, ratio, candidates[n], probes)
        _, _, a, b, _ = candidates[n]
        radius = np.sqrt(a * b)
        f = out[n]
        f[RADIUS], f[AXIS_RATIO], f[VISIBLE] = np.log(radius * scale), b / a, np.float32(count) / ANGLES
        f[RADIUS_PX] = np.log(radius)
        if count < LEAST_SEEN:
            f[RIM:] = 0
            continue
        mean = describe_rim(f, probes.rim, count, noise, order)
        describe_cover(f, probes.clear, count, order)
        describe_gaps(f, probes.clear, probes.direction, count)
        describe_directions(f, probes, count, order)
        describe_profile(f, probes.across, count, mean)
        describe_colours(f, probes.colour, count)
        describe_balance(f, probes.clear, probes.direction, count)


@compiled
def describe_rim(f: Floats, rim: Floats, count: int, noise: Real, order: Floats) -> np.float32:
    """How strong the rim is, and how evenly; returns its mean strength."""
    ordered(rim, count, order)
    mean = np.float32(total(rim, count) / count)
    for q, part in enumerate(RIM_QUANTILES):
        f[RIM + q] = order[int(part * (count - 1))] / (mean + np.float32(1))
    f[RIM_LEVEL] = np.log(mean / np.float32(noise + 8) + np.float32(1e-3))
    return mean


@compiled
def describe_cover(f: Floats, clear: Floats, count: int, order: Floats) -> None:
    """How much of the outline is an edge, at three levels of clearness."""
    ordered(clear, count, order)
    for q, part in enumerate(CLEAR_QUANTILES):
        f[CLEAR + q] = order[int(part * (count - 1))]
    low, mid, high = 0, 0, 0
    for i in range(count):
        low += clear[i] > 0.6
        mid += clear[i] > 1.1
        high += clear[i] > 1.8
    f[COVER], f[COVER + 1], f[COVER + 2] = low / count, mid / count, high / count


@compiled
def describe_gaps(f: Floats, clear: Floats, direction: NDArray[np.int64], count: int) -> None:
    """Where the outline has no edge: the longest stretch, twice around, and the weakest sector."""
    gap, longest = 0, 0
    for i in range(2 * count):
        gap = gap + 1 if clear[i if i < count else i - count] < 0.7 else 0
        longest = max(longest, gap)
    weakest, weak = np.float32(1e9), 0
    clearness, members = np.float32(0), 0
    for i in range(count):
        clearness += clear[i]
        members += 1
        sector = direction[i] * SECTORS // ANGLES
        if i + 1 == count or direction[i + 1] * SECTORS // ANGLES != sector:
            weakest = min(weakest, clearness / members)
            weak += int(clearness / members < 0.8)
            clearness, members = np.float32(0), 0
    f[LONGEST_GAP] = min(longest, ANGLES) / ANGLES
    f[WEAKEST_SECTOR], f[WEAK_SECTORS] = weakest, weak


@compiled
def describe_directions(f: Floats, probes: Probes, count: int, order: Floats) -> None:
    """Whether the gradients point to the centre, and all inwards or all outwards."""
    ordered(probes.radial, count, order)
    f[RADIAL_MEAN], f[RADIAL_Q25] = total(probes.radial, count) / count, order[count // 4]
    pointing = np.float32(0)
    for i in range(count):
        pointing += probes.radial[i] > 0.9
    f[RADIAL_COVER] = pointing / count
    f[ONE_SIGN] = abs(total(probes.signed, count)) / (total(probes.rim, count) + np.float32(1))


@compiled
def describe_profile(f: Floats, across: Floats, count: int, mean: np.float32) -> None:
    """Each ring's strength against the rim's: a rim stands out, a texture does not."""
    for k in range(len(RINGS)):
        f[PROFILE + k] = 0
    for i in range(count):
        for k in range(len(RINGS)):
            f[PROFILE + k] += across[i, k]
    share = 1 / (np.float32(count) * (mean + np.float32(1)))
    for k in range(len(RINGS)):
        f[PROFILE + k] *= share
    f[INNER_PEAK], f[INNER_PEAK_AT], f[INNER_MEAN] = peak(f, INNER[0], INNER[1])
    f[OUTER_PEAK], f[OUTER_PEAK_AT], f[OUTER_MEAN] = peak(f, OUTER[0], OUTER[1])


@compiled
def peak(f: Floats, first: int, end: int) -> tuple[Real, Real, Real]:
    """The strongest of some rings, where it is in parts of the outline, and their mean."""
    strongest, mean = first, np.float32(0)
    for k in range(first, end):
        mean += f[PROFILE + k]
        if f[PROFILE + k] > f[PROFILE + strongest]:
            strongest = k
    return f[PROFILE + strongest], RINGS[strongest], mean / (end - first)


@compiled
def describe_colours(f: Floats, colour: Floats, count: int) -> None:
    """How the colours inside differ from those outside, and how they spread, in all planes."""
    contrast, square = np.float32(0), np.float32(0)
    inside_spread, outside_spread, core_spread = np.float32(0), np.float32(0), np.float32(0)
    core_contrast, far_contrast, halo = np.float32(0), np.float32(0), np.float32(0)
    for p in range(3):
        step, step2 = np.float32(0), np.float32(0)
        inside, inside2, outside, outside2 = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
        core, core2, far = np.float32(0), np.float32(0), np.float32(0)
        for i in range(count):
            within, beyond = colour[i, WITHIN, p], colour[i, BEYOND, p]
            middle, difference = colour[i, CORE, p], within - beyond
            step += difference
            step2 += difference * difference
            inside += within
            inside2 += within * within
            outside += beyond
            outside2 += beyond * beyond
            core += middle
            core2 += middle * middle
            far += colour[i, FAR, p]
        f[PLANES + 2 * p] = abs(step) / count
        f[PLANES + 2 * p + 1] = abs(step / count) / np.sqrt(max(step2 / count, np.float32(1)))
        weight = np.float32(1) if p == 0 else CHROMA_WEIGHT
        contrast += weight * (step / count) ** 2
        square += weight * step2 / count
        inside_spread += weight * (inside2 / count - (inside / count) ** 2)
        outside_spread += weight * (outside2 / count - (outside / count) ** 2)
        core_contrast += weight * ((inside - core) / count) ** 2
        far_contrast += weight * ((inside - far) / count) ** 2
        halo += weight * ((outside - far) / count) ** 2
        core_spread += weight * (core2 / count - (core / count) ** 2)
    f[CONTRAST], f[STEADY] = np.sqrt(contrast), np.sqrt(contrast / max(square, np.float32(1)))
    f[INSIDE_SPREAD] = np.sqrt(max(inside_spread, np.float32(0)))
    f[OUTSIDE_SPREAD] = np.sqrt(max(outside_spread, np.float32(0)))
    f[CORE_CONTRAST], f[FAR_CONTRAST] = np.sqrt(core_contrast), np.sqrt(far_contrast)
    f[CORE_SPREAD], f[HALO] = np.sqrt(max(core_spread, np.float32(0))), np.sqrt(halo)


@compiled
def describe_balance(f: Floats, clear: Floats, direction: NDArray[np.int64], count: int) -> None:
    """Whether the edge is on all sides, or most of it on one."""
    east, south, everywhere = np.float32(0), np.float32(0), np.float32(0)
    for i in range(count):
        east += clear[i] * COSINES[direction[i]]
        south += clear[i] * SINES[direction[i]]
        everywhere += clear[i]
    f[LOPSIDED] = np.sqrt(east * east + south * south) / (everywhere + np.float32(0.1))
