"""Fetching what a URL names, for uploads by URL: only from public addresses, and only so much for so long.

Whoever can upload chooses the URL, so it must not reach what only this machine can: ssrfguard checks the URL,
resolves its name once, and connects to the very address that it checked.
"""

from __future__ import annotations

import asyncio
import logging
from http.cookiejar import CookieJar, DefaultCookiePolicy
from ipaddress import ip_network

import httpx
from ssrfguard import (
    DEFAULT_DENIED,
    AddressTable,
    Block,
    BlockedAddressError,
    BlockedURLError,
    Policy,
    Reach,
    Resolver,
    TooManyRedirectsError,
)
from ssrfguard.httpx import AsyncClient

from query_api.errors import Problem
from streams.settings import Settings

RESOLVING = 8
"""Names that are looked up at once. The platform's resolver cannot be interrupted, so a slow one keeps its
thread after its request was answered."""
NOT_GLOBAL = "beyond the global unicast addresses, 2000::/3"
DENIED = AddressTable(
    (
        *DEFAULT_DENIED.blocks,
        # Of IPv6 ssrfguard denies what has a name. The rest is not given out, and some of it is translated:
        # ::ffff:0:127.0.0.1 (RFC 2765) is 127.0.0.1 behind a translator.
        *(
            Block(ip_network(network), NOT_GLOBAL, "RFC4291", Reach.DENIED)
            for network in ("::/3", "4000::/2", "8000::/1")
        ),
        Block(ip_network("168.63.129.16/32"), "Azure's own address in each machine", "-", Reach.DENIED),
    )
)
log = logging.getLogger(__name__)


def policy(settings: Settings) -> Policy:
    """Where URLs may lead. Raises ValueError for a setting that is no list of ports or networks."""
    return Policy(
        denied_networks=DENIED,
        allowed_ports=frozenset(int(port) for port in settings.url_ports.split(",")),
        allowed_networks=tuple(ip_network(text.strip()) for text in settings.url_networks.split(",") if text),
        max_redirects=0,
    )


class Fetcher:
    """Gets the bytes of URLs. No redirects, no cookies, no proxy, a new connection each time."""

    def __init__(self, settings: Settings, resolver: Resolver | None = None) -> None:
        self._max_bytes, self._timeout_s = settings.max_upload_size, settings.url_timeout_s
        self._client = AsyncClient(
            policy=policy(settings),
            resolver=resolver,
            resolver_slots=RESOLVING,
            timeout=settings.url_timeout_s,
            limits=httpx.Limits(max_keepalive_connections=0),
            trust_env=False,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),  # nobody's go along with another's
            headers={"User-Agent": "circles", "Accept": "image/*", "Accept-Encoding": "identity"},
        )

    async def get(self, url: str) -> bytes:
        """The bytes behind a URL. Raises Problem 413, and 422 with what was wrong with the URL."""
        fetching = asyncio.create_task(self._get(url))
        try:
            # Not asyncio.timeout: it would wait for a name being looked up, which cannot be interrupted.
            done, _ = await asyncio.wait({fetching}, timeout=self._timeout_s)
            if not done:
                raise Problem(422, f"url was not fetched within {self._timeout_s:g} s")
            return fetching.result()
        except BlockedAddressError as error:
            log.info("a URL was refused: %s", error)
            # What a name stands for in this network is not for its users to find out.
            raise Problem(422, "url leads to an address that is not public") from error
        except BlockedURLError as error:
            raise Problem(422, f"url {error.reason}") from error
        except TooManyRedirectsError as error:
            raise Problem(422, "url answers with a redirect, which is not followed: send its aim") from error
        except httpx.HTTPError as error:
            raise Problem(422, f"url cannot be fetched: {type(error).__name__}") from error
        except (httpx.InvalidURL, ValueError) as error:
            raise Problem(422, "url is none that can be read") from error
        finally:
            fetching.cancel()

    async def _get(self, url: str) -> bytes:
        async with self._client.stream("GET", url) as answer:
            if answer.status_code != 200:
                raise Problem(422, f"url answers {answer.status_code}, not 200")
            if answer.headers.get("content-encoding", "identity") != "identity":
                raise Problem(422, "url answers in an encoding, though none was asked for")
            data = bytearray()
            async for chunk in answer.aiter_raw():
                data += chunk
                if len(data) > self._max_bytes:
                    raise Problem(
                        413, f"larger than {self._max_bytes} bytes, the most that one image may have"
                    )
        return bytes(data)
