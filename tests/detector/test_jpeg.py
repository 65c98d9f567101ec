"""A JPEG without its picture: refused by a decoder where the whole file is, and only there."""

from __future__ import annotations

import io
import random

import numpy as np
import pytest
from PIL import Image

from detector.errors import InvalidImage
from detector.images import decode, inspect
from detector.jpeg import without_picture


def encoded(chance: random.Random) -> bytes:
    """A file as cameras and programs write them: noise, so that the coded data has all bytes."""
    width, height = chance.randint(1, 90), chance.randint(1, 90)
    noise = np.random.default_rng(chance.randrange(2**32)).integers(0, 256, (height, width, 3))
    image = Image.fromarray((noise >> chance.choice([0, 3, 7])).astype(np.uint8))
    options = {
        "quality": chance.choice([10, 75, 95]),
        "progressive": chance.random() < 0.4,
        "optimize": chance.random() < 0.3,
        "subsampling": chance.choice([0, 1, 2]),
        "restart_marker_blocks": chance.choice([0, 0, chance.randint(1, 9)]),
        "comment": chance.choice([b"", b"\xff\xd9 is no end \xff\xd8 here"]),
    }
    file = io.BytesIO()
    image.convert(chance.choice(["RGB", "RGB", "L", "CMYK"])).save(file, "JPEG", **options)
    return file.getvalue()


def damaged(data: bytes, chance: random.Random) -> bytes:
    many, at = chance.randint(1, 20), chance.randrange(len(data))
    match chance.choice(["whole", "anywhere", "in front", "cut", "end", "more", "less"]):
        case "anywhere" | "in front" as where:
            changed = bytearray(data)
            for _ in range(min(many, 8)):
                at = chance.randrange(len(data) if where == "anywhere" else min(len(data), 640))
                changed[at] = chance.choice([0, 255, chance.randrange(256)])
            return bytes(changed)
        case "cut":
            return data[:at]
        case "end":
            return data[:-many]
        case "more":
            return data[:at] + chance.randbytes(many) + data[at:]
        case "less":
            return data[:at] + data[at + many :]
    return data


def is_taken(data: bytes) -> bool:
    try:
        inspect(data, decode=True)
    except InvalidImage:
        return False
    return True


def is_decoded(data: bytes) -> bool:
    try:
        decode(data)
    except InvalidImage:
        return False
    return True


def test_refused_is_what_no_decoder_reads_and_nothing_else() -> None:
    chance = random.Random(1)
    files = [damaged(encoded(chance), chance) for _ in range(3_000)]
    read = [is_decoded(data) for data in files]
    assert [is_taken(data) for data in files] == read
    assert {is_whole for data, is_whole in zip(files, read, strict=True) if without_picture(data)} == {
        True,
        False,
    }


@pytest.mark.parametrize("progressive", [False, True])
def test_what_is_left_is_small_and_of_one_pixel(progressive: bool) -> None:
    file = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (960, 1280, 3), dtype=np.uint8)
    Image.fromarray(noise).save(file, "JPEG", progressive=progressive)
    left = without_picture(file.getvalue())
    assert left and len(left) < 1_000 < len(file.getvalue())
    assert decode(left).shape == (1, 1, 3)


@pytest.mark.parametrize("side", [0, 65_501])
def test_a_size_that_no_decoder_takes_is_left_to_it(side: int) -> None:
    data = encoded(random.Random(2))
    frame = data.index(b"\xff\xc0" if b"\xff\xc0" in data else b"\xff\xc2")
    changed = data[: frame + 7] + side.to_bytes(2) + data[frame + 9 :]
    assert not is_decoded(changed)
    assert not is_taken(changed)


def test_what_follows_the_end_does_not_matter() -> None:
    data = encoded(random.Random(3))
    assert without_picture(data + b"a second picture") == without_picture(data)
    assert is_taken(data + b"a second picture")


@pytest.mark.parametrize(
    "data", [b"", b"\xff\xd8", b"\xff\xd8\xff", b"\xff\xd8\xff\xe0", b"\xff\xd8\xff\xe0\0", b"PNG"]
)
def test_what_is_too_short_for_a_segment_is_none(data: bytes) -> None:
    assert without_picture(data) is None


def test_a_file_of_very_many_segments_is_left_to_a_decoder() -> None:
    data = encoded(random.Random(4))
    comments = b"\xff\xfe\0\2" * 300
    assert without_picture(data[:2] + comments + data[2:]) is None
    assert is_taken(data[:2] + comments + data[2:])
