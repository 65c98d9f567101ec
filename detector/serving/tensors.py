"""V2 input tensors to images: what a shape may be, and that the data is what the shape says.

Sources: Open Inference Protocol, "Tensor Data"; for bytes the binary tensor data extension. The
shape is checked before any data is looked at.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from detector.errors import InvalidRequest
from detector.images import MAX_PIXELS
from detector.serving.inference import Source
from detector.serving.limits import MAX_IMAGES
from detector.serving.v1 import decode_base64

DATATYPES = {"image": "UINT8", "encoded": "BYTES"}


class Tensor(NamedTuple):
    """An input as it came: raw bytes, or elements, in JSON perhaps nested as the shape says.

    Elements of BYTES are bytes, or base64 where they came as text.
    """

    name: str
    datatype: str
    shape: Sequence[Any]
    data: memoryview | Sequence[Any]


def images(inputs: Sequence[Tensor]) -> list[Source]:
    """The images of a request's one input. Raises InvalidRequest."""
    if len(inputs) != 1:
        named = ", ".join(f"{tensor.name:.50}" for tensor in inputs[:5]) or "none"
        raise InvalidRequest(f"send exactly one of the inputs 'image' and 'encoded', not {named}")
    tensor = inputs[0]
    wanted = DATATYPES.get(tensor.name)
    if wanted is None:
        raise InvalidRequest(f"no input {tensor.name!r:.50}; there are image and encoded")
    if tensor.datatype != wanted:
        raise InvalidRequest(f"{tensor.name} is {wanted}, not {tensor.datatype!r:.50}")
    shape = dimensions(tensor)
    return pixels(tensor, shape) if tensor.name == "image" else encoded(tensor, shape)


def dimensions(tensor: Tensor) -> tuple[int, ...]:
    """The shape, whole and positive. Raises InvalidRequest."""
    if len(tensor.shape) <= 4 and all(type(size) is int and size > 0 for size in tensor.shape):
        return tuple(tensor.shape)
    said = repr(list(tensor.shape[:5]))
    raise InvalidRequest(f"the shape of {tensor.name} is not a few positive whole numbers: {said:.100}")


def bound(images: int) -> None:
    if images > MAX_IMAGES:
        raise InvalidRequest(f"{images} images in a request: send at most {MAX_IMAGES}")


def pixels(tensor: Tensor, shape: tuple[int, ...]) -> list[Source]:
    """Images as views of the tensor, nothing copied where it came as bytes."""
    if not (len(shape) == 2 or (len(shape) in (3, 4) and shape[-1] == 3)):
        raise InvalidRequest(f"image has shape [H, W, 3], [H, W] or [N, H, W, 3], not {list(shape)}")
    height, width = shape if len(shape) == 2 else shape[-3:-1]
    if len(shape) == 4:
        bound(shape[0])
    if height * width > MAX_PIXELS:
        raise InvalidRequest(f"too many pixels: {width} x {height} = {width * height}, at most {MAX_PIXELS}")
    size = math.prod(shape)
    if isinstance(tensor.data, memoryview):
        if len(tensor.data) != size:
            raise InvalidRequest(f"image {list(shape)} has {size} bytes, not {len(tensor.data)}")
        array = np.frombuffer(tensor.data, np.uint8).reshape(shape)
    else:
        array = from_elements(tensor.data, shape)
    return list(array) if len(shape) == 4 else [array]


def from_elements(elements: Sequence[Any], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Numbers, flat or nested as the shape says, to an array of this shape."""
    try:
        found = np.asarray(elements)
    except (ValueError, OverflowError):
        raise InvalidRequest("the data of image is ragged") from None
    if found.shape not in (shape, (math.prod(shape),)):
        raise InvalidRequest(
            f"image {list(shape)} has {math.prod(shape)} numbers, flat or nested as its shape, not"
            f" {found.size} as {list(found.shape)}"
        )
    if found.dtype.kind not in "iu" or found.min() < 0 or found.max() > 255:
        raise InvalidRequest("the data of image is not whole numbers from 0 to 255")
    return found.astype(np.uint8).reshape(shape)


def encoded(tensor: Tensor, shape: tuple[int, ...]) -> list[Source]:
    if not (len(shape) == 1 or (len(shape) == 2 and shape[1] == 1)):
        raise InvalidRequest(f"encoded has shape [N] or [N, 1], not {list(shape)}")
    bound(shape[0])
    if isinstance(tensor.data, memoryview):
        found = split(tensor.data)
    else:
        found = [as_bytes(element) for element in tensor.data]
    if len(found) != shape[0]:
        raise InvalidRequest(f"encoded {list(shape)} has {shape[0]} elements, not {len(found)}")
    return list(found)


def as_bytes(element: object) -> bytes:
    match element:
        case bytes():
            return element
        case str() | [str()]:
            return decode_base64(element if isinstance(element, str) else element[0])
    raise InvalidRequest("an element of encoded is not a text in base64")


def split(data: memoryview) -> list[bytes]:
    """Elements of BYTES, each behind its length in four bytes, the lowest first."""
    found = []
    start = 0
    while start < len(data):
        end = start + 4 + int.from_bytes(data[start : start + 4], "little")
        if start + 4 > len(data) or end > len(data):
            raise InvalidRequest(
                f"an element of encoded says {end - start - 4} bytes, {max(0, len(data) - start - 4)} are"
                " there; each is preceded by its length in four bytes, the lowest first"
            )
        found.append(bytes(data[start + 4 : end]))
        if len(found) > MAX_IMAGES:
            raise InvalidRequest(f"encoded has more than {MAX_IMAGES} elements")
        start = end
    return found
