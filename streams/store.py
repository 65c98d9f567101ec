"""Object storage: images go in before their event, and are verified when they come out."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, ObjectStore, from_url

from streams.errors import ObjectUnreadable, StoreUnavailable
from streams.folder import Folder


class Store:
    """A folder (`file://`) or a bucket (`s3://bucket/prefix`), addressed by the URIs of its objects.

    Objects of more than `max_bytes` are not read.
    """

    def __init__(self, url: str, max_bytes: int) -> None:
        self.url = url.rstrip("/")
        self._max_bytes = max_bytes
        self._folder: Folder | None = None
        if urlsplit(url).scheme == "file":
            self._folder = Folder(Path(url2pathname(urlsplit(self.url).path)))
        self._store = opened(self.url if self._folder is None else str(self._folder.path))

    def uri(self, key: str) -> str:
        """The URI of the object at `key`."""
        return f"{self.url}/{key}"

    async def put(self, key: str, data: bytes) -> str:
        """Store `data` whole or not at all; its URI once it would survive a power cut.

        Raises StoreUnavailable.
        """
        try:
            if self._folder:
                await asyncio.to_thread(self._folder.write, key, data)
            else:
                await obstore.put_async(self._store, key, data)
        except (BaseError, OSError) as error:
            raise StoreUnavailable(f"{self.uri(key)}: {_first_line(error)}") from error
        return self.uri(key)

    async def get(self, uri: str, *, size_bytes: int, sha256: str | None = None) -> bytes:
        """The object's bytes.

        Raises ObjectUnreadable when it is missing, outside this store, too large, of another size, or
        hashes to another SHA-256; StoreUnavailable when the store does not answer.
        """
        key = self._key(uri)
        if size_bytes > self._max_bytes:
            raise ObjectUnreadable(f"{uri} has {size_bytes} bytes; at most {self._max_bytes} are read")
        try:
            result = await obstore.get_async(self._store, key)
            if result.meta["size"] != size_bytes:
                raise ObjectUnreadable(f"{uri} has {result.meta['size']} bytes, its event says {size_bytes}")
            data = bytes(await result.bytes_async())
        except FileNotFoundError as error:
            raise ObjectUnreadable(f"{uri} does not exist") from error
        except (BaseError, OSError, ValueError) as error:
            if await self.ready():  # then it is not the store: no object can have this name
                raise ObjectUnreadable(f"{uri} cannot be read: {_first_line(error)}") from error
            raise StoreUnavailable(f"{uri}: {_first_line(error)}") from error
        if sha256 and (found := hashlib.sha256(data).hexdigest()) != sha256:
            raise ObjectUnreadable(f"{uri} has SHA-256 {found}, its event says {sha256}")
        return data

    async def delete(self, *keys: str) -> None:
        """Delete objects, each of which may not be there. Raises StoreUnavailable."""
        for key in keys:
            try:
                await obstore.delete_async(self._store, key)
            except FileNotFoundError:
                continue
            except (BaseError, OSError) as error:
                raise StoreUnavailable(f"{self.uri(key)}: {_first_line(error)}") from error

    async def ready(self) -> bool:
        """Whether the store answers now."""
        try:
            await obstore.head_async(self._store, "ready")
        except FileNotFoundError:
            return True
        except (BaseError, OSError):
            return False
        return True

    def _key(self, uri: str) -> str:
        key = uri.removeprefix(self.url + "/")
        if key == uri or not key or {"", ".", ".."} & set(key.split("/")):
            raise ObjectUnreadable(f"{uri} is not inside the store {self.url}/")
        return key


def opened(url: str) -> ObjectStore:
    """What is kept in a folder, given by its path, or in a bucket (`s3://bucket/prefix`)."""
    if "://" not in url:
        return LocalStore(url, mkdir=True)
    return from_url(
        url,
        # An endpoint without TLS is the operator's choice: it has to be named in AWS_ENDPOINT_URL.
        client_options={"timeout": "15s", "connect_timeout": "3s", "allow_http": True},
        retry_config={"max_retries": 3, "retry_timeout": timedelta(seconds=10)},
    )


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]  # what follows is the client's inner state
