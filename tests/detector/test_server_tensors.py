"""Input tensors to images."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import pytest

from detector.errors import InvalidRequest
from detector.serving.tensors import Tensor, images
from tests.detector.calls import prefixed

GREY = np.arange(12, dtype=np.uint8).reshape(3, 4)
RGB = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)


def tensor(shape: Any, data: Any, name: str = "image", datatype: str = "UINT8") -> Tensor:
    return Tensor(name, datatype, shape, memoryview(data) if isinstance(data, bytes) else data)


def encoded(shape: Any, data: Any) -> Tensor:
    return tensor(shape, data, "encoded", "BYTES")


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (tensor([3, 4], GREY.tobytes()), [GREY]),
        (tensor([2, 4, 3], RGB.tobytes()), [RGB]),
        (tensor([1, 2, 4, 3], RGB.tobytes()), [RGB]),
        (tensor([2, 2, 4, 3], RGB.tobytes() + RGB[::-1].tobytes()), [RGB, RGB[::-1]]),
        (tensor([3, 4], GREY.tolist()), [GREY]),
        (tensor([3, 4], GREY.ravel().tolist()), [GREY]),
        (tensor([2, 4, 3], RGB.tolist()), [RGB]),
    ],
)
def test_pixels(one: Tensor, expected: list[Any]) -> None:
    found = images([one])
    assert len(found) == len(expected)
    for image, should in zip(found, expected, strict=True):
        assert isinstance(image, np.ndarray)
        assert image.dtype == np.uint8
        np.testing.assert_array_equal(image, should)


def test_pixels_that_came_as_bytes_are_not_copied() -> None:
    body = bytearray(RGB.tobytes())
    image = images([Tensor("image", "UINT8", [2, 4, 3], memoryview(body))])[0]
    body[0] = 200
    assert isinstance(image, np.ndarray)
    assert image[0, 0, 0] == 200


@pytest.mark.parametrize(
    "one",
    [
        encoded([2], prefixed(b"one", b"two")),
        encoded([2, 1], prefixed(b"one", b"two")),
        encoded([2], [b"one", b"two"]),
        encoded([2], [base64.b64encode(b"one").decode(), base64.b64encode(b"two").decode()]),
        encoded([2, 1], [[base64.b64encode(b"one").decode()], [base64.b64encode(b"two").decode()]]),
    ],
)
def test_encoded(one: Tensor) -> None:
    assert images([one]) == [b"one", b"two"]


@pytest.mark.parametrize(
    ("inputs", "reason"),
    [
        ([], "send exactly one of the inputs 'image' and 'encoded', not none"),
        ([tensor([3, 4], GREY.tobytes()), encoded([1], [b""])], "send exactly one .* not image, encoded"),
        ([tensor([3, 4], b"", name="picture")], "no input 'picture'; there are image and encoded"),
        ([tensor([3, 4], b"", datatype="FP32")], "image is UINT8, not 'FP32'"),
        ([tensor([1], b"", name="encoded")], "encoded is BYTES, not 'UINT8'"),
        *(
            ([tensor(shape, b"")], "the shape of image is not a few positive whole numbers")
            for shape in (
                [-1, 4],
                [0, 4],
                [2.0, 4],
                [True, 4],
                ["2", 4],
                [None, 2],
                [[2], 2],
                [1, 1, 2, 4, 3],
            )
        ),
        *(
            ([tensor(shape, b"")], r"image has shape \[H, W, 3\], \[H, W\] or \[N, H, W, 3\], not")
            for shape in ([], [4], [2, 4, 1], [2, 4, 4], [1, 2, 4, 1])
        ),
        ([tensor([5001, 5000], b"")], "too many pixels: 5000 x 5001 = 25005000, at most 25000000"),
        ([tensor([2**62, 2**62, 3], b"")], "too many pixels"),
        ([tensor([65, 1, 1, 3], b"")], "65 images in a request: send at most 64"),
        ([tensor([3, 4], bytes(11))], r"image \[3, 4\] has 12 bytes, not 11"),
        ([tensor([3, 4], bytes(13))], r"image \[3, 4\] has 12 bytes, not 13"),
        ([tensor([3, 4], [0] * 11)], r"image \[3, 4\] has 12 numbers, .* not 11 as \[11\]"),
        ([tensor([3, 4], GREY.T.tolist())], r"image \[3, 4\] has 12 numbers, .* not 12 as \[4, 3\]"),
        ([tensor([3, 4], [])], r"image \[3, 4\] has 12 numbers"),
        ([tensor([1, 2], [[1], [2, 3]])], "the data of image is ragged"),
        ([tensor([1, 2], [True, False])], "the data of image is not whole numbers from 0 to 255"),
        ([encoded([2, 2], [])], r"encoded has shape \[N\] or \[N, 1\], not \[2, 2\]"),
        ([encoded([65], [])], "65 images in a request: send at most 64"),
        ([encoded([2], [b"one"])], r"encoded \[2\] has 2 elements, not 1"),
        ([encoded([1], prefixed(b"one", b"two"))], r"encoded \[1\] has 1 elements, not 2"),
        ([encoded([1], prefixed(*[b""] * 65))], "encoded has more than 64 elements"),
        ([encoded([1], prefixed(b"one")[:-1])], "an element of encoded says 3 bytes, 2 are there"),
        ([encoded([1], b"\1\0")], "an element of encoded says 1 bytes, 0 are there"),
        ([encoded([1], ["?"])], "the image is not base64"),
        ([encoded([1], [7])], "an element of encoded is not a text in base64"),
        ([encoded([1], [["YQ==", "YQ=="]])], "an element of encoded is not a text in base64"),
    ],
)
def test_refuses(inputs: list[Tensor], reason: str) -> None:
    with pytest.raises(InvalidRequest, match=rf"^{reason}"):
        images(inputs)


@pytest.mark.parametrize("value", [-1, 256, 2**63, 2**70, 0.5, "1", None, {}])
def test_refuses_what_is_no_byte(value: object) -> None:
    with pytest.raises(InvalidRequest, match=r"^the data of image is not whole numbers from 0 to 255"):
        images([tensor([1, 2], [value, 1])])
