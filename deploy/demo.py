"""The demo: sample photographs and a rendered camera through the running stack, and what came of them."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO

import httpx
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.table import Table

CAMERA_FRAMES = 6
BY_EYE = "segmented, checked by eye"
COINS = np.array(
    [
        [44.2, 54.4, 20.7], [100.2, 56.1, 18.7], [155.2, 50.8, 22.9], [215.2, 51.1, 22.7],
        [276.2, 52.4, 19.6], [334.7, 43.5, 28.8], [44.7, 124.2, 20.2], [102.3, 125.6, 18.8],
        [153.5, 127.2, 18.5], [205.3, 123.7, 19.6], [270.6, 118.8, 24.7], [336.2, 124.5, 19.3],
        [43.7, 197.4, 18.8], [101.7, 195.6, 21.6], [154.1, 197.7, 19.1], [212.4, 193.1, 23.5],
        [273.4, 193.3, 21.6], [347.1, 186.6, 31.6], [45.9, 259.8, 27.9], [113.9, 265.5, 21.2],
        [172.3, 261.2, 27.3], [244.0, 263.3, 23.7], [300.6, 263.2, 25.1], [358.2, 267.9, 21.7],
    ]
)  # fmt: skip
"""x, y and radius of the coins in scikit-image's photograph: circles of the area that its watershed gives
each of them, looked at.
"""
BEFORE, AFTER = "1", "2"
"""The version of the model that the demo begins with, and the one that it says how to try."""


@dataclass(frozen=True, slots=True)
class Sample:
    """An image to send. `circles` is how many it shows, where that is known, and `truth` which, (n, 3): x, y
    and radius.
    """

    name: str
    source: str
    png: bytes
    circles: int | None
    truth: NDArray[np.float64] | None = None
    annotator: str = ""


def samples(camera_seed: int) -> Iterator[Sample]:
    """Real photographs from scikit-image's wheel, views made from them, and rendered camera frames.

    The photographs are the same at each call; the frames follow the seed.
    """
    from skimage.data import coins  # slow to import, and only the demo needs it

    from detector.scenes import render

    photograph = Image.fromarray(coins())
    yield Sample("coins.png", "photographs", _png(photograph), len(COINS), COINS, BY_EYE)
    width, height = photograph.size
    left, right = photograph.crop((0, 0, width // 2, height)), photograph.crop((width // 2, 0, width, height))
    yield Sample("coins, left half", "photographs", _png(left), None)
    yield Sample("coins, right half", "photographs", _png(right), None)
    for degrees in (15, 90):
        turned = photograph.rotate(degrees, Image.Resampling.BICUBIC, expand=True)
        truth = turned_by(degrees, COINS, photograph.size, turned.size)
        name = f"coins, turned {degrees}°"
        yield Sample(name, "photographs", _png(turned), len(truth), truth, BY_EYE)
    for frame in range(CAMERA_FRAMES):
        scene = render(camera_seed + frame)
        truth = np.stack([scene.circles[name] for name in ("x", "y", "radius")], axis=1)
        png = _png(Image.fromarray(scene.image))
        yield Sample(f"camera, frame {frame + 1}", "camera", png, len(truth), truth, "renderer")


def turned_by(
    degrees: float, circles: NDArray[np.float64], size: tuple[int, int], turned: tuple[int, int]
) -> NDArray[np.float64]:
    """Circles of a picture of some size as they are once it is turned counterclockwise around its middle."""
    angle = np.radians(degrees)
    across, down = (circles[:, :2] + 0.5 - np.array(size) / 2).T  # pixels' middles are whole
    x = np.cos(angle) * across + np.sin(angle) * down
    y = np.cos(angle) * down - np.sin(angle) * across
    return np.column_stack([np.column_stack([x, y]) + np.array(turned) / 2 - 0.5, circles[:, 2]])


def show(api_url: str, console: Console, key: str = "") -> None:
    """Send the samples, with `key` where the API asks for one, and print what happened.

    Raises httpx.HTTPError when the API does not answer.
    """
    table = Table(
        "image",
        "circles found",
        "to be found",
        "upload to queryable",
        title="Sample images",
        title_justify="left",
    )
    for column in table.columns[1:]:
        column.justify = "right"
    first = None
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    with httpx.Client(base_url=api_url, headers=headers, timeout=60) as client:
        for sample in samples(camera_seed=int(time.time())):
            image_id, found, took, position = _upload(client, sample)
            first = first or image_id
            if sample.truth is not None:
                _annotate(client, image_id, position, sample.truth, sample.annotator)
            expected = "" if sample.circles is None else str(sample.circles)
            table.add_row(sample.name, found, expected, took)
    console.print(table)
    console.print(f"\nThe page      {api_url}/\nThe API       {api_url}/docs")
    console.print("One image     ", end="")
    console.print(f"curl -s {api_url}/images/{first}/objects", soft_wrap=True, highlight=False)
    console.print("The tables   ", sys.argv[0], 'sql "select * from objects limit 5"', soft_wrap=True)
    console.print(f"\nWhat would circles:{AFTER} find? Let it look, compare the two, and let it take over:")
    for command in (
        f"replay start --model circles:{AFTER}",
        f"compare circles:{BEFORE} circles:{AFTER}",
        f"promote circles:{AFTER}",
    ):
        console.print("             ", sys.argv[0], command, soft_wrap=True)


def _upload(client: httpx.Client, sample: Sample) -> tuple[str, str, str, str | None]:
    """Id, circles found and milliseconds, as the table shows them, and its position where it was sent now."""
    started = time.perf_counter()
    answer = client.post(
        "/images/", files={"file": (sample.name, sample.png)}, data={"source": sample.source}
    )
    took = f"{(time.perf_counter() - started) * 1000:.0f} ms"
    body = answer.json()
    if answer.status_code == httpx.codes.CONFLICT:
        seen = client.get(f"/images/{body['image_id']}").raise_for_status().json()
        return body["image_id"], str(len(seen["objects"])), "sent before", None
    answer.raise_for_status()
    detection, position = body["detection"], answer.headers["Circles-Position"]
    if detection is None:
        return body["image_id"], "under way", "", position
    return body["image_id"], str(detection["count"]), took, position


def _annotate(
    client: httpx.Client, image_id: str, position: str | None, truth: NDArray[np.float64], annotator: str
) -> None:
    """Say what is in an image, so that versions can be judged on it."""
    seen = {"after": position} if position else {}
    circles = [dict(zip(("x", "y", "radius"), circle, strict=True)) for circle in truth.tolist()]
    drawn = {"annotator": annotator, "circles": circles}
    client.put(f"/images/{image_id}/annotations", params=seen, json=drawn).raise_for_status()


def _png(image: Image.Image) -> bytes:
    buffer = BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
