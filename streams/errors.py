"""What can go wrong in the flow, and what then happens to the message's offset."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

from pydantic import SecretStr


class InvalidRecord(Exception):
    """The bytes are no valid record. The message becomes a dead letter; its offset advances."""


class ObjectUnreadable(Exception):
    """The object is missing, outside the store, or not the bytes its event names.

    The message becomes a dead letter; its offset advances.
    """


class StoreUnavailable(Exception):
    """Object storage does not answer. The stage waits; no offset advances. An upload gets 503."""


class RegistryUnavailable(Exception):
    """The schema registry does not answer. A stage ends with nothing acknowledged; an upload gets 503."""


class LogUnavailable(Exception):
    """Kafka does not acknowledge. An upload gets 503 and may be sent again."""


class CatalogUnavailable(Exception):
    """PostgreSQL does not answer. An upload gets 503 and may be sent again."""


class DuplicateImage(Exception):
    """These bytes were uploaded before; `image_id` names the image. An upload gets 409."""

    def __init__(self, image_id: UUID | str) -> None:
        super().__init__(f"the same bytes are already image {image_id}")
        self.image_id = image_id


class ModelUnavailable(Exception):
    """The model server does not answer in time. The stage waits; no offset advances."""


class ModelRefuses(ModelUnavailable):
    """The model server answers, but serves nobody now: busy, no model loaded, no permission for us.

    The stage waits, however long; no offset advances. No image is to blame for it.
    """


class InvalidModelAnswer(Exception):
    """The model answered, but not with circles. The message becomes a dead letter; its offset advances."""


class StaleWriter(Exception):
    """Another materializer moved the stored offsets. Nothing is committed; this one must leave."""


class LakeRefused(Exception):
    """The store of the view's files says no: no such bucket, wrong credentials. Whoever needs it ends."""


class LogTruncated(Exception):
    """The log no longer holds what the view has yet to fold. The fold refuses to go on."""


class LogRemade(Exception):
    """A topic is not the one that the view was folded from. The fold refuses to go on."""


class GenerationInUse(Exception):
    """A generation is live, or another process builds or reads it. It is left as it is."""


class ViewsDiffer(Exception):
    """A rebuilt view is not equal to the live one. It is kept, and the live one stays live."""


class UnknownVersion(ValueError):
    """The view has no detection of a model version. The message names those it has."""


class NothingToCompare(ValueError):
    """No image passes the filters, or none has been looked at by both model versions."""


class WrongSetting(ValueError):
    """Settings have values that they cannot have: each by its name and value in the environment."""

    def __init__(self, wrong: Iterable[Mapping[str, Any]], settings: Mapping[str, Any]) -> None:
        """wrong: as pydantic says it; settings: pydantic's fields. A secret's value is not told."""
        said = []
        for each in wrong:
            name = str(each["loc"][0]) if each["loc"] else ""
            field = settings.get(name.lower())
            value = "" if field and field.annotation is SecretStr else f"={each['input']}"
            message = each["msg"].removeprefix("Value error, ")
            said.append(f"{name.upper()}{value}: {message}" if name else message)
        super().__init__("; ".join(said))


class MissingSetting(Exception):
    """A command needs a part of the system whose address it was not given."""

    def __init__(self, name: str, data_dir: Path) -> None:
        self.name = name
        super().__init__(
            f"{name.upper()} is not set and no stack is running in {data_dir.absolute()}: "
            f"start one with `circles up`, or set {name.upper()}"
        )
