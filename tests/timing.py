"""`python -m tests.timing`: whether the time of an answer tells that another project has an image.

A key of one project asks in turn for images of the other and for such that nobody has; the ranks of the
times are compared (Mann and Whitney, 1947). It prints, for each route, both medians and how often a foreign
one took longer: .5 tells nothing.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import time
from bisect import bisect_left, bisect_right
from collections.abc import Sequence

import httpx
import uuid_utils.compat as uuids

from bench.stack import infrastructure
from tests.integration.access import client, key
from tests.integration.flow import picture, stages

ROUTES = ("/images/{}", "/images/{}/objects", "/images/{}/content", "/images/{}/objects/{}")
TOLD = 0.05
"""Further from .5 than this, with some thousand looks, is more than chance."""


def longer(ours: Sequence[float], others: Sequence[float]) -> float:
    """How often one of ours is the longer of two, [0, 1]; half of the ties count."""
    others = sorted(others)
    below = sum(bisect_left(others, each) + bisect_right(others, each) for each in ours)
    return below / 2 / len(ours) / len(others)


def timed(api: httpx.Client, url: str) -> float:
    began = time.perf_counter()
    status = api.get(url).status_code
    took = time.perf_counter() - began
    assert status in (200, 404), status  # the circles of what is not there are an empty list
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--looks", type=int, default=3_000, help="of each kind, for each route")
    looks = parser.parse_args().looks
    pick, told = random.Random(1), False
    with infrastructure(partitions=4) as found:
        settings = found.model_copy(update={"mode": "dummy", "auth": "on", "detection_wait_s": 30.0})
        with stages(settings), client(settings, key(settings, "theirs")) as theirs:
            foreign = []
            for seed in range(50):
                answer = theirs.post("/images/", files={"file": ("a", picture(seed))})
                foreign.append(answer.raise_for_status().json()["image_id"])
            with client(settings, key(settings, "mine")) as mine:
                for route in ROUTES:
                    times: dict[bool, list[float]] = {False: [], True: []}
                    for _ in range(looks):
                        for exists in pick.sample((False, True), 2):
                            image_id = pick.choice(foreign) if exists else uuids.uuid7()
                            times[exists].append(timed(mine, route.format(image_id, uuids.uuid7())))
                    share = longer(times[True], times[False])
                    there, absent = (statistics.median(times[kind]) * 1000 for kind in (True, False))
                    print(f"{route:24} foreign {there:.3f} ms, absent {absent:.3f} ms, longer {share:.3f}")
                    told |= abs(share - 0.5) > TOLD
    sys.exit(told)


if __name__ == "__main__":
    main()
