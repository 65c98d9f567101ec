"""What the model server refuses. Each class says its HTTP status; the message is the reason."""

from __future__ import annotations

from typing import ClassVar


class DetectorError(Exception):
    """Base of what is answered as `{"error": message}` with `status`."""

    status: ClassVar[int] = 400


class InvalidRequest(DetectorError):
    """Not a prediction request of its protocol: 400. The message says what would be."""


class UnknownModel(DetectorError, LookupError):
    """No such model or version: 404. The message lists those there are."""

    status = 404


class BodyTooSlow(DetectorError):
    """The body did not come in time: 408. Its place in the queue is another's."""

    status = 408


class BodyTooLarge(DetectorError):
    """The body passes the server's limit: 413, and the rest of it is not read."""

    status = 413


class UnsupportedEncoding(DetectorError):
    """The body is compressed: 415. Images are already."""

    status = 415


class InvalidImage(DetectorError, ValueError):
    """The bytes are no image this package reads: 422. Sending them again will not help."""

    status = 422


class ModelCrashed(DetectorError):
    """The model's process ended or hung on this request, twice: 500. Other requests are not touched."""

    status = 500


class Overloaded(DetectorError):
    """As many requests wait as may: 503 with Retry-After, before the body is read."""

    status = 503
