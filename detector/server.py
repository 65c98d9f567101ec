"""The models over HTTP and gRPC: KServe V1 and the Open Inference Protocol (KServe V2)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from starlette.applications import Starlette

from detector.serving import grpc_server, http
from detector.serving.limits import Limits
from detector.serving.service import Service


def create_app(limits: Limits | None = None, grpc_address: str | None = None) -> Starlette:
    """The server's application; gRPC listens at its address (`127.0.0.1:8501`) while the app runs.

    Requests beyond one per core wait for their turn, few of them; the others are refused at once.
    """
    service = Service(limits or Limits())

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with AsyncExitStack() as running:
            running.callback(service.workers.close)
            await service.warm_up()
            if grpc_address:
                server = grpc_server.server(service)
                server.add_insecure_port(grpc_address)
                await server.start()
                running.push_async_callback(server.stop, grpc_server.STOP_S)
            yield

    return Starlette(routes=http.routes(service), exception_handlers=http.ERRORS, lifespan=lifespan)
