"""A client that was generated does what it is for: `flow.py URL KEY PICTURE`, in the generator's environment.

It is a program of somebody else, who has the OpenAPI document alone.
"""

from __future__ import annotations

import io
import sys
from http import HTTPStatus
from pathlib import Path
from uuid import UUID

from circles_client import AuthenticatedClient  # type: ignore[import-not-found]
from circles_client.api.images import (  # type: ignore[import-not-found]
    get_content,
    get_image,
    get_object,
    get_objects_of_images,
    get_thumbnail,
    list_images,
    list_objects_of_image,
    upload_image,
)
from circles_client.api.objects import list_objects  # type: ignore[import-not-found]
from circles_client.api.statistics import count_images, count_radii  # type: ignore[import-not-found]
from circles_client.api.system import get_ready  # type: ignore[import-not-found]
from circles_client.models import (  # type: ignore[import-not-found]
    Circles,
    CountImagesBucket,
    GetObjectsOfImagesBody,
    Image,
    Images,
    ListImagesStatus,
    ObjectsOfImage,
    Problem,
    Statistics,
    Uploaded,
    UploadImageBody,
)
from circles_client.types import File  # type: ignore[import-not-found]


def uploaded(client: AuthenticatedClient, data: bytes) -> tuple[UUID, str]:
    """The image's id, and its position on the log."""
    body = UploadImageBody(
        File(io.BytesIO(data), "picture.png", "image/png"), source="gate", attributes='{"lane": "3"}'
    )
    answer = upload_image.sync_detailed(client=client, body=body, prefer="respond-async")
    assert answer.status_code == HTTPStatus.ACCEPTED
    assert isinstance(answer.parsed, Uploaded)
    assert answer.parsed.detection is None
    assert answer.headers["Location"] == f"/images/{answer.parsed.image_id}"
    return answer.parsed.image_id, answer.headers["Circles-Position"]


def read(client: AuthenticatedClient, image_id: UUID, position: str) -> None:
    """One image: its row, its circles once the view has them, its pixels."""
    image = get_image.sync(str(image_id), client=client, after=position)
    assert isinstance(image, Image)
    assert (image.image_id, image.source_id, image.attributes["lane"]) == (image_id, "gate", "3")
    assert image.uploaded_at.utcoffset() is not None
    while not (objects := list_objects_of_image.sync(str(image_id), client=client)).count:
        pass
    assert isinstance(objects, ObjectsOfImage)
    (box,) = objects.objects
    assert box.bbox == [10, 10, 50, 50]
    circle = get_object.sync(str(image_id), str(box.object_id), client=client)
    assert (circle.radius, circle.centroid) == (20, [30, 30])
    batch = get_objects_of_images.sync(client=client, body=GetObjectsOfImagesBody([image_id, UUID(int=1)]))
    assert ([each.image_id for each in batch.images], batch.missing) == ([image_id], [UUID(int=1)])


def listed(client: AuthenticatedClient, ids: list[UUID]) -> None:
    """Every image page by page, every circle, and how many there are."""
    found, cursor = [], ""
    while True:
        page = list_images.sync(client=client, limit=1, cursor=cursor, status=ListImagesStatus.DETECTED)
        assert isinstance(page, Images)
        found += [image.image_id for image in page.images]
        assert all(image.detection.count == 1 for image in page.images)
        if page.next_ is None:
            break
        cursor = page.next_
    assert found == sorted(ids, reverse=True)
    circles = list_objects.sync(client=client, source="gate", min_radius=20)
    assert isinstance(circles, Circles)
    assert {circle.image_id for circle in circles.objects} == set(ids)
    statistics = count_images.sync(client=client, bucket=CountImagesBucket.MONTH)
    assert isinstance(statistics, Statistics)
    assert sum(row["detected"] for row in statistics.rows) == len(ids)
    (row,) = count_radii.sync(client=client, width=5).rows
    assert (row["from_value"], row["circles"]) == (20, len(ids))


def refused(client: AuthenticatedClient, nobody: AuthenticatedClient, data: bytes, first: UUID) -> None:
    """Every refusal is a Problem, with what it has beside what all have."""
    unknown = get_image.sync_detailed(str(UUID(int=2)), client=client)
    assert (unknown.status_code, type(unknown.parsed)) == (404, Problem)
    assert unknown.parsed.detail == f"there is no image {UUID(int=2)}"
    again = upload_image.sync(client=client, body=UploadImageBody(File(io.BytesIO(data), "again.png")))
    assert isinstance(again, Problem)
    assert (again.status, again["image_id"]) == (409, str(first))
    too_many = list_images.sync(client=client, limit=501)
    assert isinstance(too_many, Problem)
    assert (too_many.status, "limit" in too_many.detail) == (422, True)
    unknown_caller = list_images.sync(client=nobody)
    assert isinstance(unknown_caller, Problem)
    assert unknown_caller.status == 401


def main(url: str, key: str, *pictures: str) -> None:
    data = [Path(picture).read_bytes() for picture in pictures]
    with AuthenticatedClient(url, key) as client, AuthenticatedClient(url, "nobody's") as nobody:
        assert get_ready.sync(client=client)["status"] == "ready"
        positions = dict(uploaded(client, each) for each in data)
        for image_id, position in positions.items():
            read(client, image_id, position)
        first, *_ = ids = list(positions)
        listed(client, ids)
        content = get_content.sync(str(first), client=client, after=positions[first])
        assert content.payload.read() == data[0]
        assert get_thumbnail.sync(str(first), client=client, size=32).payload.read(3) == b"\xff\xd8\xff"
        refused(client, nobody, data[0], first)
    print("all of it as the document says")


if __name__ == "__main__":
    main(*sys.argv[1:])
