"""What the API's routes are compared with: an empty route, and the least that a safe upload could do.

A process of its own: `python -m bench.limits PORT FOLDER`.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
import uuid
from pathlib import Path

import uvicorn
from fastapi import FastAPI, Request, Response
from starlette.datastructures import UploadFile


def create_app(folder: Path) -> FastAPI:
    """Uploads of /stored go into `folder`."""
    app = FastAPI()

    @app.get("/empty")
    async def empty() -> Response:
        return Response(b"{}", media_type="application/json")

    @app.post("/stored")
    async def stored(request: Request) -> Response:
        """The raw body, hashed, and on the disk before the answer."""
        data = await request.body()
        digest = hashlib.sha256(data).hexdigest()
        await asyncio.to_thread(write, folder / uuid.uuid4().hex, data)
        return Response(digest.encode(), 201)

    @app.post("/formed")
    async def formed(request: Request) -> Response:
        """The file of a form, hashed, and on the disk before the answer."""
        async with request.form() as form:
            file = form["file"]
            assert isinstance(file, UploadFile)
            data = await file.read()
        digest = hashlib.sha256(data).hexdigest()
        await asyncio.to_thread(write, folder / uuid.uuid4().hex, data)
        return Response(digest.encode(), 202)

    return app


def write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


if __name__ == "__main__":
    # The options that query_api starts with.
    uvicorn.run(create_app(Path(sys.argv[2])), port=int(sys.argv[1]), log_config=None, access_log=False)
