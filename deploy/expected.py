"""What may go wrong with a command without a mistake of ours: wrong words, or a part that is not there."""

from __future__ import annotations

import duckdb
import httpx
import psycopg
from confluent_kafka import KafkaException
from obstore.exceptions import BaseError

from deploy.local.folder import AlreadyRunning
from deploy.local.process import CommandFailed
from deploy.local.service import ServiceFailed
from streams import errors
from streams.lake import without_password

OF_FILES = (FileNotFoundError, FileExistsError, NotADirectoryError, IsADirectoryError, PermissionError)
EXPECTED: tuple[type[Exception], ...] = (
    errors.MissingSetting, ValueError, *OF_FILES, duckdb.Error, httpx.HTTPError, KafkaException,
    psycopg.OperationalError, BaseError, errors.LogUnavailable, errors.LogTruncated, errors.LogRemade,
    errors.RegistryUnavailable, errors.StaleWriter, errors.GenerationInUse, errors.ViewsDiffer,
    errors.LakeRefused, AlreadyRunning, CommandFailed, ServiceFailed,
)  # fmt: skip


def said(error: Exception) -> str:
    """What is wrong, in words and without a password; of a file its name first."""
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror.lower()}"
    return without_password(str(error)) or type(error).__name__
