"""Positions on the log for callers of one project: sealed, since an offset counts everyone's uploads."""

from __future__ import annotations

from typing import Any

import psycopg
from cryptography.fernet import Fernet, InvalidToken

from query_api.access.caller import Caller

CREATE = """
CREATE SCHEMA IF NOT EXISTS access;
CREATE TABLE IF NOT EXISTS access.seal (
    id integer PRIMARY KEY DEFAULT 1 CHECK (id = 1), secret text NOT NULL)"""


class Seal:
    """Its secret is in PostgreSQL, so that each API process reads what another wrote."""

    def __init__(self) -> None:
        self._fernet: Fernet | None = None

    def load(self, connection: psycopg.Connection[Any]) -> None:
        """Take the secret, which is made where there is none. Raises psycopg.Error."""
        with connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(hashtext('access.seal'))")
            connection.execute(CREATE)
            connection.execute(
                "INSERT INTO access.seal (secret) VALUES (%s) ON CONFLICT DO NOTHING",
                (Fernet.generate_key().decode(),),
            )
            ((secret,),) = connection.execute("SELECT secret FROM access.seal").fetchall()
        self._fernet = Fernet(secret)

    def close(self, text: str, caller: Caller) -> str:
        """The text as this caller gets it: as it is, or sealed for their project."""
        if caller.project is None or self._fernet is None:
            return text
        return self._fernet.encrypt(f"{caller.project} {text}".encode()).decode()

    def open(self, text: str, caller: Caller) -> str:
        """What this caller was given; empty for what a caller of one project was not given."""
        try:
            project, opened = self._fernet.decrypt(text).decode().split(" ") if self._fernet else ("", "")
        except (InvalidToken, ValueError):
            project, opened = "", ""
        if caller.project is None:
            return opened or text
        return opened if project == caller.project else ""
