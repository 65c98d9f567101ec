"""One image by its id, for those routes that answer about one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from fastapi import Request

from query_api.access.caller import calling
from query_api.errors import Problem
from query_api.versions import Looked, Which, looked
from query_api.view.newest import Circle, Model
from query_api.view.questions import Question
from query_api.view.reading import View
from streams.errors import CatalogUnavailable
from streams.ingest.claims import Claims


class Lookup:
    """Of the caller's project alone."""

    def __init__(self, claims: Claims, view: View) -> None:
        self._claims, self._view = claims, view

    async def circles(
        self, request: Request, image_id: UUID | None, at: int | None, model: Model | None = None
    ) -> Sequence[Circle]:
        """The circles of the served detection, best score first; none of what is not there.

        model: whose detection it has to be, where a row of the image was read before.
        """
        if image_id is None:
            return ()
        project = calling(request).project
        newest = self._view.newest(image_id, project, model) if at is None else None
        if newest is not None:
            return newest
        return (await self._view.circles({image_id: model}, project, at)).get(image_id, ())

    async def looked(self, request: Request, image_id: str, asked: Which, at: int | None) -> Looked:
        """What other versions than the served one found in the image.

        Raises Problem 404 where one has not looked: no circles would say that it found none.
        """
        wanted, project = as_uuid(image_id), calling(request).project
        found = await looked(self._view, [wanted], asked, project, at) if wanted else {}
        its = found.get(wanted, Looked([], [])) if wanted else Looked([], [])
        if not its.detections:
            await self.image(request, image_id, at)
            if not asked.every:
                raise Problem(404, f"{asked} has not looked at image {image_id}: see ?model=all")
        return its

    async def image(self, request: Request, image_id: str, at: int | None) -> dict[str, Any] | None:
        """The image's row; None when it was accepted and is not folded yet. Raises Problem 404."""
        wanted = as_uuid(image_id)
        if wanted:
            project = calling(request).project
            question = Question("images", ("image",), values={"image": wanted}, count=1)
            rows = await self._view.rows(question.within(project), at)
            if rows:
                return rows[0]
            try:
                if at is None and await self._claims.accepted(wanted, project):
                    return None
            except CatalogUnavailable as error:
                raise Problem(503, str(error), {"Retry-After": "2"}) from error
        raise Problem(404, f"there is no image {image_id}")

    async def folded(self, request: Request, image_id: str, at: int | None = None) -> dict[str, Any]:
        """The image's row. Raises Problem 404 also where it is not in the view yet."""
        row = await self.image(request, image_id, at)
        if row is None:
            raise Problem(404, f"image {image_id} is not in the view yet", {"Retry-After": "1"})
        return row


def as_uuid(text: str) -> UUID | None:
    """None for what is none."""
    try:
        return UUID(text)
    except ValueError:
        return None
