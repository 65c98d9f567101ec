"""What the model server refuses. Each class says its HTTP status; the message is the reason."""

from __future__ import annotations

from typing import ClassVar


class DetectorError(Exception):
    """Base of what a caller did wrong: answered as `{"error": message}` with `status`."""

    status: ClassVar[int] = 400


class InvalidRequest(DetectorError):
    """Not the JSON of a prediction request: 400."""


class UnknownModel(DetectorError, LookupError):
    """No such model or version: 404. The message lists those there are."""

    status = 404


class BodyTooLarge(DetectorError):
    """The body passes the server's limit: 413, and the rest of it is not read."""

    status = 413


class InvalidImage(DetectorError, ValueError):
    """The bytes are no image this package reads: 422. Sending them again will not help."""

    status = 422
