"""The Open Inference Protocol over gRPC: `inference.GRPCInferenceService` on the service's queue."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from functools import partial
from typing import Any, NoReturn, TypeAlias, cast

import grpc

from detector import models
from detector.errors import BodyTooSlow, DetectorError, InvalidRequest, Overloaded
from detector.serving import grpc_predict_v2_pb2 as pb
from detector.serving import grpc_v2, metadata
from detector.serving.inference import Answer
from detector.serving.queue import Place
from detector.serving.service import Service, urgency_of

NAME = "inference.GRPCInferenceService"
STOP_S = 5
"""For calls under way when the server ends; HTTP's were waited for before."""
MAX_DETAILS = 1000
"""Characters: a message travels in a header."""

CODES = {
    404: grpc.StatusCode.NOT_FOUND,
    408: grpc.StatusCode.DEADLINE_EXCEEDED,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    500: grpc.StatusCode.INTERNAL,
    503: grpc.StatusCode.UNAVAILABLE,
}
"""Of the statuses of `detector.errors`; any other is INVALID_ARGUMENT."""

PUSHBACK = (("grpc-retry-pushback-ms", "1000"),)
"""To gRPC clients what Retry-After is to those of HTTP."""

Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]

log = logging.getLogger(__name__)


class Inference:
    """The protocol's calls."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def handler(self) -> grpc.GenericRpcHandler:
        unary, stream = grpc.unary_unary_rpc_method_handler, grpc.stream_unary_rpc_method_handler
        return grpc.method_handlers_generic_handler(
            NAME,
            {
                "ServerLive": unary(
                    self.live, pb.ServerLiveRequest.FromString, pb.ServerLiveResponse.SerializeToString
                ),
                "ServerReady": unary(
                    self.ready, pb.ServerReadyRequest.FromString, pb.ServerReadyResponse.SerializeToString
                ),
                "ModelReady": unary(
                    self.model_ready, pb.ModelReadyRequest.FromString, pb.ModelReadyResponse.SerializeToString
                ),
                "ServerMetadata": unary(
                    self.server_metadata,
                    pb.ServerMetadataRequest.FromString,
                    pb.ServerMetadataResponse.SerializeToString,
                ),
                "ModelMetadata": unary(
                    self.model_metadata,
                    pb.ModelMetadataRequest.FromString,
                    pb.ModelMetadataResponse.SerializeToString,
                ),
                # On the wire a stream of one message is a message. Taken as a stream it is read
                # only after there is a place for it, and what is no such message can be refused.
                "ModelInfer": stream(self.infer),
            },
        )

    async def live(self, _request: object, _context: object) -> pb.ServerLiveResponse:
        return pb.ServerLiveResponse(live=True)

    async def ready(self, _request: object, _context: object) -> pb.ServerReadyResponse:
        return pb.ServerReadyResponse(ready=True)

    async def server_metadata(self, _request: object, _context: object) -> pb.ServerMetadataResponse:
        return pb.ServerMetadataResponse(**metadata.server())

    async def model_ready(self, request: pb.ModelReadyRequest, context: Context) -> pb.ModelReadyResponse:
        try:
            models.find(request.name, request.version or None)
        except DetectorError as error:
            await refuse(context, error)
        return pb.ModelReadyResponse(ready=True)

    async def model_metadata(
        self, request: pb.ModelMetadataRequest, context: Context
    ) -> pb.ModelMetadataResponse:
        try:
            return grpc_v2.model_metadata(request.name, request.version or None)
        except DetectorError as error:
            await refuse(context, error)

    async def infer(self, messages: AsyncIterator[bytes], context: Context) -> bytes:
        try:
            answer = await self._answer(messages, context)
        except DetectorError as error:
            await refuse(context, error)
        except Exception:
            log.exception("a prediction over gRPC failed")
            await context.abort(grpc.StatusCode.INTERNAL, "internal error")
        latency = answer.headers["prediction-time-latency"]
        context.set_trailing_metadata((("prediction-time-latency", latency),))
        return answer.content

    async def _answer(self, messages: AsyncIterator[bytes], context: Context) -> Answer:
        async def gone() -> bool:
            return bool(context.cancelled())

        service = self._service
        urgency = urgency_of(str(dict(context.invocation_metadata() or ()).get("priority", "")))
        with service.metrics.counting("grpc") as counted, service.queue_of(urgency).place() as place:
            request = grpc_v2.parse(await self._message(messages, place))
            model = counted.model = models.find(request.model_name, request.model_version or None)
            return await service.answer(model, partial(grpc_v2.read, model, request), gone, urgency)

    async def _message(self, messages: AsyncIterator[bytes], place: Place) -> bytes:
        timeout_s = self._service.limits.body_timeout_s
        # Closed, or it would hold the message, in a cycle, until Python's collector comes for old objects.
        stream = cast("AsyncGenerator[bytes]", aiter(messages))
        try:
            async with asyncio.timeout(timeout_s), aclosing(stream):
                message = await anext(stream)
        except StopAsyncIteration:
            raise InvalidRequest("no ModelInferRequest was sent") from None
        except TimeoutError:
            raise BodyTooSlow(f"the request did not come within {timeout_s:g} s") from None
        place.hold(len(message))
        return message


async def refuse(context: Context, error: DetectorError) -> NoReturn:
    code = CODES.get(error.status, grpc.StatusCode.INVALID_ARGUMENT)
    trailing = PUSHBACK if isinstance(error, Overloaded) else ()
    await context.abort(code, str(error)[:MAX_DETAILS], trailing)
    raise AssertionError


def server(service: Service) -> grpc.aio.Server:
    """Not started and without a port."""
    return grpc.aio.server(
        handlers=[Inference(service).handler()],
        options=[
            ("grpc.max_receive_message_length", service.limits.max_body_bytes),
            ("grpc.so_reuseport", 0),  # a port that another server has is an error, not half of its calls
        ],
    )
